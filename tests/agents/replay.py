"""Recorded sessions, told again over real connections to a running Headspace, each time with ids of their own."""

import http.client
import json
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Barrier

from agents.models import Agent
from tests.agents.payload_files import lines, payload

RECORDED = ("headless-api-error", "headless-tools-and-subagent", "interactive-permission-esc-compact-clear")
CODEX = (
    "session-start",
    "user-prompt-submit",
    "pre-model-request",
    "pre-tool-use",
    "post-tool-use",
    "stop",
    "session-end",
)
IDS = ("session_id", "prompt_id", "tool_use_id", "agent_id", "turn_id", "message_id")
WITHIN = 30  # seconds: how long an answer may take


# -- connections --------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict
    body: bytes

    @property
    def outcome(self):
        return self.headers.get("X-Headspace-Outcome")

    @property
    def document(self):
        return json.loads(self.body)


class Wire:
    """One connection that stays open, as the client keeps its own."""

    def __init__(self, door):
        self.token = door.token
        self.connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=WITHIN)

    def ask(self, method, path, body=None, **headers):
        """Send one request as it is; a header's name is written with underscores, one that is None is left out."""
        sent = {
            "Accept": "application/json, text/plain, */*",
            "Content-Type": "application/json",
            "User-Agent": "axios/1.15.2",
            "Accept-Encoding": "gzip, compress, deflate, br",
            "Authorization": f"Bearer {self.token}",
            "Connection": "keep-alive",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in sent.items() if value is not None}
        self.connection.request(method, path, body, given)
        answer = self.connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())

    def post(self, body, vendor="claude-code", **headers):
        """Send a hook's body: an object, or bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        return self.ask("POST", f"/hooks/{vendor}", raw, **headers)

    def close(self):
        self.connection.close()


@dataclass(frozen=True)
class Door:
    """Where hooks are taken in, and a host's token."""

    port: int
    token: str

    @contextmanager
    def wires(self, count):
        """Yield so many connections, each of which is closed afterwards."""
        wires = [Wire(self) for _ in range(count)]
        try:
            yield wires
        finally:
            for wire in wires:
                wire.close()

    @contextmanager
    def wire(self):
        with self.wires(1) as (wire,):
            yield wire


def together(calls):
    """Make calls without arguments at the same moment, each in a thread of its own, and return what they return."""
    barrier = Barrier(len(calls))

    def one(call):
        barrier.wait(WITHIN)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


def eventually(fact):
    """Wait until something is so."""
    end = time.monotonic() + WITHIN
    while not fact():
        assert time.monotonic() < end, f"it did not come to be within {WITHIN} s"
        time.sleep(0.02)


# -- sessions -----------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """The payloads of a session, in the order in which they arrived, with ids of its own."""

    vendor: str
    payloads: list
    recorded_ids: dict
    """Own id → the recorded one."""
    process: str = ""
    """Which process its starts say that it is, as the command that announces them does."""

    def as_recorded(self, value):
        """Return a JSON value with its ids as they were recorded."""
        return _replaced(value, self.recorded_ids)

    def tell(self, wire, places=None):
        """Send the payloads (those at ``places``) one after another and return the answers."""
        chosen = range(len(self.payloads)) if places is None else places
        return [self.tell_one(wire, place) for place in chosen]

    def tell_one(self, wire, place, **headers):
        body = self.payloads[place]
        if self.process and body["hook_event_name"] == "SessionStart":
            headers["X_Headspace_Process"] = self.process
        return wire.post(body, self.vendor, **headers)


def session(name, process=""):
    """Return a recorded session as if it happened anew."""
    vendor, payloads = _recorded(name)
    ids = {value for one in payloads for value in _ids_in(one)}
    fresh = {old: _like(old) for old in ids}
    return Session(vendor, _replaced(payloads, fresh), {new: old for old, new in fresh.items()}, process)


def _recorded(name):
    if name == "codex":
        return "codex", [payload("codex", f"{file}.json") for file in CODEX]
    return "claude-code", lines("claude-code", f"sessions/{name}.jsonl")


def _ids_in(value):
    if isinstance(value, dict):
        yield from (value[key] for key in IDS if key in value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _ids_in(item)


def _like(old):
    """Return a new id of the same shape."""
    kind, mark, number = old.rpartition("_")
    return kind + mark + re.sub("[0-9a-f]", lambda _: secrets.choice("0123456789abcdef"), number)


def _replaced(value, names):
    """Return a JSON value with names replaced wherever they stand, also inside texts."""
    if not names:
        return value
    pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    return json.loads(pattern.sub(lambda found: names[found[0]], json.dumps(value)))


# -- rows ---------------------------------------------------------------------


def rows_of(told):
    """Return what a session's agents are in the database, with the ids as recorded: plain values, oldest first."""
    sessions = {one["session_id"] for one in told.payloads}
    agents = Agent.objects.filter(sessions__session_id__in=sessions).distinct().order_by("pk")
    return told.as_recorded([_agent(agent) for agent in agents])


def _agent(agent):
    commands = list(agent.commands.order_by("pk"))
    place = {command.pk: number for number, command in enumerate(commands)}
    return {
        "presence": agent.presence,
        "state": agent.state,
        "reason": agent.reason,
        "end_reason": agent.end_reason,
        "ambiguous": agent.ambiguous,
        "generation": agent.generation,
        "session_id": agent.session_id,
        "model": agent.model,
        "sessions": [
            [row.session_id, row.end_reason if row.ended_at else None] for row in agent.sessions.order_by("pk")
        ],
        "commands": [_command(command) for command in commands],
        "turns": [[place[row.command_id], row.actor, row.intent, row.text] for row in agent.turns.order_by("pk")],
        "waits": [_wait(row, place) for row in agent.waits.order_by("pk")],
        "changes": [
            [place.get(row.command_id), row.before, row.after, row.trigger, row.reason]
            for row in agent.changes.order_by("pk")
        ],
    }


def _command(row):
    return {
        "prompt": row.prompt,
        "prompt_ids": row.prompt_ids,
        "state": row.state,
        "outcome": row.outcome,
        "reason": row.reason,
        "inferred": row.inferred,
        "gaps": sorted(row.gaps),
    }


def _wait(row, place):
    return {
        "command": place[row.command_id],
        "asking": row.asking,
        "tool": row.tool_name,
        "use_id": row.use_id,
        "text": row.text,
        "closed_by": row.closed_by if row.closed_at else None,
    }
