"""A process that enters one section again and again, writes a row in each, and notes in its own file what it was told.

``python -m tests.locks.history_worker NAME ROUNDS WAY FILE``; ways: ``session``, ``unverified`` (session scope without
``verify``), ``transaction``, ``unlocked``. The file says ``told N`` for each token and ``kept N`` after each commit; a
worker that was killed goes on where its file ends. HISTORY_PORTS: two servers, of which one is the primary.
"""

import os
import sys
import time
from pathlib import Path

import django
from django.conf import settings
from django.db import Error, connection, connections, transaction

NAME = "history"
PATIENCE = 20
WORK = {"session": 0.002, "unverified": 0.02, "transaction": 0.002, "unlocked": 0.02}
"""Seconds of work in a section."""


class Told:
    def __init__(self, path):
        self._file = path.open("ab", buffering=0)

    def note(self, word, token):
        self._file.write(f"{word} {token}\n".encode())


def main():
    name, rounds, way, path = sys.argv[1:]
    lead_to_the_primary(os.environ.get("HISTORY_PORTS"))
    django.setup()
    path = Path(path)
    told = Told(path)
    while path.read_text().count("kept") < int(rounds):
        one_round(name, way, told)
    connections.close_all()


def lead_to_the_primary(ports):
    if ports:
        place = settings.DATABASES["default"]
        place |= {"HOST": ",".join("127.0.0.1" for _ in ports.split(",")), "PORT": ports}
        place["OPTIONS"] = {**place.get("OPTIONS", {}), "target_session_attrs": "read-write"}


def one_round(name, way, told):
    """Work once; whatever the database or the lock refuses, there is a next round."""
    from locks import AdvisoryLockError

    rounds = {"session": in_session, "unverified": in_session, "transaction": in_transaction, "unlocked": unlocked}
    try:
        token = rounds[way](name, way, told)
    except (AdvisoryLockError, Error) as error:
        # In the log of the test that fails; a pause, because a server that is away answers at once.
        sys.stderr.write(f"{name}: {type(error).__name__} {error}\n")
        connections.close_all()
        time.sleep(0.02)
    else:
        told.note("left", token)


def in_session(name, way, told):
    from locks import LockNamespace, advisory_lock

    with advisory_lock(LockNamespace.CYCLE, NAME, PATIENCE, scope="session") as lock:
        told.note("told", lock.fence)
        entered_at = asked("SELECT clock_timestamp()")
        with transaction.atomic():
            if way == "session":
                lock.verify()
            write(lock.fence, entered_at, name, WORK[way])
        told.note("kept", lock.fence)
    return lock.fence


def in_transaction(name, way, told):
    from locks import LockNamespace, advisory_lock

    with transaction.atomic(), advisory_lock(LockNamespace.CYCLE, NAME, PATIENCE):
        token = numbered(name, way)
    told.note("told", token)
    told.note("kept", token)
    return token


def unlocked(name, way, told):
    with transaction.atomic():
        token = numbered(name, way)
    told.note("kept", token)
    return token


def numbered(name, way):
    """Write a row whose token is the next number of a sequence; rising, if nobody is inside at the same time."""
    entered_at, token = asked("SELECT clock_timestamp()"), asked("SELECT nextval('history_number')")
    write(token, entered_at, name, WORK[way])
    return token


def write(token, entered_at, name, seconds):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])
        cursor.execute("INSERT INTO history VALUES (%s, %s, %s)", [token, entered_at, name])


def asked(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


if __name__ == "__main__":
    main()
