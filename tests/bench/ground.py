"""The rows that a benchmark works on: agents for us, agents for pgbench, and a journal that was written before."""

import json
from dataclasses import dataclass

import psycopg

from tests.bench.limit import Limit

AGENTS = 100
JOURNAL_ROWS = 20_000

JOURNAL = """
INSERT INTO agents_hookevent (host_id, agent_id, vendor, session_id, name, key, headers, received_at, applied_at,
  outcome, payload, size, truncated)
SELECT a.host_id, a.id, a.vendor, a.session_id, 'PostToolUse', 'before:' || n, '{}', now() - interval '1 hour',
  now() - interval '1 hour', 'applied', %s, %s, false
FROM generate_series(1, %s) AS n JOIN (
  SELECT *, row_number() OVER (ORDER BY id) AS place FROM agents_agent) AS a ON a.place = 1 + n %% %s
"""

BOOKS = """
WITH ours AS (SELECT id AS agent_id FROM agents_agent WHERE session_id = ANY (%s))
SELECT count(*), count(*) FILTER (WHERE e.outcome = 'applied'),
  (SELECT sum(version)::bigint FROM agents_agent WHERE id IN (SELECT agent_id FROM ours))
FROM agents_hookevent e JOIN ours USING (agent_id)
"""


@dataclass
class Ground:
    """The filled tables of a place whose Headspace runs."""

    place: object
    agents: list
    """Ours; nobody but our hooks writes to them."""
    limit: Limit
    costs: dict
    """What each kind of hook sends to the server."""

    @classmethod
    def of(cls, place):
        told = json.loads(place.output_of(["-m", "tests.bench.counted"]))
        ours, theirs = place.populate(AGENTS), place.populate(AGENTS)
        hook = told["plan"]["event"]
        with psycopg.connect(place.url, autocommit=True) as connection:
            connection.execute(JOURNAL, [json.dumps(hook["payload"]), hook["size"], JOURNAL_ROWS, 2 * AGENTS])
            connection.execute("VACUUM (ANALYZE)")
        return cls(place, ours, Limit.of(place, theirs, told["plan"]), told["costs"])

    def load(self, agents, clients, seconds, *, apart=False, port=0):
        """Return what so many clients saw while they sent hooks of so many of our agents (``load.py`` on ``apart``)."""
        wanted = {
            "port": port or self.place.door.port,
            "token": self.place.door.token,
            "agents": [[agent.session_id, agent.prompt_id] for agent in self.agents[:agents]],
            "clients": clients,
            "apart": apart,
            "seconds": seconds,
        }
        return json.loads(self.place.output_of(["-m", "tests.bench.load"], json.dumps(wanted)))

    def books(self):
        """Return how many hooks of our agents are journaled and applied, and how often these agents were written."""
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            row = connection.execute(BOOKS, [[agent.session_id for agent in self.agents]]).fetchone()
        return dict(zip(("journaled", "applied", "written"), row, strict=True))

    def inbox(self):
        """Return how many hooks wait."""
        return self.place.ask("SELECT count(*) FROM agents_hookevent WHERE outcome = 'pending'")
