"""Guards switched off: the same program with one line less. A scenario that still holds then guards nothing.

What is changed in the database is changed for every connection and process, and is put back at the end; rows that the
mutant broke go with it.
"""

from contextlib import ExitStack, contextmanager

from locks import LockNamespace
from tests.races.meeting import another_connection

_LOCK = "waited_ms := locks_take(lock_id, lock_namespace, patience_ms, label);"
_READ = "SELECT version INTO row_version FROM agents_agent WHERE id = the_agent;"
_READ_LOCKED = _READ.replace(";", " FOR NO KEY UPDATE SKIP LOCKED;")

# Each: the function, what is taken out of it, what is put there.
NO_VERSION_CHECK = [("agents_record", "row_version IS DISTINCT FROM decided_on", "false")]
# Its row's lock would take its place: both are gone.
NO_AGENT_LOCK = [("agents_record", _LOCK, ""), ("agents_record", _READ_LOCKED, _READ)]
NO_ROW_LOCK = [("agents_record", _READ_LOCKED, _READ)]
_ASK = "waited_ms := locks_take(lock_id, namespace, patience_ms, label, shared);"
_NO_ASK = f"waited_ms := 0; IF namespace <> {LockNamespace.SESSION:d} THEN {_ASK} END IF;"
NO_NAME_LOCK = [("locks_ask", _ASK, _NO_ASK)]
_KEYS, _CONFLICT = "e.key = ANY (keys)", "ON CONFLICT (host_id, key) DO NOTHING"
BLIND_LOOK = [("agents_look", _KEYS, "false")]
BLIND_RECORD = [("agents_record", _KEYS, "false")]
NO_CONFLICT = [("agents_record", _CONFLICT, ""), ("agents_store", _CONFLICT, "")]
NO_INBOX_CHECK = [("agents_record", "IF token IS NOT NULL AND agents_waiting(", "IF false AND agents_waiting(")]
READ_BEFORE_THE_LOCK = [("agents_record", _READ_LOCKED, ""), ("agents_record", _LOCK, f"{_READ} {_LOCK}")]
_TRY = "ELSE pg_catalog.pg_try_advisory_xact_lock(lock_id) END"
NOT_THE_TRANSACTIONS = [("locks_take", _TRY, _TRY.replace("_xact", ""))]


def one_lock_for_all(key):
    """Return what makes every hook take the lock of this one key."""
    return [("agents_record", _LOCK, _LOCK.replace("lock_id,", f"({key.id})::bigint,"))]


# Who verified a lock keeps nobody out.
NOT_HELD_TO_THE_COMMIT = [("locks_verify", "PERFORM pg_advisory_xact_lock_shared(", "PERFORM concat(")]

# Lets the triggers rest, until the message ends, that refuse to empty what is append-only.
_LET_EMPTY = (
    "SELECT set_config('pgtrigger.ignore', array_agg(tgname)::text, true) FROM pg_trigger "
    "WHERE tgname LIKE 'pgtrigger_never_emptied_%'"
)


@contextmanager
def rewritten(changes):
    """Replace texts in database functions; each must stand there exactly once."""
    with another_connection() as database, ExitStack() as undo:
        for function, old, new in changes:
            source = _source(database, function)
            assert source.count(old) == 1, f"{function} has {source.count(old)} times: {old}"
            undo.callback(database.execute, source)
            database.execute(source.replace(old, new))
        yield


def _source(database, function):
    return database.execute("SELECT pg_get_functiondef(%s::regproc)", [function]).fetchone()[0]


@contextmanager
def without(table, name):
    """Drop a constraint, unique index or trigger."""
    with another_connection() as database:
        drop, put_back = _thing(database, table, name)
        database.execute(drop)
        try:
            yield
        finally:
            # What it would have refused may be there now.
            database.execute(f"{_LET_EMPTY}; TRUNCATE agents_host CASCADE")
            database.execute(put_back)


def _thing(database, table, name):
    definition = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s"
    if found := database.execute(definition, [table, name]).fetchone():
        return f"ALTER TABLE {table} DROP CONSTRAINT {name}", f"ALTER TABLE {table} ADD CONSTRAINT {name} {found[0]}"
    if found := database.execute("SELECT pg_get_indexdef(to_regclass(%s))", [name]).fetchone()[0]:
        return f"DROP INDEX {name}", found
    trigger = "SELECT pg_get_triggerdef(oid), tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE %s"
    found = database.execute(trigger, [table, f"pgtrigger_{name}_%"]).fetchone()
    assert found, f"{table} has no {name}"
    return f"DROP TRIGGER {found[1]} ON {table}", found[0]


@contextmanager
def replaced(target, name, new):
    """Replace a function of ours by another one, in this process."""
    old = getattr(target, name)
    setattr(target, name, new)
    try:
        yield old
    finally:
        setattr(target, name, old)
