"""Limits of time: what a lock's own session is set to, and when a holder that fell asleep is ended."""

from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from psycopg import sql

from locks import LockLost, LockNamespace, advisory_lock, advisory_lock_or_skip, advisory_locks
from locks.dedicated import parameters
from tests.locks.actors import ask, until
from tests.locks.test_async import run
from tests.locks.test_fenced import fenced, verified
from tests.races.mutants import rewritten

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
IDLE = "idle_in_transaction_session_timeout"
SHORT = "200ms"
KNOWN = "SELECT count(*) FROM pg_settings WHERE name = %s"
SESSION = {
    "client_connection_check_interval": ("0", "1s"),
    "idle_session_timeout": ("7s", "0"),
    "statement_timeout": ("8s", "0"),
    "lock_timeout": ("9s", "0"),
    "transaction_timeout": ("94s", "0"),
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_read_only": ("on", "off"),
    "transaction_isolation": (None, "read committed"),
    "transaction_read_only": (None, "off"),
    "synchronous_commit": ("off", "on"),
    "tcp_keepalives_idle": ("91", "10"),
    "tcp_keepalives_interval": ("92", "5"),
    "tcp_keepalives_count": ("93", "4"),
}
"""Setting → what the tests' role sets for all of its sessions, and what it is in that of a lock."""


@pytest.fixture
def strange_role():
    """A role that sets everything otherwise, as far as its server knows it (transaction_timeout came with 17); its open

    sessions stay as they are. Yields what each setting is to be in a lock's session.
    """
    known = {name: both for name, both in SESSION.items() if ask(KNOWN, [name])}
    settings = {name: value for name, (value, _) in known.items() if value is not None}
    with connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute(sql.SQL("ALTER ROLE CURRENT_USER SET {} = {}").format(sql.Identifier(name), value))
    yield {name: ours for name, (_, ours) in known.items()}
    with connection.cursor() as cursor:
        # Should this session be a new one.
        cursor.execute("SET default_transaction_read_only = off")
        for name in settings:
            cursor.execute(sql.SQL("ALTER ROLE CURRENT_USER RESET {}").format(sql.Identifier(name)))


class TestSession:
    """Of a lock of session scope."""

    def test_it_is_set_as_a_lock_needs_it_whatever_its_role_sets(self, strange_role):
        with fenced() as lock:
            assert {name: lock.raw.execute(f"SHOW {name}").fetchone()[0] for name in strange_role} == strange_role
            verified(lock)

    def test_that_of_a_task_too(self, strange_role):
        async def show(raw, name):
            return (await (await raw.execute(f"SHOW {name}")).fetchone())[0]

        async def work():
            async with fenced() as lock:
                return {name: await show(lock.raw, name) for name in strange_role}

        assert run(work()) == strange_role

    def test_without_it_the_role_decides(self, strange_role, actor):
        """What the tests above compare with: a new session of Django's is set otherwise in every way."""
        other = actor()
        shown = {name: other.do(ask, f"SHOW {name}") for name in strange_role}
        assert [name for name, value in shown.items() if value == strange_role[name]] == []

    def test_it_looks_after_the_other_end_and_connects_within_a_time(self):
        with fenced() as lock:
            asked = lock.raw.info.get_parameters()
        # What is as it is without being said (keepalives=1) is left out of these.
        ours = {"connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "4"}
        assert asked.items() >= ours.items()
        assert parameters("default")["keepalives"] == 1

    def test_what_the_user_says_about_that_is_done(self, monkeypatch):
        own = {"keepalives_idle": 3, "connect_timeout": 4}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", connection.settings_dict["OPTIONS"] | own)
        assert parameters("default").items() >= (own | {"keepalives_interval": 5, "autocommit": True}).items()
        with fenced() as lock:
            asked = lock.raw.info.get_parameters()
        assert (asked["keepalives_idle"], asked["connect_timeout"]) == ("3", "4")


@pytest.fixture
def unlimited(transactional_db):
    """A session, this one, without a limit for transactions that do nothing; the tests' server has one."""
    ask("SELECT set_config(%s, '0', false)", [IDLE])
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"RESET {IDLE}")


def limit():
    return ask(f"SHOW {IDLE}")


def skip():
    with transaction.atomic(), advisory_lock_or_skip(AGENT, 42) as entered:
        return entered


@contextmanager
def limited(own_limit):
    """A holder with a limit of its own, from before it took the lock."""
    with transaction.atomic():
        ask("SELECT set_config(%s, %s, true)", [IDLE, own_limit])
        with advisory_lock(AGENT, 42) as held:
            yield held


class TestTransaction:
    """Of a lock of transaction scope: a holder that does nothing at all is ended, so that others go on."""

    @pytest.mark.parametrize("keys", [[(AGENT, 42)], [(AGENT, 42), (AGENT, 43)]], ids=["one key", "many"])
    def test_where_none_is_set_it_is_a_minute_until_the_transaction_ends(self, unlimited, keys):
        with transaction.atomic():
            assert limit() == "0"
            with advisory_locks(keys):
                assert limit() == "1min"
            assert limit() == "1min"
        assert limit() == "0"

    def test_what_the_user_has_set_is_left_alone(self, unlimited):
        with transaction.atomic():
            ask("SELECT set_config(%s, '90s', true)", [IDLE])
            with advisory_lock(AGENT, 42):
                assert limit() == "90s"

    def test_it_goes_with_the_savepoint_and_comes_with_the_next_lock(self, unlimited):
        with transaction.atomic():
            savepoint = transaction.savepoint()
            with advisory_lock(AGENT, 42):
                pass
            transaction.savepoint_rollback(savepoint)
            assert limit() == "0"
            with advisory_lock(AGENT, 42):
                assert limit() == "1min"

    def test_a_holder_that_exceeds_its_own_limit_is_ended_and_others_go_on(self, actor):
        holder = self._asleep(actor, SHORT)
        self._assert_it_is_ended(holder)

    def test_a_holder_that_exceeds_ours_is_ended_and_others_go_on(self, actor):
        with rewritten([("locks_take", "'60s'", f"'{SHORT}'")]):
            holder = self._asleep(actor, "0")
            self._assert_it_is_ended(holder)

    def _asleep(self, actor, own_limit):
        holder = actor()
        holder.held = holder.enter(limited(own_limit))
        return holder

    def _assert_it_is_ended(self, holder):
        until(skip)
        assert not ask("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", [holder.pid])
        with pytest.raises(LockLost):
            holder.do(holder.held.verify)
