"""C2: two hooks of an agent at once are applied one at a time, in the client's order, on rows read after the lock.

And who asked too long for the lock is not lost: its hook waits in the inbox, and is applied once, in its order.
"""

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from agents import inbox, intake
from agents.cycles import drainer, reaper
from agents.deliveries import keys_of
from agents.events import Origin
from agents.models import HookEvent
from agents.record import Sight, look
from locks import LockKey, LockNamespace, advisory_lock
from tests.races.hooks import Session
from tests.races.meeting import Actor, Point, answers, meet, passing, third, wait_until, waiting
from tests.races.mutants import (
    NO_AGENT_LOCK,
    NO_INBOX_CHECK,
    NO_VERSION_CHECK,
    READ_BEFORE_THE_LOCK,
    replaced,
    rewritten,
)
from tests.races.truths import agent_of, broken, ends, outcomes, tools, waiting_hooks

SOON, LONG = timedelta(milliseconds=50), timedelta(seconds=60)
"""Patience that certainly ends in this test, and that certainly does not."""


def key():
    return LockKey(LockNamespace.AGENT, agent_of().pk)


# -- read again after the lock ------------------------------------------------


def two_calls_at_once(session):
    """Begin two calls at once and return those that are known to be under way."""
    meet(agent_of().pk, lambda: session.pre("t1"), lambda: session.pre("t2"))
    return tools(agent_of())


def test_what_the_other_one_wrote_while_we_waited_is_kept(agent, apart):
    assert two_calls_at_once(agent) == {"t1", "t2"}
    assert broken() == []
    assert outcomes()["applied"] == 4


@pytest.mark.parametrize(
    "guard", [NO_VERSION_CHECK, NO_AGENT_LOCK, READ_BEFORE_THE_LOCK], ids=["version", "lock", "read before the lock"]
)
def test_mutant_rows_from_before_the_wait_undo_what_the_other_one_wrote(agent, apart, guard):
    with rewritten(guard):
        assert two_calls_at_once(agent) == {"t2"}


def test_many_hooks_at_once_are_all_kept(agent, apart, limits):
    limits(BUSY_AFTER=LONG)
    with third() as busy:
        busy.lock(key())
        actors = [Actor(agent.pre, f"t{number}") for number in range(12)]
        busy.wait_for_waiting(12)
        busy.step_aside()
        assert {answer.outcome for answer in answers(actors)} == {"applied"}
    assert len(tools(agent_of())) == 12
    assert broken() == []


# -- the client's order -------------------------------------------------------


def by_the_next_hook(session):
    assert session.tell("InstructionsLoaded", sequence=9).outcome == "applied"


def by_the_drainer(session):
    assert drainer.run_once(timezone.now()).done == {"drained": 1}


def by_the_reaper(session):
    reaper.run_once(timezone.now())


APPLIERS = [by_the_next_hook, by_the_drainer, by_the_reaper]


def order_of_application():
    """Return the clients' counts of the hooks that moved something, in the order in which they did."""
    changes = agent_of().changes.exclude(event__sequence=None).order_by("version", "pk")
    return list(dict.fromkeys(changes.values_list("event__sequence", flat=True)))


def stored_out_of_order(session, limits, apply):
    """Let a command's hooks arrive in another order than they were sent, at a busy agent, and be applied later."""
    hooks = {
        4: lambda: session.post("q1", "AskUserQuestion", sequence=4),
        2: lambda: session.pre("t1", sequence=2),
        5: lambda: session.stop(sequence=5),
        1: lambda: session.prompt("Do it.", sequence=1),
        3: lambda: session.ask("q1", sequence=3),
    }
    limits(BUSY_AFTER=SOON, SILENT_AFTER=timedelta(microseconds=1))
    with third() as busy:
        busy.lock(key())
        assert {send().outcome for send in hooks.values()} == {"pending"}
        busy.step_aside()
    apply(session)
    assert not waiting_hooks()
    return order_of_application()


@pytest.fixture
def idle(host):
    """A session that was given nothing yet."""
    made = Session(host.token)
    made.start()
    return made


@pytest.mark.parametrize("apply", APPLIERS)
def test_hooks_that_waited_are_applied_in_the_order_in_which_they_were_sent(idle, apart, limits, apply):
    assert stored_out_of_order(idle, limits, apply) == [1, 2, 3, 4, 5]
    assert ends(agent_of()) == [("p1", "complete", "completed")]
    assert agent_of().ambiguous is None
    assert broken() == []


@pytest.mark.parametrize("apply", APPLIERS)
def test_mutant_in_the_order_of_arrival_they_tell_another_story(idle, apart, limits, apply):
    def by_arrival(agent_id, until=None):
        return HookEvent.objects.filter(agent=agent_id, outcome="pending").order_by("pk")

    with replaced(inbox, "waiting", by_arrival):
        assert stored_out_of_order(idle, limits, apply) != [1, 2, 3, 4, 5]
    assert agent_of().ambiguous


def overtaken(session, limits):
    """Let the first hook's patience end while the second one, sent later and more patient, still waits for the lock."""
    with third() as busy:
        busy.lock(key())
        limits(BUSY_AFTER=timedelta(milliseconds=500))
        first = Actor(session.pre, "t1", sequence=1)
        busy.wait_for_waiting(1)
        limits(BUSY_AFTER=LONG)
        second = Actor(session.stop, sequence=2)
        busy.wait_for_waiting(2)
        assert first.answer().outcome == "pending"
        busy.step_aside()
        assert second.answer().outcome == "applied"
    drainer.run_once(timezone.now())
    return order_of_application()


def test_who_gave_up_waiting_still_comes_before_who_waited_on(agent, apart, limits):
    assert overtaken(agent, limits) == [1, 2]


def test_mutant_without_a_look_into_the_inbox_under_the_lock_it_is_overtaken(agent, apart, limits):
    with rewritten(NO_INBOX_CHECK):
        assert overtaken(agent, limits) == [2]


def comes_after_its_successors(session, limits):
    """Let a hook find the lock free, but hooks in the inbox that were sent after it and before it."""
    limits(BUSY_AFTER=SOON)
    with third() as busy:
        busy.lock(key())
        for told in (lambda: session.stop(sequence=3), lambda: session.prompt("Do it.", sequence=1)):
            assert told().outcome == "pending"
        busy.step_aside()
    limits(BUSY_AFTER=LONG)
    assert session.pre("t1", sequence=2).outcome == "applied"
    return order_of_application()


def test_a_hook_that_overtakes_none_takes_its_own_place_among_those_that_wait(idle, apart, limits):
    assert comes_after_its_successors(idle, limits) == [1, 2, 3]
    assert agent_of().ambiguous is None


# -- the loser of a timeout ---------------------------------------------------


def lose_the_lock(session, limits):
    """Let a hook give up at a busy agent, be sent again meanwhile and later; return what the client heard."""
    limits(BUSY_AFTER=SOON)
    with third() as busy:
        busy.lock(key())
        heard = [session.pre("t1", key="k1").outcome, session.pre("t1", key="k1").outcome]
        busy.step_aside()
    heard += [session.pre("t2").outcome, session.pre("t1", key="k1").outcome]
    return heard


def test_the_loser_of_a_timeout_is_not_lost(agent, apart, limits):
    assert lose_the_lock(agent, limits) == ["pending", "duplicate", "applied", "duplicate"]
    assert tools(agent_of()) == {"t1", "t2"}
    assert outcomes() == {"applied": 4}
    assert broken() == []


def test_mutant_without_the_inbox_it_is_lost(agent, apart, limits):
    with replaced(intake, "store", lambda *told: Sight(0, was_written=True)):
        heard = lose_the_lock(agent, limits)
    assert heard == ["pending", "pending", "applied", "applied"]  # the client's last try was its own good luck
    assert outcomes()["applied"] == 4


def stored_meanwhile(session, limits):
    """Let a hook be stored while another one is under the lock and has read the inbox; return the calls under way."""
    limits(BUSY_AFTER=SOON)
    with third() as busy:
        busy.lock(key())
        assert session.pre("t1").outcome == "pending"
        busy.step_aside()
    limits(BUSY_AFTER=LONG)
    inbox_read = Point("SELECT agents_situation(")
    second = Actor(passing(inbox_read, session.pre), "t2")
    inbox_read.wait()
    limits(BUSY_AFTER=SOON)
    assert session.pre("t3").outcome == "pending"
    inbox_read.release()
    heard = second.answer()
    drainer.run_once(timezone.now())
    return heard.outcome, tools(agent_of())


def test_a_hook_that_is_stored_while_another_one_is_under_the_lock_costs_neither(agent, apart, limits):
    assert stored_meanwhile(agent, limits) == ("applied", {"t1", "t2", "t3"})
    assert outcomes() == {"applied": 5}
    assert broken() == []


def drain_and_record(delivery, sight, deadline):
    """Do without the inbox oneself: what is stored between the two steps then keeps the second from being written."""
    patience = intake._remaining(deadline)
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, sight.agent_id, timeout=patience):
        inbox.drain(sight.agent_id, delivery.received_at)
        _, receipt = intake._decide(delivery, look(delivery), deadline)
    return receipt


def test_mutant_one_that_drains_and_does_not_go_through_the_inbox_itself_is_lost(agent, apart, limits):
    with replaced(intake, "_settle_in_order", drain_and_record):
        assert stored_meanwhile(agent, limits) == ("applied", {"t1", "t3"})


def key_of_prompt(session, client_key):
    """Return the key under which a prompt will stand in the journal."""
    told = session.payload("UserPromptSubmit", prompt="Do it.")
    origin = Origin(session.vendor, session.session, name="UserPromptSubmit")
    (found,), _ = keys_of(client_key, origin, json.dumps(told).encode(), timezone.now(), SOON)
    return found


def test_a_hook_that_is_stored_in_the_moment_in_which_its_session_is_adopted_is_applied(host, apart, limits):
    """It found no agent, and is written when there is one: who keeps its key busy makes the moment last."""
    session = Session(host.token)
    limits(BUSY_AFTER=LONG)
    adopting = Point('INSERT INTO "agents_agentsession"')
    first = Actor(passing(adopting, session.start))
    adopting.wait()
    limits(BUSY_AFTER=SOON)
    with third() as busy:
        busy.do(
            "INSERT INTO agents_hookevent (host_id, vendor, session_id, name, key, headers, received_at, outcome,"
            " payload, size, truncated) VALUES (%s, '', '', '', %s, '{}', now(), 'pending', '{}', 0, false)",
            [host.pk, key_of_prompt(session, "k1")],
        )
        second = Actor(session.prompt, key="k1")
        busy.wait_for_waiting(1)
        wait_until(lambda: "advisory" not in waiting().values())
        adopting.release()
        assert first.answer().outcome == "applied"
        busy.do("ROLLBACK")
    assert second.answer().outcome == "pending"
    assert HookEvent.objects.get(outcome="pending").agent is None
    drainer.run_once(timezone.now())
    assert not waiting_hooks()
    assert ends(agent_of()) == [("p1", "commanded", "")]
