"""What PostgreSQL can do: pgbench on the same server and tables, with a script that stands beside this file."""

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from headspace.postgres_account import packaged_programs, server_environment

HERE = Path(__file__).resolve().parent


@dataclass
class Limit:
    """Agents that only pgbench writes to, and what it writes: the same as one of our hooks."""

    url: str
    values: dict = field(default_factory=dict)

    @classmethod
    def of(cls, place, agents, plan):
        """Return the limit for these agents of the place (their rows follow each other), with what this plan writes."""
        hook, agent = plan["event"], plan["agent"]
        values = {
            "first": place.ask("SELECT id FROM agents_agent WHERE session_id = %s", [agents[0].session_id]),
            "host": place.ask("SELECT min(id) FROM agents_host"),
            "token": place.ask("SELECT token_digest FROM agents_host ORDER BY id LIMIT 1"),
            "session": hook["session_id"],
            "payload": json.dumps(hook["payload"]),
            "working": json.dumps(agent["working"]),
            "reason": agent["reason"],
            "plan": json.dumps(plan),
        }
        return cls(place.url, values)

    def written(self):
        """Return how many hooks our function has journaled for pgbench."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT count(*) FROM agents_hookevent WHERE key LIKE 'function:%'")
            return found.fetchone()[0]

    def run(self, script, agents, clients, seconds):
        """Return transactions/s and milliseconds that so many clients saw on so many agents."""
        with tempfile.TemporaryDirectory() as folder:
            command = [packaged_programs() / "pgbench", "--no-vacuum", "--protocol=prepared", f"--file={HERE / script}"]
            command += [f"--client={clients}", f"--time={seconds}", "--log", f"--log-prefix={folder}/log"]
            for name, value in {**self.values, "agents": agents}.items():
                command += ["--define", f"{name}={value}"]
            done = subprocess.run(
                [*command, self.url], env=server_environment(), capture_output=True, text=True, check=False, timeout=120
            )
            if done.returncode or "failed transactions: 0 " not in done.stdout:
                raise RuntimeError(done.stdout + done.stderr)
            return _seen(Path(folder), seconds)


def _seen(folder, seconds):
    # Each line: client, its count, microseconds, …
    lines = [line.split() for log in folder.iterdir() for line in log.read_text().splitlines()]
    latencies = sorted(int(fields[2]) / 1000 for fields in lines)
    return {
        "count": len(latencies),
        "rate": len(latencies) / seconds,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }
