"""The reaper: silence labels an agent, only evidence ends it.

Evidence is the process itself: its host told pid, start time and process table at the session's start, and this pass
runs on the same machine and finds it gone, or finds another process under that pid. Where nothing can be looked at, a
long silence makes the presence unknown, and the next hook makes it alive again.
"""

import os
from datetime import datetime

from django.db.models import Q

from agents import conf, inbox
from agents.announce import process_place, process_start
from agents.cycles.passing import go_over
from agents.cycles.report import Report
from agents.models import Agent
from agents.plans import Change
from agents.record import read_situation, write
from agents.situations import Transition
from agents.snapshots import Row, situation_of
from agents.states import Presence
from agents.transitions import lost, unheard

NAME = "reap"
AT_MOST = 1000
"""How many agents one pass looks at, the longest silence first; the rest comes with the next pass."""


def run_once(now: datetime) -> Report:
    """Look at every agent that was silent for a while, and end or label it as the evidence says."""
    silent = Agent.objects.silent_since(now - conf.silent_after()).filter(_worth_a_look())
    return go_over(NAME, list(silent.values_list("pk", flat=True)[:AT_MOST]), _judge, now)


def _worth_a_look() -> Q:
    """Leave out those that are unknown already and run elsewhere: there are ever more of them, and nothing to find."""
    worth, here = Q(presence=Presence.ALIVE), process_place()
    return worth | Q(process_place=here) if here else worth


def _judge(agent_id: int, now: datetime) -> str:
    """Judge one agent on its fresh rows: a hook that came first has saved it (H1)."""
    inbox.drain(agent_id, now)
    found = read_situation(agent_id)
    silence = now - datetime.fromisoformat(found["agent"]["last_seen_at"])
    if silence < conf.silent_after() or found["agent"]["presence"] == Presence.ENDED:
        return ""
    situation = situation_of(found)
    living = is_living(found["agent"])
    if living is False:
        return _write(found, lost(situation, "its process is gone"), now, "ended")
    if living is None and silence >= conf.unknown_after() and situation.presence is Presence.ALIVE:
        minutes = int(silence.total_seconds() // 60)
        return _write(found, unheard(situation, f"not heard for {minutes} minutes"), now, "unknown")
    return "living" if living else ""


def is_living(agent: Row) -> bool | None:
    """Say whether the agent's process lives; None where that cannot be known from here."""
    place = agent["process_place"]
    if not place or agent["pid"] is None or place != process_place():
        return None
    started = process_start(agent["pid"])
    if started is None and _is_hidden(agent["pid"]):
        return None
    return bool(started == agent["process_started"])


def _is_hidden(pid: int) -> bool:
    """Say whether there is a process that may not be looked at: what cannot be seen is not gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False


def _write(found: Row, transition: Transition, now: datetime, word: str) -> str:
    written = write(Change(found, transition, now, who=f"cycle {NAME}"), conf.busy_after()).was_written
    return word if written else ""  # somebody wrote without the lock: a later pass judges that
