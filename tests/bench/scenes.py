"""Hooks whose cost is counted, each with what must have happened before it."""

import contextlib
import io
import json
import sys
from datetime import timedelta
from unittest import mock

from django.conf import settings
from django.db import connection

from agents import intake
from agents.memory import Memory
from agents.models import Agent
from headspace.wsgi import application
from locks import LockKey, LockNamespace
from tests.bench.requests import Conversation
from tests.bench.wire import counted


class Teller:
    """One conversation that tells its hooks to the web's application, in this thread and on its connection."""

    def __init__(self, token):
        self._token = token
        self.conversation = Conversation.new()

    def tell(self, payload):
        """Send a hook and return its outcome, as the web's threads do it from the first signal to the last."""
        started = []
        answer = application(self._environ(json.dumps(payload).encode()), lambda *head: started.append(head))
        said = b"".join(answer)
        answer.close()
        status, headers = started[0][:2]
        assert status.startswith("2"), (status, said)
        return dict(headers)["X-Headspace-Outcome"]

    def _environ(self, body):
        return {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/hooks/claude-code",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_AUTHORIZATION": f"Bearer {self._token}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
        }

    def payload(self, name, **fields):
        return self.conversation.payload(name, **fields)

    def work(self):
        """Bring the agent to where most hooks find it: a command under way, a call of it begun."""
        self.tell(self.payload("session-start"))
        self.tell(self.payload("user-prompt-submit"))
        self.tell(self.call())
        return self

    def neighbour(self):
        """Return another conversation in the same place."""
        return Teller(self._token)

    def call(self, number=1):
        return self.payload("pre-tool-use.bash", tool_use_id=f"toolu_{number}")

    def end_of_call(self, number=1):
        return self.payload("post-tool-use.bash", tool_use_id=f"toolu_{number}")

    @property
    def agent(self):
        return Agent.objects.get(session_id=self.conversation.session_id)


@contextlib.contextmanager
def forgetting():
    """As in a process that was just started."""
    with mock.patch.object(intake, "_memory", Memory()):
        yield


@contextlib.contextmanager
def elsewhere_locked(agent):
    """Somebody holds the agent's lock for as long as the block lasts, and hooks have little patience."""
    key = LockKey(LockNamespace.AGENT, agent.pk)
    hasty = settings.HEADSPACE | {"BUSY_AFTER": timedelta(seconds=0.05)}
    other = connection.copy()
    with contextlib.closing(other), mock.patch.object(settings, "HEADSPACE", hasty):
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT locks_take(%s::text::bigint, %s, 0, 'elsewhere')", [str(key.id), key.namespace])
        yield


def tool_call(teller, measured):
    teller.work()
    return measured(teller.end_of_call())


def tool_call_in_a_new_process(teller, measured):
    teller.work()
    with forgetting():
        return measured(teller.end_of_call())


def tool_call_after_another_process(teller, measured):
    teller.work()
    with forgetting():
        teller.tell(teller.call(2))
    return measured(teller.end_of_call())


def state_change(teller, measured):
    teller.work()
    return measured(teller.payload("stop"))


def state_change_in_a_new_process(teller, measured):
    teller.work()
    with forgetting():
        return measured(teller.payload("stop"))


def prompt(teller, measured):
    teller.work()
    teller.tell(teller.payload("stop"))
    return measured(teller.payload("user-prompt-submit", prompt_id="another"))


def permission(teller, measured):
    teller.work()
    return measured(teller.payload("permission-request.bash"))


def session_end(teller, measured):
    teller.work()
    return measured(teller.payload("session-end"))


def first_hook_of_a_lost_start(teller, measured):
    teller.neighbour().work()
    return measured(teller.payload("user-prompt-submit"))


def first_hook(teller, measured):
    teller.neighbour().work()  # in a project that is known
    return measured(teller.payload("session-start"))


def duplicate(teller, measured):
    teller.work()
    teller.tell(teller.end_of_call())
    return measured(teller.end_of_call())


def busy(teller, measured):
    teller.work()
    with elsewhere_locked(teller.agent):
        return measured(teller.end_of_call())


def behind_one_that_waits(teller, measured):
    teller.work()
    with elsewhere_locked(teller.agent):
        teller.tell(teller.call(2))
    return measured(teller.end_of_call())


SCENES = {
    "tool call": tool_call,
    "tool call, agent new to the process": tool_call_in_a_new_process,
    "tool call, after a hook at the other process": tool_call_after_another_process,
    "change of state: stop": state_change,
    "change of state: prompt": prompt,
    "change of state: permission": permission,
    "change of state: session end": session_end,
    "change of state: stop, agent new to the process": state_change_in_a_new_process,
    "first hook of a session": first_hook,
    "first hook of a session whose start was lost": first_hook_of_a_lost_start,
    "duplicate": duplicate,
    "agent stays busy": busy,
    "behind one that waits": behind_one_that_waits,
}


def cost_of(name, token):
    """Play the scene; return its hook's outcome and counts."""

    def measured(payload):
        with counted(connection) as wire:
            outcome = teller.tell(payload)
        return {"outcome": outcome, **wire.counts}

    teller = Teller(token)
    return SCENES[name](teller, measured)
