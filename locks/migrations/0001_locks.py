"""The lock as database functions, so that Python and other PL/pgSQL code take it alike and in one flush.

What other code may call
    locks_take(lock_id bigint, namespace integer, patience_ms integer, label text, shared boolean) RETURNS integer
        Take the lock until the transaction (or the savepoint that it was taken in) ends, then go on; statements after
        it in the same function see what was committed while it waited. Taking what is held already returns at once.
        ``patience_ms``: 0 never waits, NULL leaves the session's own ``lock_timeout`` in charge. ``shared`` (false
        where it is left out) lets others in who ask shared. Returns the milliseconds that it waited, NULL where the
        transaction held it already. Raises 55P03 (busy for longer than the patience; the detail names the holders as
        JSON), 40P01 (deadlock), 25000 (isolation above READ COMMITTED), LK005 (on a standby), LK001 (a higher namespace
        waited for under a lower one), LK002 (held shared, asked for alone).
    locks_holds(lock_id bigint) RETURNS boolean
        Whether this transaction holds it, by its own account.
    Python's own way, with answers instead of errors and with many keys: ``0003_asks.py``.

Arguments from Python: ``str(LockKey(namespace, key).id)`` (as text: the literal -2**63 is no bigint),
``int(namespace)``, whole milliseconds, ``Label(holder, correlation_id).text``.

How it works
    * ``locks.held`` is a transaction-local setting with the ids that the transaction holds (an s before those that it
      holds shared), ``locks.lowest`` the lowest namespace among them. They live exactly as long as the locks do: they
      go with a savepoint that is rolled back, and with the transaction.
    * Beside the lock stands a shared two-integer lock, the marker. classid: the namespace (7 bits above) and the
      lower 24 bits of the id; objid: the instant in hundredths of a second, modulo 2**32. It lets the monitor see
      namespace and times without a row being written. The first is taken before the lock, so that a waiter has one
      too and a holder is never without; who had to wait takes a second when the lock is granted. The sign bit of
      classid says session scope (``0004_sessions.py``).
    * ``lock_timeout`` counts from the moment a lock is waited for, so setting it in the same statement works.
    * All settings are transaction-local: nothing outlives the transaction, and ``lock_timeout`` not even the call.
"""

from django.db import migrations

SEEING = """
-- Assignments and not PERFORM wherever there is a value: PL/pgSQL evaluates them without the executor.

CREATE FUNCTION locks_ticks() RETURNS bigint
LANGUAGE sql VOLATILE AS $body$
    SELECT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 100)::bigint
$body$;

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

-- The guard of a lock: two integers (the second -1, or -2 where the lock is shared) that a holder in session scope locks,
-- shared, with the transaction in which it verified its lock (``locks_verify``). Whoever is granted the lock next, in
-- either scope, waits for that transaction; who shares the lock not for those who shared it.
CREATE FUNCTION locks_guard(lock_id bigint, namespace integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $body$
    SELECT (-2147483648 | (namespace << 24)) | (lock_id & 16777215)::integer
$body$;

-- Had and given back at once: to look is all that is wanted.
CREATE FUNCTION locks_is_clear(lock_id bigint, namespace integer, shared boolean) RETURNS boolean
LANGUAGE sql VOLATILE AS $body$
    SELECT pg_catalog.pg_try_advisory_lock(locks_guard(lock_id, namespace), -1)
        AND pg_catalog.pg_advisory_unlock(locks_guard(lock_id, namespace), -1)
        AND (shared OR pg_catalog.pg_try_advisory_lock(locks_guard(lock_id, namespace), -2)
                   AND pg_catalog.pg_advisory_unlock(locks_guard(lock_id, namespace), -2))
$body$;

-- The guard is had in a subtransaction and given back with it: kept, it would keep out others who share the lock.
CREATE FUNCTION locks_await_clear(lock_id bigint, namespace integer, patience_ms integer, shared boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    IF locks_is_clear(lock_id, namespace, shared) THEN
        RETURN;
    END IF;
    IF patience_ms IS NOT NULL THEN
        PERFORM pg_catalog.set_config('lock_timeout', greatest(1, patience_ms)::text, true);
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(locks_guard(lock_id, namespace), -1);
    IF NOT shared THEN
        PERFORM pg_catalog.pg_advisory_xact_lock(locks_guard(lock_id, namespace), -2);
    END IF;
    RAISE EXCEPTION 'clear' USING ERRCODE = 'LK000';
EXCEPTION
    WHEN SQLSTATE 'LK000' THEN
        RETURN;
END
$body$;

CREATE FUNCTION locks_holders(lock_id bigint) RETURNS jsonb
LANGUAGE sql VOLATILE AS $body$
    WITH forgotten AS MATERIALIZED (
        SELECT pg_catalog.pg_stat_clear_snapshot()
    ), seen AS MATERIALIZED (
        SELECT pid, mode, classid::bigint, objid::bigint, objsubid FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND granted
          AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    ), held AS (
        SELECT DISTINCT pid FROM seen
        WHERE objsubid = 1 AND classid = (lock_id >> 32) & 4294967295 AND objid = lock_id & 4294967295
    ), marked AS (
        -- Who had to wait has two markers: the newest is of the grant.
        SELECT pid, min((locks_ticks() - objid) & 4294967295) / 100.0 AS seconds FROM seen
        WHERE objsubid = 2 AND mode = 'ShareLock' AND classid & 16777215 = lock_id & 16777215 GROUP BY pid
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'pid', held.pid, 'label', coalesce(activity.application_name, ''),
        'held_seconds', CASE WHEN seconds >= 21474836 THEN 0 ELSE seconds END) ORDER BY held.pid), '[]')
    FROM forgotten, held LEFT JOIN marked USING (pid) LEFT JOIN pg_catalog.pg_stat_activity AS activity USING (pid)
$body$;

CREATE FUNCTION locks_room(OUT taken bigint, OUT nominal bigint)
LANGUAGE sql VOLATILE AS $body$
    SELECT (SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT fastpath AND locktype <> 'virtualxid'),
           current_setting('max_locks_per_transaction')::bigint
           * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
$body$;
"""

TAKING = """
CREATE FUNCTION locks_left(patience_ms integer, began timestamptz) RETURNS integer
LANGUAGE sql VOLATILE AS $body$
    SELECT greatest(0, patience_ms - (date_part('epoch', clock_timestamp() - began) * 1000)::integer)
    WHERE patience_ms IS NOT NULL
$body$;

CREATE FUNCTION locks_wait(lock_id bigint, namespace integer, patience_ms integer, shared boolean) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    began timestamptz := pg_catalog.clock_timestamp();
    usual_timeout text := pg_catalog.current_setting('lock_timeout');
BEGIN
    IF patience_ms <= 0 THEN
        RAISE EXCEPTION 'advisory lock % is held elsewhere', lock_id USING ERRCODE = 'lock_not_available';
    END IF;
    IF patience_ms IS NOT NULL THEN
        PERFORM pg_catalog.set_config('lock_timeout', patience_ms::text, true);
    END IF;
    IF shared THEN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(lock_id);
    ELSE
        PERFORM pg_catalog.pg_advisory_xact_lock(lock_id);
    END IF;
    PERFORM locks_await_clear(lock_id, namespace, locks_left(patience_ms, began), shared);
    PERFORM pg_catalog.set_config('lock_timeout', usual_timeout, true);
    RETURN pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - began) * 1000;
EXCEPTION
    WHEN lock_not_available THEN
        IF patience_ms <= 0 THEN
            RAISE;
        END IF;
        RAISE EXCEPTION 'advisory lock % was not granted in time', lock_id
            USING ERRCODE = 'lock_not_available', DETAIL = locks_holders(lock_id)::text;
END
$body$;

CREATE FUNCTION locks_holds(lock_id bigint) RETURNS boolean
LANGUAGE sql STABLE AS $body$
    SELECT coalesce(pg_catalog.current_setting('locks.held', true), '') ~ (' s?' || lock_id || ' ')
$body$;

-- What is true of the transaction as a whole, and of the lock where it holds some already. False: it holds this one.
CREATE FUNCTION locks_may_take(lock_id bigint, namespace integer, patience_ms integer, shared boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    held text := coalesce(pg_catalog.current_setting('locks.held', true), '');
    lowest integer := nullif(pg_catalog.current_setting('locks.lowest', true), '');
BEGIN
    -- A snapshot that is older than the lock would show the rows as they were before the last holder changed them.
    IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'an advisory lock protects nothing above READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF pg_catalog.pg_is_in_recovery() THEN
        RAISE EXCEPTION 'an advisory lock of a standby excludes nobody on the primary' USING ERRCODE = 'LK005';
    END IF;
    IF pg_catalog.strpos(held, ' ' || lock_id || ' ') > 0 THEN
        RETURN false;
    END IF;
    IF pg_catalog.strpos(held, ' s' || lock_id || ' ') > 0 THEN
        IF shared THEN
            RETURN false;
        END IF;
        RAISE EXCEPTION 'advisory lock % is held shared by this transaction', lock_id USING ERRCODE = 'LK002';
    END IF;
    -- Who does not wait closes no circle.
    IF held <> '' AND namespace > lowest AND patience_ms IS DISTINCT FROM 0 THEN
        RAISE EXCEPTION 'advisory lock % is of namespace %, and one of namespace % is held already',
            lock_id, namespace, lowest USING ERRCODE = 'LK001';
    END IF;
    RETURN true;
END
$body$;

-- As few expressions as can be: PL/pgSQL prepares each of them anew in every transaction, for about a microsecond.
CREATE FUNCTION locks_take(
    lock_id bigint, namespace integer, patience_ms integer, label text, shared boolean DEFAULT false
) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    held text := pg_catalog.current_setting('locks.held', true);
    setting text;
    waited_ms integer;
BEGIN
    IF label IS NOT NULL THEN
        setting := pg_catalog.set_config('application_name', label, true);
    END IF;
    -- The first lock of an ordinary transaction needs no more checks than this.
    IF (held <> '' OR pg_catalog.current_setting('transaction_isolation') <> 'read committed'
        OR pg_catalog.pg_is_in_recovery()) AND NOT locks_may_take(lock_id, namespace, patience_ms, shared) THEN
        RETURN NULL;
    END IF;
    -- Trying fails while anybody is queued for it, so nobody is overtaken. AND and CASE are evaluated in their order.
    IF NOT (locks_mark(lock_id, namespace) IS NOT NULL
            AND CASE WHEN shared THEN pg_catalog.pg_try_advisory_xact_lock_shared(lock_id)
                     ELSE pg_catalog.pg_try_advisory_xact_lock(lock_id) END
            AND locks_is_clear(lock_id, namespace, shared)) THEN
        waited_ms := locks_wait(lock_id, namespace, patience_ms, shared);
        PERFORM locks_mark(lock_id, namespace);
    END IF;
    setting := pg_catalog.set_config('locks.lowest', least(
                   nullif(pg_catalog.current_setting('locks.lowest', true), '')::integer, namespace)::text, true)
               || pg_catalog.set_config('locks.held', coalesce(held, '') || CASE WHEN shared THEN ' s' ELSE ' ' END
                                        || lock_id || ' ', true)
               -- A holder that is frozen between two statements is ended by the server, where nobody has set a limit.
               || CASE WHEN pg_catalog.current_setting('idle_in_transaction_session_timeout') = '0'
                       THEN pg_catalog.set_config('idle_in_transaction_session_timeout', '60s', true) END;
    RETURN coalesce(waited_ms, 0);
END
$body$;
"""

NOTHING = """
DROP FUNCTION locks_take(bigint, integer, integer, text, boolean);
DROP FUNCTION locks_may_take(bigint, integer, integer, boolean);
DROP FUNCTION locks_holds(bigint);
DROP FUNCTION locks_wait(bigint, integer, integer, boolean);
DROP FUNCTION locks_left(integer, timestamptz);
DROP FUNCTION locks_room();
DROP FUNCTION locks_holders(bigint);
DROP FUNCTION locks_await_clear(bigint, integer, integer, boolean);
DROP FUNCTION locks_is_clear(bigint, integer, boolean);
DROP FUNCTION locks_guard(bigint, integer);
DROP FUNCTION locks_mark(bigint, integer);
DROP FUNCTION locks_ticks();
"""


class Migration(migrations.Migration):
    """Create the functions; they need no table."""

    initial = True

    dependencies = []

    operations = [migrations.RunSQL(SEEING + TAKING, reverse_sql=NOTHING)]
