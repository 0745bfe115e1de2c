"""Installing and taking out again: to the byte, foreign entries untouched, whatever the file looks like."""

import json
import os
import stat
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.announce import is_ours
from agents.install import LEFT_OUT, Receiver, entries, installed, uninstalled
from agents.settings_file import KEPT_SUFFIX
from agents.settings_rules import COMMAND_EVENTS, EVENTS, faults
from tests.agents.settings_samples import ODD, REFUSED

SERVER = "http://127.0.0.1:8642"
RECEIVER = Receiver(SERVER, "hs_first", "announce")


def install(path, *options, token="hs_first"):
    out = StringIO()
    call_command("install_hooks", "--server", SERVER, "--token", token, "--settings-file", path, *options, stdout=out)
    return out.getvalue()


def uninstall(path, *options):
    out = StringIO()
    call_command("uninstall_hooks", "--settings-file", path, *options, stdout=out)
    return out.getvalue()


def foreign_part(document):
    """Return the document without our entries and without what only held them."""
    hooks = {}
    for event, groups in document.get("hooks", {}).items():
        if not isinstance(groups, list):
            hooks[event] = groups
            continue
        hooks[event] = [group for group in groups if not any(map(is_ours, group["hooks"])) or not group["hooks"]]
    return {**document, "hooks": {event: groups for event, groups in hooks.items() if groups}}


def without_empty_ones(document):
    full = {event: groups for event, groups in document.get("hooks", {}).items() if groups}
    return {**document, "hooks": full}


def ours(document):
    return {
        event: [hook for group in groups for hook in group["hooks"] if is_ours(hook)]
        for event, groups in document["hooks"].items()
        if isinstance(groups, list)
    }


def has_no_empty_container(document):
    hooks = document.get("hooks", {"any": [1]})
    return bool(document) and bool(hooks) and all(hooks[event] for event in EVENTS & hooks.keys())


@pytest.fixture
def settings_of(tmp_path):
    path = tmp_path / "settings.json"

    def write(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_odd_file_comes_back_to_the_byte(settings_of, text):
    path = settings_of(text)
    install(path)
    assert path.read_bytes() != text.encode()
    uninstall(path)
    assert path.read_bytes() == text.encode()
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_odd_file_comes_back_after_two_installs_and_a_new_token(settings_of, text):
    path = settings_of(text)
    install(path)
    install(path, token="hs_second")
    assert "hs_first" not in path.read_text()
    uninstall(path)
    assert path.read_bytes() == text.encode()


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_foreign_entries_keep_their_content_and_their_order(settings_of, text):
    path = settings_of(text)
    install(path)
    before, after = json.loads(text), json.loads(path.read_bytes())
    assert json.dumps(foreign_part(after)) == json.dumps(foreign_part({**before, "hooks": before.get("hooks", {})}))
    assert [key for key in after if key != "hooks"] == [key for key in before if key != "hooks"]


@pytest.mark.parametrize("text", [text for text in ODD.values() if has_no_empty_container(json.loads(text))])
def test_our_entries_are_added_between_bytes_that_stay(text):
    # Without any memory of how it was: what is left after taking them out is the text itself.
    assert uninstalled(installed(text, None, RECEIVER).text, None) == text


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_what_is_written_has_our_entry_once_for_each_event_and_is_accepted(text):
    document = json.loads(installed(text, None, RECEIVER).text)
    assert list(faults(document)) == []
    assert {event for event, hooks in ours(document).items() if len(hooks) == 1} == EVENTS - LEFT_OUT


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_a_second_install_changes_nothing(settings_of, text):
    path = settings_of(text)
    install(path)
    once, changed_at = path.read_bytes(), path.stat().st_mtime_ns
    install(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (once, changed_at)


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_cannot_be_worked_on_is_refused_untouched(settings_of, content, reason):
    path = settings_of(content)
    with pytest.raises(CommandError) as refusal:
        install(path)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
commands = st.builds(lambda word: {"type": "command", "command": word}, st.text(max_size=8))
groups = st.builds(lambda hooks: {"hooks": hooks}, st.lists(commands, max_size=3))
hooks = st.dictionaries(st.sampled_from(sorted(EVENTS)), st.lists(groups, max_size=3), max_size=4)
layouts = st.tuples(st.sampled_from([None, 0, 1, 2, 4, "\t"]), st.sampled_from(["\n", "\r\n"]), st.booleans())


@st.composite
def texts(draw):
    document = draw(st.dictionaries(st.text(max_size=4).filter(lambda key: key != "hooks"), values, max_size=4))
    if draw(st.booleans()):
        document["hooks"] = draw(hooks)
    indent, newline, spaced = draw(layouts)
    separators = (", " if spaced and indent is None else ",", ": " if spaced else ":")
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=draw(st.booleans()))
    return text.replace("\n", newline) + draw(st.sampled_from(["", "\n", " \n\n"]))


@settings(deadline=None)  # a busy machine is no failure
@given(texts())
def test_any_document_in_any_layout_comes_back(text):
    once = installed(text, None, RECEIVER)
    again = installed(once.text, once.original, Receiver(SERVER, "hs_second", "announce"))
    assert uninstalled(once.text, once.original) == uninstalled(again.text, again.original) == text


@settings(deadline=None)  # a busy machine is no failure
@given(texts())
def test_without_the_kept_original_only_empty_containers_are_lost(text):
    left = uninstalled(installed(text, None, RECEIVER).text, None)
    assert without_empty_ones(json.loads(left or "{}")) == without_empty_ones(json.loads(text))


def test_a_file_that_did_not_exist_is_private_and_is_removed_again(tmp_path):
    path = tmp_path / "new" / "settings.json"
    install(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    uninstall(path)
    assert os.listdir(path.parent) == []


def test_what_others_changed_since_stays_and_only_ours_goes(settings_of):
    path = settings_of('{\n    "model": "opus",\n    "hooks": {"Stop": []}\n}\n')
    install(path)
    path.write_text(path.read_text().replace('"opus"', '"sonnet",   "theme":"dark"'))
    uninstall(path)
    assert path.read_text() == '{\n    "model": "sonnet",   "theme":"dark",\n    "hooks": {"Stop": []}\n}\n'


def test_a_file_that_the_client_wrote_anew_without_a_change_comes_back_as_it_was(settings_of):
    text = '{"model":"opus",\n "hooks":{}}'
    path = settings_of(text)
    install(path)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    uninstall(path)
    assert path.read_text() == text


def test_an_entry_of_ours_that_somebody_moved_into_a_foreign_group_is_found(settings_of):
    path = settings_of("{}")
    install(path)
    document = json.loads(path.read_text())
    mine = document["hooks"]["Stop"][0]["hooks"][0]
    foreign = {"type": "command", "command": "echo"}
    document["hooks"] = {"Stop": [{"hooks": [foreign, mine, foreign]}]}
    path.write_text(json.dumps(document))
    uninstall(path)
    assert json.loads(path.read_text()) == {"hooks": {"Stop": [{"hooks": [foreign, foreign]}]}}


def test_settings_that_were_added_to_a_new_file_survive(tmp_path):
    path = tmp_path / "settings.json"
    install(path)
    path.write_text(path.read_text().replace("{", '{"model": "opus",', 1))
    install(path, token="hs_second")
    uninstall(path)
    assert json.loads(path.read_text()) == {"model": "opus"}


def test_uninstalling_what_is_not_installed_changes_nothing(settings_of):
    path = settings_of('{"hooks": {"Stop": []}}')
    assert "holds no hooks of Headspace" in uninstall(path)
    assert path.read_text() == '{"hooks": {"Stop": []}}'


def test_a_stale_original_of_a_file_that_was_deleted_is_not_brought_back(settings_of):
    path = settings_of('{"model": "opus"}')
    install(path)
    path.unlink()
    install(path)
    uninstall(path)
    assert os.listdir(path.parent) == []


def test_a_damaged_original_is_not_trusted(settings_of):
    path = settings_of('{"model": "opus"}')
    install(path)
    path.with_name(path.name + KEPT_SUFFIX).write_text("{")
    uninstall(path)
    assert path.read_text() == '{"model": "opus"}'


def test_the_events_that_take_no_http_get_the_announcing_command(tmp_path):
    for event, group in entries(Receiver(SERVER, "hs_t", "announce --settings x")).items():
        (hook,) = group["hooks"]
        assert hook["timeout"] <= 10
        assert "matcher" not in group
        if event in COMMAND_EVENTS:
            assert (hook["type"], hook["command"]) == ("command", "announce --settings x # headspace-install")
        else:
            assert (hook["type"], hook["url"]) == ("http", f"{SERVER}/hooks/claude-code")
            assert hook["headers"] == {"Authorization": "Bearer hs_t", "X-Headspace-Install": "1"}
