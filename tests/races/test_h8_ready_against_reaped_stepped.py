"""H8, in every order: an agent is reaped between "it is ready" and the send: sent to the living, or refused.

The part that types into an agent's pane is not built. The scene is what it will have to be: a section of session scope
around ready and send, because typing is no transaction, and in it a look at the row that holds until the commit.
"""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from agents.announce import process_place
from agents.cycles import reaper
from agents.models import Agent
from agents.states import Presence
from locks import LockLost, LockNamespace, advisory_lock
from locks.testing import Scene, lose_connection, step
from tests.races.exploring import COMMIT, LOCK, RECORD, agent_of_session, explored, found_wrong, fresh, only_this_run
from tests.races.hooks import Session
from tests.races.mutants import NOT_HELD_TO_THE_COMMIT, rewritten

GONE = (("X-Headspace-Process", f"999999999 1 {process_place()}"),)
STOPS = (LOCK, RECORD, COMMIT)


def fenced(agent_id):
    return advisory_lock(LockNamespace.AGENT, agent_id, scope="session")


class Sender:
    """Sends one message; what it leaves out makes it a mutant."""

    def __init__(self, section=fenced, *, looks_again=True, verifies=True, keeps_the_row=True):
        self.section, self.keeps_the_row = section, keeps_the_row
        self.looks_again, self.verifies = looks_again, verifies
        self.lock = self.sent_to = None

    def send(self, agent_id):
        """Send, once it was ready; what is sent cannot be taken back."""
        is_ready = presence_of(agent_id) != Presence.ENDED
        step("ready")
        with self.section(agent_id) as self.lock:
            step("entered")
            with transaction.atomic():
                if self.verifies:
                    self.lock.verify()
                if self.looks_again:
                    is_ready = self.look(agent_id).presence != Presence.ENDED
                step("send")
                self.sent_to = presence_of(agent_id) if is_ready else None

    def look(self, agent_id):
        agents = Agent.objects.select_for_update(no_key=True) if self.keeps_the_row else Agent.objects.all()
        return agents.get(pk=agent_id)


def presence_of(agent_id):
    return Agent.objects.values_list("presence", flat=True).get(pk=agent_id)


@pytest.fixture
def scene(host, apart):
    """Return a maker of scenes: an agent long silent, whose process is gone, is sent a message."""

    def of(sender, loses=False):
        def make():
            only_this_run()
            agent_id = agent_of_session(fresh(Session(host.token, headers=GONE), ago=timedelta(minutes=10))).pk
            sender.lock = sender.sent_to = None
            acts = {"sender": lambda: sender.send(agent_id), "reaper": lambda: reaper.run_once(timezone.now())}
            if not loses:
                return Scene(acts, (LOCK, RECORD, COMMIT))
            return Scene(acts | {"network": lambda: lose(sender)}, (LOCK,), raises=(LockLost,))

        def check(outcome):
            assert sender.sent_to != Presence.ENDED, "it was sent to an agent that has ended"

        return make, check

    return of


def lose(sender):
    """Let the connection go that holds the lock, if there is one yet."""
    step("fails")
    if sender.lock:
        lose_connection(sender.lock)


def test_it_is_sent_to_the_living_or_refused_in_every_order(scene):
    sender = Sender()
    make, check = scene(sender)
    seen = set()
    explored(make, lambda outcome: (check(outcome), seen.add(sender.sent_to)))
    assert seen == {Presence.ALIVE, None}


def test_also_where_the_lock_is_lost_on_the_way(scene):
    sender = Sender()
    make, check = scene(sender, loses=True)
    seen = set()
    explored(make, lambda outcome: (check(outcome), seen.add((sender.sent_to, type(outcome.results["sender"])))))
    # A loss after the send is told too, and then it is known that the reaper has waited for the row.
    lost_before, lost_after, sent, refused = (
        (None, LockLost),
        ("alive", LockLost),
        ("alive", type(None)),
        (None, type(None)),
    )
    assert seen == {lost_before, lost_after, sent, refused}


MUTANTS = {
    "no look in the section": Sender(looks_again=False),
    "a look, but no section": Sender(lambda agent_id: nullcontext(), verifies=False, keeps_the_row=False),
}


@pytest.mark.parametrize("sender", MUTANTS.values(), ids=MUTANTS)
def test_mutant_in_some_order_it_is_sent_to_an_agent_that_was_reaped(scene, sender):
    with found_wrong("it was sent to an agent that has ended"):
        explored(*scene(sender))


def test_without_keeping_the_row_the_guard_of_the_verified_lock_keeps_the_reaper_out(scene):
    explored(*scene(Sender(keeps_the_row=False), loses=True))


def test_mutant_without_verify_and_without_the_row_it_is_sent_to_an_agent_that_was_reaped(scene):
    with found_wrong("it was sent to an agent that has ended"):
        explored(*scene(Sender(verifies=False, keeps_the_row=False), loses=True))


def test_mutant_without_the_guard_and_without_the_row_it_is_sent_to_an_agent_that_was_reaped(scene):
    with rewritten(NOT_HELD_TO_THE_COMMIT), found_wrong("it was sent to an agent that has ended"):
        explored(*scene(Sender(keeps_the_row=False), loses=True))
