"""The lock as database functions, so that Python and other PL/pgSQL code take it alike and in one flush.

What other code may call
    locks_take(lock_id bigint, namespace integer, patience_ms integer, label text) RETURNS void
        Take the lock until the transaction (or the savepoint that it was taken in) ends, then go on; statements after
        it in the same function see what was committed while it waited. Taking what is held already returns at once.
        ``patience_ms``: 0 never waits, NULL leaves the session's own ``lock_timeout`` in charge. Raises 55P03 (busy
        for longer than the patience), 40P01 (deadlock) and 25000 (isolation above READ COMMITTED).
    locks_try(lock_id bigint, namespace integer, label text) RETURNS boolean
        The same, never waiting: false when it is busy, and then nothing has changed.
    locks_ask(lock_id bigint, namespace integer, patience_ms integer, label text) RETURNS text
        ``locks_take`` with answers instead of errors, in a subtransaction of its own, so that a refusal harms nothing:
        'taken', 'again' (this transaction held it already), 'busy', 'deadlock', 'stale'.
    locks_holds(lock_id bigint) RETURNS boolean
        Whether this transaction holds it, by its own account.

Arguments from Python: ``str(LockKey(namespace, key).id)`` (as text: the literal -2**63 is no bigint),
``int(namespace)``, whole milliseconds, ``Label(holder, correlation_id).text``.

How it works
    * ``locks.held`` is a transaction-local setting with the ids that the transaction holds. It lives exactly as long
      as the locks do: it goes with a savepoint that is rolled back, and with the transaction.
    * Beside the lock stands a shared two-integer lock, the marker. classid: the namespace (7 bits above) and the
      lower 24 bits of the id; objid: the instant in hundredths of a second, modulo 2**32. It lets the monitor see
      namespace and times without a row being written. The first is taken before the lock, so that a waiter has one
      too and a holder is never without; who had to wait takes a second when the lock is granted. The sign bit of
      classid is left for another scope.
    * ``lock_timeout`` counts from the moment a lock is waited for, so setting it in the same statement works.
    * All settings are transaction-local: nothing outlives the transaction, and ``lock_timeout`` not even the call.
"""

from django.db import migrations

FUNCTIONS = """
-- Assignments and not PERFORM wherever there is a value: PL/pgSQL evaluates them without the executor.

CREATE FUNCTION locks_mark(lock_id bigint, namespace integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    ticks bigint := pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 100;
BEGIN
    RETURN pg_catalog.pg_try_advisory_xact_lock_shared(
        (namespace << 24) | (lock_id & 16777215)::integer, ((ticks + 2147483648) % 4294967296 - 2147483648)::integer
    );
END
$body$;

CREATE FUNCTION locks_wait(lock_id bigint, patience_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    usual_timeout text := pg_catalog.current_setting('lock_timeout');
BEGIN
    IF patience_ms <= 0 THEN
        RAISE EXCEPTION 'advisory lock % is held elsewhere', lock_id USING ERRCODE = 'lock_not_available';
    END IF;
    IF patience_ms IS NOT NULL THEN
        PERFORM pg_catalog.set_config('lock_timeout', patience_ms::text, true);
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(lock_id);
    PERFORM pg_catalog.set_config('lock_timeout', usual_timeout, true);
END
$body$;

CREATE FUNCTION locks_holds(lock_id bigint) RETURNS boolean
LANGUAGE sql STABLE AS $body$
    SELECT pg_catalog.strpos(coalesce(pg_catalog.current_setting('locks.held', true), ''), ' ' || lock_id || ' ') > 0
$body$;

CREATE FUNCTION locks_take(lock_id bigint, namespace integer, patience_ms integer, label text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    held text := coalesce(pg_catalog.current_setting('locks.held', true), '');
    this text := ' ' || lock_id || ' ';
    setting text;
    marked boolean;
BEGIN
    -- A snapshot that is older than the lock would show the rows as they were before the last holder changed them.
    IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'an advisory lock protects nothing above READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF label IS NOT NULL THEN
        setting := pg_catalog.set_config('application_name', label, true);
    END IF;
    IF pg_catalog.strpos(held, this) > 0 THEN
        RETURN;
    END IF;
    -- A holder that is frozen between two statements is ended by the server, where nobody has set a limit.
    IF held = '' AND pg_catalog.current_setting('idle_in_transaction_session_timeout') = '0' THEN
        setting := pg_catalog.set_config('idle_in_transaction_session_timeout', '60s', true);
    END IF;
    marked := locks_mark(lock_id, namespace);
    -- Trying fails while anybody is queued for it, so nobody is overtaken.
    IF NOT pg_catalog.pg_try_advisory_xact_lock(lock_id) THEN
        PERFORM locks_wait(lock_id, patience_ms);
        marked := locks_mark(lock_id, namespace);
    END IF;
    setting := pg_catalog.set_config('locks.held', held || this, true);
END
$body$;

CREATE FUNCTION locks_ask(lock_id bigint, namespace integer, patience_ms integer, label text) RETURNS text
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    was_held boolean := locks_holds(lock_id);
BEGIN
    PERFORM locks_take(lock_id, namespace, patience_ms, label);
    RETURN CASE WHEN was_held THEN 'again' ELSE 'taken' END;
EXCEPTION
    WHEN lock_not_available THEN RETURN 'busy';
    WHEN deadlock_detected THEN RETURN 'deadlock';
    WHEN invalid_transaction_state THEN RETURN 'stale';
END
$body$;

CREATE FUNCTION locks_try(lock_id bigint, namespace integer, label text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    PERFORM locks_take(lock_id, namespace, 0, label);
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN RETURN false;
END
$body$;
"""

NO_FUNCTIONS = """
DROP FUNCTION locks_try(bigint, integer, text);
DROP FUNCTION locks_ask(bigint, integer, integer, text);
DROP FUNCTION locks_take(bigint, integer, integer, text);
DROP FUNCTION locks_holds(bigint);
DROP FUNCTION locks_wait(bigint, integer);
DROP FUNCTION locks_mark(bigint, integer);
"""


class Migration(migrations.Migration):
    """Create the functions; they need no table."""

    initial = True

    dependencies = []

    operations = [migrations.RunSQL(FUNCTIONS, reverse_sql=NO_FUNCTIONS)]
