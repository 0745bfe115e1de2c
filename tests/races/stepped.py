"""The web's application, with a stop at every step, and with a guard switched off if asked.

Loaded by gunicorn in processes of their own; RACES_WATCHER is where it tells where it stands, RACES_MUTANT which guard.
"""

import json
import os
from contextlib import closing, nullcontext

from django.db import connection, connections
from django.db.backends.signals import connection_created

from headspace.wsgi import application as whole
from tests.races.steps import install, tell

# Django is set up by the import above.
from agents import intake, record  # isort: skip


WATCHER = os.environ.get("RACES_WATCHER", "")


def stop(place):
    raw = connection.connection
    tell(WATCHER, place, raw.info.backend_pid if raw else 0)


def stop_in(connection, **signal):
    if "commit" not in vars(connection):
        install(connection, stop)


def application(environ, start_response):
    response = whole(environ, start_response)
    if WATCHER:
        stop("before the answer")
    return response


def two_commits():
    """Write what was said in a transaction of its own, after the rest."""
    ask = record._ask

    def asked(sql, params):
        if not sql.startswith("SELECT agents_record("):
            return ask(sql, params)
        plan = json.loads(params[-1])
        turns = plan.pop("turns", [])
        answer = ask(sql, [*params[:-1], json.dumps(plan)])
        for turn in turns if answer["written"] else ():
            agent, command = answer["situation"]["agent"]["id"], answer["situation"]["command"]["id"]
            ask(
                "INSERT INTO agents_turn (agent_id, command_id, actor, intent, text, summary, said_at)"
                " VALUES (%s, %s, %s, %s, %s, '', now()) RETURNING to_jsonb(id)",
                [agent, command, turn["actor"], turn["intent"], turn["text"]],
            )
        return answer

    record._ask = asked


def no_lanes():
    """Admit everybody, as if no process had lanes."""
    intake._lanes = Open


class Open:
    def enter(self, key, patience):
        return nullcontext(True)

    def waiting(self, key):
        return 0


def second_connection():
    """Take a second connection for each record, as who keeps the lock on a connection of its own."""
    write = record._record

    def recorded(change, patience, who):
        with closing(connections.create_connection("default")) as other:
            other.ensure_connection()
            return write(change, patience, who)

    record._record = recorded


if WATCHER:
    connection_created.connect(stop_in)
if "RACES_MUTANT" in os.environ:
    globals()[os.environ["RACES_MUTANT"]]()
