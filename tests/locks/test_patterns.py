"""The patterns of ``concurrency-patterns.md``: each example does what the page promises, at the price it names."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents.models import Agent, Project, Turn
from locks import LockDeadlock, LockLost, LockUpgrade, RowBusy, advisory_lock, advisory_lock_or_skip
from tests.agents.rows import make_agent, make_command, make_host, make_project, make_turn
from tests.locks.actors import PATIENCE, ask, until, until_waiting
from tests.locks.patterns_page import Claim, claims, examples

pytestmark = pytest.mark.django_db(transaction=True)
HOLDER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
INDEX = "turn_by_length"


@pytest.fixture
def page():
    return examples()


@pytest.fixture
def agent(transactional_db):
    return make_agent()


@pytest.fixture
def turn(agent):
    return make_turn(make_command(agent))


@pytest.fixture
def claim(turn):
    """A turn that is to be summarised, by whoever claims it."""
    with claims():
        yield Claim.objects.create(turn_id=turn.pk, until=timezone.now() - timedelta(days=1))


@pytest.fixture
def somebody(actor):
    """Somebody whose transaction goes on after what they are told to do, so that others meet them there."""
    made = actor()
    made.enter(transaction.atomic())
    return made


class Slow:
    """Foreign work that takes as long as the test likes."""

    def __init__(self, answer):
        self._answer = answer
        self.begun, self._end = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self._end.wait(PATIENCE)
        return self._answer

    def end(self):
        self._end.set()


def begun(actor, act, subject, answer):
    """Let somebody begin slow work, and return the work and the future."""
    slow = Slow(answer)
    result = actor.start(act, subject, slow)
    assert slow.begun.wait(PATIENCE)
    return slow, result


def both(somebody, other, act, *args):
    """Let both do it, the second one while the first one's transaction is open; return what the two were told."""
    first = somebody.do(act, *args)
    second = other.start(act, *args)
    until_waiting(other)
    somebody.leave()
    return first, second.result(PATIENCE)


def ran_out(page, claim, actor):
    """Let a claim run out while its holder works, and somebody else do the work; return what came of it."""
    slow, result = begun(actor, page.summarise_once, claim.turn_id, "oldest")
    Claim.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert page.summarise_once(claim.turn_id, lambda: "newest") == "newest"
    slow.end()
    return result.result(PATIENCE), Turn.objects.get().summary


def lost(page, agent, actor):
    """Let a holder's lock be lost while it works, and somebody else do the work; return what is written in the end."""
    slow, result = begun(actor, page.explain, agent.pk, "oldest")
    ask("SELECT pg_terminate_backend(%s, 5000)", [ask(HOLDER)])
    page.explain(agent.pk, lambda: "newest")
    slow.end()
    with pytest.raises(LockLost):
        result.result(PATIENCE)
    return Agent.objects.get().reason


def crossing(page, somebody, one, other):
    """Let one move a project from here to there and another one back, both while somebody is at the first of the two.

    Return whether the second place was free when both waited, and what is to come of them.
    """
    here, there = make_host("here").pk, make_host("there").pk
    mine, theirs = page.add_project(here, "mine").pk, page.add_project(there, "theirs").pk
    somebody.enter(advisory_lock(page.Keys.HOST, here))
    moves = [one.start(page.move_project, mine, here, there)]
    until_waiting(one)
    moves.append(other.start(page.move_project, theirs, there, here))
    until_waiting(other)
    with transaction.atomic(), advisory_lock_or_skip(page.Keys.HOST, there) as is_free:
        pass
    somebody.leave()
    return is_free, moves


class TestNarrowWrite:
    def test_two_who_spend_at_once_have_spent_both(self, page, agent, somebody, actor):
        both(somebody, actor(), page.spend, agent.pk, Decimal("0.25"))
        assert Agent.objects.get().cost_usd == Decimal("0.5")

    def test_what_somebody_else_wrote_since_is_not_written_over(self, page, turn):
        Turn.objects.update(entry_id="e1")
        page.summarise(turn, "short")
        assert Turn.objects.values_list("summary", "entry_id").get() == ("short", "e1")

    def test_mutant_a_plain_save_writes_back_what_was_read_before(self, page, agent):
        page.spend(agent.pk, 1)
        agent.cwd = "elsewhere"
        agent.save()
        assert Agent.objects.get().cost_usd is None


class TestCompareAndSet:
    def test_of_two_who_saw_the_same_one_is_told_that_the_other_was_faster(self, page, agent, somebody, actor):
        assert both(somebody, actor(), page.hold, agent.pk, agent.version) == (True, False)
        assert Agent.objects.values_list("mode", "version").get() == ("hold", 1)

    def test_whatever_has_happened_since_counts(self, page, agent):
        Agent.objects.update(cwd="elsewhere")
        assert page.hold(agent.pk, agent.version) is False

    def test_mutant_without_the_comparison_both_believe_to_have_been_first(self, agent, somebody, actor):
        page = examples(without=", version=version_seen")
        assert both(somebody, actor(), page.hold, agent.pk, agent.version) == (True, True)


class TestRowLockWithoutAWait:
    def test_who_comes_second_is_told_at_once_and_goes_on(self, page, somebody):
        agent = make_agent(ambiguous="two claim it")
        assert somebody.do(page.settle, agent.pk) is True
        with transaction.atomic():
            with pytest.raises(RowBusy):
                page.settle(agent.pk)
            assert Agent.objects.get().ambiguous == "two claim it"
        somebody.leave()
        assert page.settle(agent.pk) is False
        assert Agent.objects.get().reason == "settled: two claim it"

    def test_it_stands_in_the_way_of_whoever_inserts_a_row_that_refers_to_it(self, page, somebody, actor):
        other, agent = actor(), make_agent(ambiguous="two claim it")
        command = make_command(agent)
        assert somebody.do(page.settle, agent.pk)
        inserted = other.start(make_turn, command)
        until_waiting(other)
        somebody.leave()
        assert inserted.result(PATIENCE)

    def test_mutant_without_the_row_lock_who_comes_second_waits_and_settles_again(self, somebody, actor):
        page, agent = examples(without="locked_nowait(agent_id)", instead="get(pk=agent_id)"), make_agent(ambiguous="x")
        assert both(somebody, actor(), page.settle, agent.pk) == (True, True)


class TestTransactionLock:
    def test_who_waited_sees_what_the_other_one_wrote(self, page, somebody, actor):
        first, second = both(somebody, actor(), page.add_project, make_host().pk, "/home/ada/web", 1)
        assert (first.root, second) == ("/home/ada/web", None)

    def test_mutant_without_the_lock_there_are_too_many(self, somebody):
        page, host = examples(without=", advisory_lock(Keys.HOST, host_id, timeout=5):", instead=":"), make_host()
        somebody.do(page.add_project, host.pk, "/home/ada/web", 1)
        page.add_project(host.pk, "/home/ada/api", 1)
        somebody.leave()
        assert Project.objects.count() == 2


class TestSeveralKeys:
    def test_two_who_name_them_the_other_way_round_come_through_one_after_the_other(self, page, somebody, actor):
        is_free, moves = crossing(page, somebody, actor(), actor())
        assert is_free
        assert [move.result(PATIENCE) for move in moves] == [True, True]
        assert dict(Project.objects.values_list("root", "host__name")) == {"mine": "there", "theirs": "here"}

    def test_mutant_in_the_order_in_which_they_are_named_they_wait_in_a_circle(
        self, page, somebody, actor, monkeypatch
    ):
        monkeypatch.setattr("locks.advisory.in_order", tuple)
        is_free, moves = crossing(page, somebody, actor(), actor())
        assert not is_free
        assert [type(move.exception(PATIENCE)) for move in moves].count(LockDeadlock) == 1


class TestSharedLock:
    def test_readers_are_let_in_together_and_a_writer_after_them(self, page, agent, somebody, actor):
        writer = actor()
        assert somebody.do(page.inventory, agent.host_id) == page.inventory(agent.host_id) == ([agent.project.root], 1)
        writing = writer.start(page.add_project, agent.host_id, "/home/ada/api")
        until_waiting(writer)
        somebody.leave()
        assert writing.result(PATIENCE)
        assert page.inventory(agent.host_id) == (["/home/ada/api", agent.project.root], 1)

    def test_who_shares_it_can_not_have_it_alone(self, page, agent):
        with transaction.atomic():
            page.inventory(agent.host_id)
            with pytest.raises(LockUpgrade):
                page.add_project(agent.host_id, "/home/ada/api")

    def test_mutant_alone_they_are_not_let_in_together(self, agent, somebody, actor):
        page = examples(without=", shared=True")
        assert both(somebody, actor(), page.inventory, agent.host_id) == (([agent.project.root], 1),) * 2


class TestSkip:
    def test_who_comes_second_goes_on_and_waits_when_it_was_skipped_too_often(self, page, somebody, actor):
        host, other = make_project(name="").host_id, actor()
        assert somebody.do(page.name_projects, host) == 1
        assert [other.do(page.name_projects, host) for _ in range(3)] == ["skipped"] * 3
        fourth = other.start(page.name_projects, host)
        until_waiting(other)
        somebody.leave()
        assert fourth.result(PATIENCE) == 0

    def test_inside_of_its_own_section_it_says_no(self, page):
        host = make_host().pk
        with transaction.atomic(), advisory_lock(page.Keys.HOST, host):
            assert page.name_projects(host) == "skipped"

    def test_mutant_that_only_ever_tries_is_skipped_for_ever(self, somebody, actor):
        page, host, other = examples(without=", starving=seldom"), make_host().pk, actor()
        somebody.do(page.name_projects, host)
        assert {other.do(page.name_projects, host) for _ in range(10)} == {"skipped"}


class TestClaim:
    def test_one_works_and_holds_nothing_meanwhile_and_the_other_is_turned_away(self, page, claim, actor):
        one = actor()
        slow, result = begun(one, page.summarise_once, claim.turn_id, "short")
        assert page.summarise_once(claim.turn_id, pytest.fail) == "not ours to do"
        assert ask("SELECT xact_start IS NULL FROM pg_stat_activity WHERE pid = %s", [one.pid])
        slow.end()
        assert result.result(PATIENCE) == "short"
        assert page.summarise_once(claim.turn_id, pytest.fail) == "not ours to do"

    def test_of_a_holder_whose_claim_ran_out_the_result_does_not_count(self, page, claim, actor):
        assert ran_out(page, claim, actor()) == ("too late", "newest")

    def test_mutant_that_does_not_look_whose_the_claim_is_writes_over_the_newest(self, claim, actor):
        page = examples(without="if not work.filter(token=token).delete()[0]", instead="if False")
        assert ran_out(page, claim, actor()) == ("oldest", "oldest")


class TestFencedSessionLock:
    def test_who_comes_second_waits_without_a_transaction_of_the_first(self, page, agent, actor):
        one, other = actor(), actor()
        slow, first = begun(one, page.explain, agent.pk, "first")
        second = other.start(page.explain, agent.pk, lambda: "second")
        until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        assert ask("SELECT xact_start IS NULL FROM pg_stat_activity WHERE pid = %s", [one.pid])
        slow.end()
        assert first.result(PATIENCE) < second.result(PATIENCE)
        assert Agent.objects.get().reason == "second"

    def test_work_of_who_has_lost_the_lock_does_not_commit(self, page, agent, actor):
        assert lost(page, agent, actor()) == "newest"

    def test_mutant_that_does_not_verify_writes_over_the_newest(self, agent, actor):
        page = examples(without="            lock.verify()\n")
        assert lost(page, agent, actor()) == "oldest"


class TestMigrationLock:
    def test_an_index_is_made_concurrently_while_the_second_one_waits(self, page, somebody, actor):
        one, other, heard = actor(), actor(), []
        somebody.do(lambda: connection.cursor().execute("LOCK TABLE agents_turn IN ROW EXCLUSIVE MODE"))
        first = one.start(page.index_turns)
        until_waiting(one)
        second = other.start(page.index_turns, heard.append)
        until(lambda: heard)
        somebody.leave()
        first.result(PATIENCE), second.result(PATIENCE)
        assert ask("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [INDEX])
        assert heard[0].startswith("Another node migrates")
        connection.cursor().execute(f"DROP INDEX {INDEX}")
