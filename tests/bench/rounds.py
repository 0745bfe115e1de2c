"""The rounds: in each one every case is measured for PostgreSQL alone and for us, side by side."""

import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.bench.ground import AGENTS
from tests.bench.processes import Others


@dataclass
class Case:
    """So many clients on so many agents, and what was seen of them in each round."""

    clients: int
    agents: int
    apart: bool = False
    """Whether each agent's hooks come over one connection, as a coding agent's client sends them."""
    limit: list = field(default_factory=list)
    functions: list = field(default_factory=list)
    floor: list = field(default_factory=list)
    ours: list = field(default_factory=list)
    others: list = field(default_factory=list)
    """Cores that other programs kept busy meanwhile: where it is not nearly none, measure again."""
    drained_within: float = 0.0
    """Seconds until the inbox was empty after our longest round."""

    @property
    def name(self):
        where = f"{self.agents} agents" if self.agents > 1 else "one agent"
        return f"{self.clients} client{'s' if self.clients > 1 else ''}, {where}{', apart' if self.apart else ''}"

    def median(self, side, what):
        return statistics.median(seen[what] for seen in getattr(self, side))

    def applied_rate(self):
        """Return hooks/s from the first hook until the last was applied, those that waited in the inbox included."""
        return statistics.median(seen["acknowledged"] / seen["until_applied"] for seen in self.ours)

    def outcomes(self):
        return sum((Counter(seen["outcomes"]) for seen in self.ours), Counter())


def cases():
    """Return the cases; to PostgreSQL it is all the same whose client sends what, so that limit is measured once."""
    eight = Case(8, AGENTS)
    apart = Case(8, AGENTS, apart=True, limit=eight.limit, functions=eight.functions, floor=eight.floor)
    return [Case(1, AGENTS), eight, apart, Case(32, AGENTS), Case(32, 1)]


def measure(ground, case, seconds):
    """Add one round to a case: pgbench with plain statements, pgbench with our function, a view that does
    nothing, our hooks. Raises Untrue.
    """
    others = Others()
    if not case.apart:
        _measure_postgres(ground.limit, case, seconds)
        _measure_floor(ground, case, seconds)
    books = Books(ground)
    seen = ground.load(case.agents, case.clients, seconds, apart=case.apart)
    ended_at = time.monotonic()
    ground.place.await_fact(lambda: ground.inbox() == 0, "an empty inbox")
    drained_within = time.monotonic() - ended_at
    seen["until_applied"] = seconds + drained_within
    case.drained_within = max(case.drained_within, drained_within)
    books.verify(seen["acknowledged"])
    case.ours.append(seen)
    case.others.append(others.cores())


def _measure_postgres(limit, case, seconds):
    case.limit.append(limit.run("limit.sql", case.agents, case.clients, seconds))
    # Our processes let one hook of an agent through at a time: on one agent as many wait at the server as there are.
    clients = case.clients if case.agents > 1 else 2
    before = limit.written()
    seen = limit.run("functions.sql", case.agents, clients, 1 + seconds // 3)
    # A call that was overtaken writes nothing.
    case.functions.append({"rate": seen["rate"] * (limit.written() - before) / seen["count"]})


def _measure_floor(ground, case, seconds):
    with ground.place.running_floor() as port:
        ground.load(case.agents, case.clients, 0.5, port=port)  # the first answers wait for its start
        case.floor.append(ground.load(case.agents, case.clients, 1 + seconds // 3, port=port))


class Untrue(Exception):
    """What was acknowledged is not what is in the database."""


class Books:
    """Holds what was acknowledged against what is journaled, applied and written."""

    def __init__(self, ground):
        self._ground = ground
        self._before = ground.books()

    def verify(self, acknowledged):
        """Raise Untrue unless each acknowledged hook is journaled and applied once, and wrote its agent once."""
        counts = {name: count - self._before[name] for name, count in self._ground.books().items()}
        if set(counts.values()) != {acknowledged}:
            raise Untrue(f"{acknowledged} hooks were acknowledged, but since then {counts}")
