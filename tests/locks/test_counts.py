import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, connections, transaction

from locks import LockNamespace, LockReentered, LockTimeout, advisory_lock, advisory_lock_or_skip, asking
from locks.counts import Tally
from locks.keys import LockKey
from locks.models import Minute
from locks.monitor import recent
from tests.locks.actors import ask, until
from tests.locks.audit import forget_counts

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
NEVER = timedelta(hours=1)


@pytest.fixture(autouse=True)
def nothing_is_on_its_way(transactional_db):
    forget_counts()


@pytest.fixture
def held(actor):
    holder = actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(AGENT, 42))


def _time_out(seconds=0):
    with transaction.atomic(), pytest.raises(LockTimeout), advisory_lock(AGENT, 42, timeout=seconds):
        pytest.fail("entered")


def _skip():
    with transaction.atomic(), advisory_lock_or_skip(AGENT, 42) as acquired:
        assert not acquired


def test_timeouts_and_skips_are_counted_apart_though_their_transactions_are_rolled_back(tally, held):
    _time_out()
    _skip()
    _skip()
    with pytest.raises(KeyError), transaction.atomic():
        _skip()
        raise KeyError

    assert recent() == {"timeouts": 1, "skips": 3, "waits_over_1s": 0, "lost": 0}


def test_a_skipped_re_entry_is_a_skip(tally):
    with transaction.atomic(), advisory_lock(AGENT, 42):
        with pytest.raises(LockReentered), advisory_lock(AGENT, 42):
            pytest.fail("entered")
        with advisory_lock_or_skip(AGENT, 42):
            pass

    assert recent()["skips"] == 1


def test_a_long_wait_is_counted_whether_it_ends_with_the_lock_or_not(tally, held, monkeypatch):
    monkeypatch.setattr("locks.notes._LONG_WAIT_SECONDS", 0.01)
    _time_out(0.03)

    assert recent() == {"timeouts": 1, "skips": 0, "waits_over_1s": 1, "lost": 0}


def test_a_timeout_inside_another_function_is_counted(tally, held):
    key = LockKey(AGENT, 42)
    with transaction.atomic(), pytest.raises(LockTimeout), transaction.atomic(), asking(key):
        ask("SELECT locks_take(%s::bigint, 1, 0, NULL)", [str(key.id)])

    assert recent()["timeouts"] == 1


def test_a_lost_lock_is_counted(tally, actor):
    one = actor()
    one.enter(transaction.atomic())
    ask("SELECT pg_terminate_backend(%s)", [one.pid])
    with pytest.raises(Exception, match="does not hold any more"):
        one.enter(advisory_lock(AGENT, 1))

    assert recent()["lost"] == 1


def test_what_processes_write_adds_up_and_counts_once(tally):
    other = Tally(NEVER)
    for counting in (tally, other):
        counting.add("timeouts")
        counting.add("skips")
    other.write()
    assert recent() == {"timeouts": 2, "skips": 2, "waits_over_1s": 0, "lost": 0}

    tally.write()
    assert recent() == {"timeouts": 2, "skips": 2, "waits_over_1s": 0, "lost": 0}
    other.finish()


def test_a_thread_writes_what_is_pending_and_ends():
    tally = Tally(timedelta(milliseconds=1))
    tally.add("skips")
    tally.add("skips")
    until(lambda: tally._writer is None, "the end of the writer")

    assert sum(minute.skips for minute in Minute.objects.all()) == 2
    with tally.unwritten() as unwritten:
        assert unwritten == Counter()


def test_only_the_last_hour_is_recent_and_older_than_a_day_is_dropped(tally):
    for minutes, skips in [(1, 1), (58, 10), (62, 100), (60 * 25, 1000)]:
        Minute.objects.create(minute=ask("SELECT now() - make_interval(mins => %s)", [minutes]), skips=skips)
    assert recent()["skips"] == 11

    tally.add("skips")
    tally.write()
    assert recent()["skips"] == 12
    assert sum(minute.skips for minute in Minute.objects.all()) == 112


def test_counting_never_touches_the_callers_connection(tally):
    with transaction.atomic():
        before = ask("SELECT count(*) FROM pg_stat_activity")
        for _ in range(100):
            tally.add("skips")
        assert ask("SELECT count(*) FROM pg_stat_activity") == before


def test_what_can_not_be_written_stays_and_is_written_later(tally, caplog):
    tally.add("lost")
    settings, port = connections.settings["default"], connections.settings["default"]["PORT"]
    settings["PORT"] = 1
    try:
        tally.write()
    finally:
        settings["PORT"] = port
    assert "stay in memory" in caplog.text
    assert not Minute.objects.exists()

    tally.write()
    assert Minute.objects.get().lost == 1


def test_counts_made_for_a_database_do_not_reach_the_one_that_comes_after_it(tally):
    tally.add("lost")
    settings, name = connections.settings["default"], connections.settings["default"]["NAME"]
    settings["NAME"] = "another"
    try:
        tally.write()
    finally:
        settings["NAME"] = name

    assert not Minute.objects.exists()
    with tally.unwritten() as unwritten:
        assert unwritten == Counter()


def test_a_process_that_ends_writes_first():
    settings = connection.settings_dict
    url = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**settings)
    program = "import django; django.setup(); from locks.counts import tally; tally.add('timeouts')"
    subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "headspace.settings"},
        cwd=Path(__file__).parents[2],
        check=True,
        timeout=60,
    )

    assert Minute.objects.get().timeouts == 1


def test_a_forked_child_starts_at_nothing(tally):
    tally.add("skips")
    tally._forget()

    with tally.unwritten() as unwritten:
        assert unwritten == Counter()
