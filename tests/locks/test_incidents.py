from datetime import timedelta

import pytest
from django.db import connection

from locks import Label
from locks.counts import Tally
from locks.history import newest_incidents
from locks.incidents import KEPT, PENDING, SHARE_OF_SKIPS, Backlog, Incident
from locks.models import Incident as Kept
from locks.models import Minute
from locks.monitor import snapshot
from tests.locks.actors import ask
from tests.locks.audit import forget_counts

pytestmark = pytest.mark.django_db(transaction=True)
ASKER = Label("cycle reap", "c-1").text
HOLDER = Label("hook stop", "c-2").text


@pytest.fixture(autouse=True)
def nothing_is_on_its_way(transactional_db):
    forget_counts()


def _incident(kind="timeouts", key=42, **more):
    return Incident(**{"kind": kind, "namespace": 1, "key": key, "name": "", "asker": ASKER, "seconds": 15.0} | more)


def _tell(tally, *incidents):
    for incident in incidents:
        tally.tell(incident)
    tally.write()


def test_an_incident_is_kept_with_all_that_was_told(tally):
    _tell(tally, _incident(name="nightly", holder=HOLDER, holder_pid=7))
    (kept,) = newest_incidents()

    assert (kept.kind, kept.namespace, kept.key, kept.name, kept.seconds) == ("timeouts", 1, 42, "nightly", 15.0)
    assert (kept.asker, kept.correlation_id) == ("cycle reap", "c-1")
    assert (kept.holder, kept.holder_correlation_id, kept.holder_pid) == ("hook stop", "c-2", 7)
    assert abs(ask("SELECT extract(epoch FROM now() - at) FROM locks_incident")) < 5


def test_it_happened_when_it_was_told_and_not_when_it_was_written(tally, monkeypatch):
    tally.tell(_incident())
    told_at = tally._pending[next(iter(tally._pending))].backlog._others[0][0]
    monkeypatch.setattr("locks.incidents.time.monotonic", lambda: told_at + 60)
    tally.write()

    assert 60 <= ask("SELECT extract(epoch FROM now() - at) FROM locks_incident") < 65


def test_what_another_program_calls_itself_is_kept_as_it_is(tally):
    _tell(tally, _incident(asker="psql", holder="headspace"))
    (kept,) = newest_incidents()

    assert (kept.asker, kept.correlation_id, kept.holder, kept.holder_correlation_id) == ("psql", "", "headspace", "")


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "x" * 10_000, "'); DROP TABLE locks_incident; --", "ü%s"])
def test_a_key_of_any_text_can_be_kept(tally, name):
    """One that could not would keep everything else from being written, for ever."""
    _tell(tally, _incident(name=name))

    assert newest_incidents()[0].name[:1] == name[:1]


def test_telling_does_not_count_and_counting_does_not_tell(tally):
    tally.add("timeouts")
    _tell(tally, _incident("lost"))

    assert [kept.kind for kept in newest_incidents()] == ["lost"]
    assert (Minute.objects.get().timeouts, Minute.objects.get().lost) == (1, 0)


def test_a_process_keeps_the_newest_and_counts_the_rest():
    backlog = Backlog()
    for key in range(PENDING + 7):
        backlog.add(_incident(key=key))
    rows, *_ = backlog.parameters()

    room = PENDING * (1 - SHARE_OF_SKIPS)
    assert [row["key"] for row in rows] == list(range(PENDING + 7))[-int(room) :]
    assert backlog.untold == PENDING + 7 - room


def test_what_had_no_room_is_counted_in_its_minute(tally):
    _tell(tally, *[_incident() for _ in range(PENDING)])

    assert Minute.objects.get().untold == PENDING * SHARE_OF_SKIPS


def test_who_skips_all_the_time_does_not_push_out_the_timeouts(tally):
    _tell(tally, _incident("timeouts"), *[_incident("skips", key) for key in range(10 * PENDING)])
    for _ in range(10):
        _tell(tally, *[_incident("skips", key) for key in range(PENDING)])

    kinds = [kept.kind for kept in Kept.objects.all()]
    assert kinds.count("timeouts") == 1
    assert kinds.count("skips") == KEPT * SHARE_OF_SKIPS


def test_the_table_keeps_the_newest_and_writing_alone_keeps_it_so(tally):
    for start in range(0, 10 * PENDING, 100):
        _tell(tally, *[_incident(key=key) for key in range(start, start + 100)])

    keys = [kept.key for kept in Kept.objects.order_by("-id")]
    assert keys == list(reversed(range(10 * PENDING)))[: int(KEPT * (1 - SHARE_OF_SKIPS))]


def test_after_a_day_it_is_neither_shown_nor_kept(tally):
    _tell(tally, _incident(key=1), _incident(key=2))
    Kept.objects.filter(key=1).update(at=ask("SELECT now() - interval '25 hours'"))
    assert [kept.key for kept in newest_incidents()] == [2]

    tally.add("skips")
    tally.write()
    assert [kept.key for kept in Kept.objects.all()] == [2]


def test_two_processes_that_write_at_once_do_not_wait_for_what_the_other_deletes(tally, actor):
    _tell(tally, *[_incident(key=key) for key in range(100)])
    Kept.objects.update(at=ask("SELECT now() - interval '25 hours'"))
    other = actor()
    other.do(_begin_deleting)

    _tell(tally, _incident(key=1000))
    assert Kept.objects.filter(key=1000).exists()


def _begin_deleting():
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; DELETE FROM locks_incident")


def test_what_can_not_be_written_stays_within_its_bounds(monkeypatch):
    tally = Tally(timedelta(hours=1))
    monkeypatch.setattr("locks.counts._write", _refuse)
    for start in range(3):
        _tell(tally, *[_incident(key=key) for key in range(start * PENDING, (start + 1) * PENDING)])
    monkeypatch.undo()
    tally.write()
    tally.finish()

    kept = list(Kept.objects.all())
    assert len(kept) == PENDING * (1 - SHARE_OF_SKIPS)
    assert kept[0].key == 3 * PENDING - 1
    assert Minute.objects.get().untold == 3 * PENDING - len(kept)


def _refuse(*_):
    raise OSError("the database is away")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("timeouts", "cycle reap gave up on AGENT 42 after 15.00 s; hook stop (pid 7) held it."),
        ("skips", "cycle reap skipped AGENT 42; hook stop (pid 7) held it."),
        ("waits_over_1s", "cycle reap waited 15.00 s for AGENT 42; hook stop (pid 7) held it."),
        ("lost", "cycle reap lost AGENT 42; hook stop (pid 7) held it."),
    ],
)
def test_it_is_said_in_a_sentence(tally, kind, words):
    _tell(tally, _incident(kind, holder=HOLDER, holder_pid=7))

    assert newest_incidents()[0].sentence == words


def test_a_snapshot_has_the_newest(tally):
    _tell(tally, *[_incident(key=key) for key in range(60)])
    body = snapshot().as_json()

    assert [incident["key"] for incident in body["incidents"]] == list(range(59, 9, -1))
    assert body["incidents"][0] | {"at": ""} == {
        "at": "",
        "kind": "timeouts",
        "namespace": "AGENT",
        "key": 59,
        "name": None,
        "asker": "cycle reap",
        "correlation_id": "c-1",
        "seconds": 15.0,
        "holder": None,
        "holder_correlation_id": None,
        "holder_pid": None,
    }
