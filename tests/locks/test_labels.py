import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locks import Label, current_label, labelled

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=19)


@given(PLAIN, st.text("0123456789abcdef-", max_size=36))
def test_a_label_that_fits_is_read_as_it_was_written(holder, correlation_id):
    assert Label.read(Label(holder, correlation_id).text) == Label(holder, correlation_id)


@given(st.text(), st.text())
def test_a_label_is_always_a_printable_application_name_that_can_be_read(holder, correlation_id):
    text = Label(holder, correlation_id).text

    assert len(text.encode()) <= 63
    assert all(" " <= letter <= "~" for letter in text)
    assert Label.read(text) is not None


def test_the_longest_hook_fits_with_a_uuid():
    label = Label("hook pre-tool-use", "01234567-89ab-cdef-0123-456789abcdef")

    assert Label.read(label.text) == label


def test_a_holder_that_is_too_long_is_cut_and_the_correlation_id_is_not():
    read = Label.read(Label("h" * 80, "c" * 36).text)

    assert read.correlation_id == "c" * 36
    assert set(read.holder) == {"h"}


@pytest.mark.parametrize("name", ["", "psql", "lock: without an id", "headspace #1"])
def test_the_name_of_another_program_is_no_label(name):
    assert Label.read(name) is None


def test_a_label_holds_inside_its_block_and_in_its_thread_alone():
    seen = []
    with labelled("outer", "1"), labelled("inner", "2"):
        thread = threading.Thread(target=lambda: seen.append(current_label()))
        thread.start()
        thread.join()
        assert current_label() == Label("inner", "2")

    assert seen == [current_label()]
    assert current_label().holder not in {"outer", "inner", ""}
