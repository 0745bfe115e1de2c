"""The hook path's way to the rows: look, and record what was decided if what it was decided on still stands.

Each is one message to the server (``migrations/0002_hook_path.py``). A record answers with what is there now, so a hook
that follows another one on the same process needs no look.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.backends.utils import CursorWrapper

from agents.decisions import PROCEED, Decision, decision_as_row, decision_of_row
from agents.deliveries import Delivery
from agents.errors import UnknownHost
from agents.plans import Change, journal_row, plan_of
from agents.snapshots import Row
from agents.states import Mode
from locks import Label, LockKey, LockNamespace, asking

ANY = "any"
"""Instead of a mode: whatever it is."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a hook finds: its host, its agent if there is one, and whether it was here before."""

    host_id: int
    found: Row | None = None
    """The agent with its open command and waits, as ``agents_situation`` returns them."""
    is_repeat: bool = False
    answer: Decision = PROCEED
    """What a repeat was answered the first time."""
    was_written: bool = False
    """Whether this is what a record, or a store, left behind."""
    is_behind: bool = False
    """Whether hooks of its agent or its session wait in the inbox."""

    @property
    def agent_id(self) -> int | None:
        """The agent's primary key."""
        return self.found["agent"]["id"] if self.found else None

    @property
    def is_ready(self) -> bool:
        """Whether a hook can be judged on it: there is an agent, and no hook waits in its inbox."""
        return bool(self.found and not self.is_behind)

    @property
    def mode(self) -> Mode | None:
        """The mode of its agent, as it is committed."""
        return Mode(self.found["agent"]["mode"]) if self.found else None


def look(delivery: Delivery) -> Sight:
    """Return what the hook finds now. Raises ``UnknownHost``."""
    origin = delivery.event.origin
    return _sight(
        _ask(
            "SELECT agents_look(%s, %s, %s, %s, %s)",
            [delivery.token_digest, origin.vendor, origin.session_id, list(delivery.keys), delivery.since],
        )
    )


def store(delivery: Delivery, decision: Decision, mode: Mode | str | None) -> Sight:
    """Store a hook in the inbox with its answer and without its agent's lock. Raises ``UnknownHost``. One statement.

    Nothing is written where the agent has another mode by now than ``mode``, on which the answer was decided: None
    where there was no agent, ``ANY`` where the answer does not depend on it.
    """
    row = json.dumps({**journal_row(delivery), "answer": decision_as_row(decision)}, separators=(",", ":"))
    who = [delivery.token_digest, list(delivery.keys), delivery.since]
    return _sight(_ask("SELECT agents_store(%s, %s, %s, %s, %s)", [*who, mode or "none", row]))


def record(change: Change, delivery: Delivery, patience: timedelta) -> Sight:
    """Journal a hook and write what was judged of it, or nothing where what it was judged on does not stand any more.

    Nothing is written either where hooks wait in the inbox before it. Raises ``LockTimeout`` when the agent's lock was
    busy for longer than ``patience``, and ``UnknownHost`` when the token was revoked meanwhile. One statement; where no
    transaction is open it is its own, with one commit.
    """
    who = [delivery.token_digest, list(delivery.keys), delivery.since]
    return _sight(_record(change, patience, who))


def apply_stored(change: Change, delivery: Delivery, patience: timedelta) -> Sight:
    """Write what was judged of a hook that waited in the inbox. The lock is held by the caller."""
    return _sight(_record(change, patience, [None, list(delivery.keys), delivery.since]))


def write(change: Change, patience: timedelta) -> Sight:
    """Write what a cycle judged. The lock is held by the caller."""
    return _sight(_record(change, patience, [None, [], None]))


def read_situation(agent_id: int) -> Row:
    """Return one agent as the rules see it."""
    found: Row = _ask("SELECT agents_situation(%s)", [agent_id])
    return found


def _record(change: Change, patience: timedelta, who: list[Any]) -> Any:
    agent = change.found["agent"]
    key = LockKey(LockNamespace.AGENT, agent["id"])
    label = Label(change.who, change.correlation_id).text
    lock = [key.id, int(key.namespace), max(1, int(patience.total_seconds() * 1000)), label]
    plan = json.dumps(plan_of(change), separators=(",", ":"))
    with asking(key) as asked:
        answer = _ask(
            "SELECT agents_record(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [*who, agent["id"], agent["version"], *lock, plan],
        )
        if answer and "waited_ms" in answer:
            asked.waited = answer["waited_ms"] / 1000
    return answer


def _ask(sql: str, params: list[Any]) -> Any:
    with _cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    answer = row[0] if row else None
    return json.loads(answer) if isinstance(answer, str) else answer


def _cursor() -> CursorWrapper:
    """Return a cursor that binds on the server: quoting a payload into the statement costs more than sending it."""
    connection.ensure_connection()
    raw = cast(Any, ServerBindingCursor)(connection.connection)  # the stubs know neither of the two
    return connection.make_debug_cursor(raw) if connection.queries_logged else connection.make_cursor(raw)


def _sight(found: Any) -> Sight:
    if found is None:
        raise UnknownHost("No host answers to this token.")
    repeat = found.get("repeat")
    answer = decision_of_row(repeat["answer"]) if repeat else PROCEED
    return Sight(
        host_id=found["host"],
        found=found.get("situation"),
        is_repeat=repeat is not None,
        answer=answer,
        was_written=found.get("written", False),
        is_behind=found.get("waiting", False),
    )
