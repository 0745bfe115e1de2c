"""What is written for durability: bytes of the write-ahead log, and how often a client had to wait for the disk."""

import contextlib

import psycopg

# PostgreSQL 18 counts them there; its clients tell when they end, or ten seconds after they became idle.
FSYNCS = "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'"


@contextlib.contextmanager
def written(url):
    """Yield what becomes the bytes and fsyncs of the block; who wrote in it must have disconnected at its end."""
    with psycopg.connect(url, autocommit=True) as connection:
        seen = {}
        before = _now(connection)
        yield seen
        after = _now(connection)
    seen |= {name: after[name] - before[name] for name in before}


def _now(connection):
    connection.execute("SELECT pg_stat_clear_snapshot()")
    (position,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    (fsyncs,) = connection.execute(FSYNCS).fetchone()
    return {"bytes": int(position), "fsyncs": fsyncs}
