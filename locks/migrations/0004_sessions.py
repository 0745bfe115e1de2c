"""Session scope: locks on a connection that does nothing else, each with a number that outranks older holders.

What Python calls, on the lock's own connection
    locks_ask_session(...)   as ``locks_ask_many``, and the fencing token; each call is its own transaction
    locks_release(ids, shared) RETURNS boolean
        Give everything back; whether all of it was still held.

and on the connection that does the work
    locks_verify(ids, namespaces, token, shared, holder) RETURNS boolean
        Whether the holder of this token, by its session's pid, may still commit. The answer holds until the transaction
        ends (or the savepoint that it was asked in is rolled back): nobody is let in before, in either scope.

How it works
    * The token is an epoch and the next number of a sequence, as one number. The epoch rises whenever the server's
      timeline is another one (a standby was promoted, a backup restored): strictly rising whatever fails. It is read
      after the grant.
    * ``locks_fence`` has the token of the newest holder. It is committed before the holder is told, so it survives a
      crash of the server. Who shares a lock outranks nobody and leaves the token as it is.
    * Who verifies locks the guard, shared, and then looks; who was granted the lock looks at the guard before anything
      else, and waits for it (``locks_is_clear``). Whichever of the two comes first, the other one sees it.
    * A wait may be ended (timeout, cancel) in the moment of the grant, and a session's lock survives the error. So
      after the error the server is asked: what was granted counts as granted. Everything else gives all back.
"""

from django.db import migrations

FUNCTIONS = """
CREATE SEQUENCE locks_fence_token;

CREATE TABLE locks_fence (lock_id bigint PRIMARY KEY, token bigint NOT NULL, taken_at timestamptz NOT NULL);
CREATE INDEX locks_fence_taken_at ON locks_fence (taken_at);

CREATE TABLE locks_epoch (only_row boolean PRIMARY KEY CHECK (only_row), timeline bigint NOT NULL, epoch bigint NOT NULL);
INSERT INTO locks_epoch VALUES (true, 0, 0);

CREATE FUNCTION locks_timeline() RETURNS bigint
LANGUAGE sql VOLATILE AS $body$
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
$body$;

CREATE FUNCTION locks_next_token() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    now_on bigint := locks_timeline();
    this bigint;
BEGIN
    SELECT epoch INTO this FROM locks_epoch WHERE timeline = now_on;
    IF this IS NULL THEN
        -- One does it; those who wait for it meanwhile find it done.
        -- Upwards by as much as the timeline: a standby that never heard of an epoch must come out above it.
        UPDATE locks_epoch SET epoch = epoch + greatest(1, now_on - timeline), timeline = now_on
        WHERE timeline <> now_on;
        SELECT epoch INTO this FROM locks_epoch;
    END IF;
    RETURN this << 40 | nextval('locks_fence_token');
END
$body$;

CREATE FUNCTION locks_mark_session(lock_id bigint, namespace integer) RETURNS boolean
LANGUAGE sql VOLATILE AS $body$
    SELECT pg_try_advisory_lock_shared(
        (-2147483648 | (namespace << 24)) | (lock_id & 16777215)::integer,
        ((locks_ticks() + 2147483648) % 4294967296 - 2147483648)::integer
    )
$body$;

CREATE FUNCTION locks_granted(lock_id bigint, holder integer) RETURNS boolean
LANGUAGE sql VOLATILE AS $body$
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND pid = holder AND objsubid = 1
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint = (lock_id >> 32) & 4294967295 AND objid::bigint = lock_id & 4294967295
    )
$body$;

CREATE FUNCTION locks_wait_session(lock_id bigint, namespace integer, patience_ms integer, shared boolean)
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    -- NULL waits as long as it takes: the session is ours, and has no limit of its own.
    PERFORM set_config('lock_timeout', coalesce(patience_ms, 0)::text, true);
    IF shared THEN
        PERFORM pg_advisory_lock_shared(lock_id);
    ELSE
        PERFORM pg_advisory_lock(lock_id);
    END IF;
    PERFORM locks_await_clear(lock_id, namespace, locks_left(patience_ms, began), shared);
    RETURN date_part('epoch', clock_timestamp() - began) * 1000;
EXCEPTION
    WHEN lock_not_available THEN
        IF NOT (locks_granted(lock_id, pg_backend_pid()) AND locks_is_clear(lock_id, namespace, shared)) THEN
            RAISE EXCEPTION 'advisory lock % was not granted in time', lock_id
                USING ERRCODE = 'lock_not_available', DETAIL = locks_holders(lock_id)::text;
        END IF;
        RETURN date_part('epoch', clock_timestamp() - began) * 1000;
END
$body$;

CREATE FUNCTION locks_take_session(lock_id bigint, namespace integer, patience_ms integer, shared boolean)
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    granted boolean := locks_mark_session(lock_id, namespace);
    waited_ms integer := 0;
BEGIN
    IF shared THEN
        granted := pg_try_advisory_lock_shared(lock_id);
    ELSE
        granted := pg_try_advisory_lock(lock_id);
    END IF;
    granted := granted AND locks_is_clear(lock_id, namespace, shared);
    IF NOT granted AND patience_ms <= 0 THEN
        RAISE EXCEPTION 'advisory lock % is held elsewhere', lock_id USING ERRCODE = 'lock_not_available';
    ELSIF NOT granted THEN
        waited_ms := locks_wait_session(lock_id, namespace, patience_ms, shared);
        granted := locks_mark_session(lock_id, namespace);
    END IF;
    RETURN waited_ms;
END
$body$;

-- Who shares only sees that there is a row; once a day, that it is used.
CREATE FUNCTION locks_outrank(the_id bigint, the_token bigint, shared boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    IF shared THEN
        INSERT INTO locks_fence AS known VALUES (the_id, 0, now()) ON CONFLICT (lock_id) DO UPDATE
        SET taken_at = excluded.taken_at WHERE known.taken_at < excluded.taken_at - interval '1 day';
    ELSE
        INSERT INTO locks_fence VALUES (the_id, the_token, now()) ON CONFLICT (lock_id) DO UPDATE
        SET token = excluded.token, taken_at = excluded.taken_at;
    END IF;
END
$body$;

CREATE FUNCTION locks_ask_session(
    ids bigint[], namespaces integer[], names text[], patience_ms integer, label text, shared boolean,
    fullest double precision, telling boolean,
    OUT refusal text, OUT refused integer, OUT holders jsonb, OUT waited_ms integer, OUT fence bigint
)
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    began timestamptz := clock_timestamp();
    detail text;
BEGIN
    waited_ms := 0;
    PERFORM set_config('application_name', label, false), locks_refuse_when_full(fullest, cardinality(ids));
    FOR position IN 1 .. cardinality(ids) LOOP
        refused := position;
        waited_ms := waited_ms
            + locks_take_session(ids[position], namespaces[position], locks_left(patience_ms, began), shared);
        IF names[position] IS NOT NULL THEN
            PERFORM locks_name_key(ids[position], namespaces[position], names[position], NOT shared);
        END IF;
    END LOOP;
    fence := locks_next_token();
    FOR position IN 1 .. cardinality(ids) LOOP
        refused := position;
        PERFORM locks_outrank(ids[position], fence, shared);
    END LOOP;
    refused := NULL;
EXCEPTION
    -- A session's locks do not go with the subtransaction.
    WHEN lock_not_available OR deadlock_detected OR out_of_memory OR SQLSTATE 'LK003' OR SQLSTATE 'LK006' THEN
        GET STACKED DIAGNOSTICS refusal = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
        PERFORM pg_advisory_unlock_all();
        waited_ms := date_part('epoch', clock_timestamp() - began) * 1000;
        IF refusal = '55P03' AND telling THEN
            holders := CASE WHEN detail LIKE '[%' THEN detail::jsonb ELSE locks_holders(ids[refused]) END;
        END IF;
END
$body$;

CREATE FUNCTION locks_release(ids bigint[], shared boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    released boolean := true;
    one boolean;
BEGIN
    FOR position IN 1 .. cardinality(ids) LOOP
        IF shared THEN
            one := pg_advisory_unlock_shared(ids[position]);
        ELSE
            one := pg_advisory_unlock(ids[position]);
        END IF;
        released := released AND one;
    END LOOP;
    PERFORM pg_advisory_unlock_all(), set_config('application_name', 'lock: nothing held #', false);
    RETURN released;
END
$body$;

CREATE FUNCTION locks_verify(
    ids bigint[], namespaces integer[], asked_token bigint, shared boolean, holder integer
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    newest bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM locks_epoch WHERE timeline = locks_timeline() AND epoch = asked_token >> 40) THEN
        RETURN false;
    END IF;
    FOR position IN 1 .. cardinality(ids) LOOP
        -- First the guard, then the look: whoever is granted the lock after the look finds the guard.
        PERFORM pg_advisory_xact_lock_shared(
            locks_guard(ids[position], namespaces[position]), CASE WHEN shared THEN -2 ELSE -1 END);
        SELECT token INTO newest FROM locks_fence WHERE lock_id = ids[position];
        IF newest IS NULL OR newest > asked_token OR (newest < asked_token AND NOT shared)
            OR NOT locks_granted(ids[position], holder) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$body$;
"""

NOTHING = """
DROP FUNCTION locks_verify(bigint[], integer[], bigint, boolean, integer);
DROP FUNCTION locks_release(bigint[], boolean);
DROP FUNCTION locks_ask_session(bigint[], integer[], text[], integer, text, boolean, double precision, boolean);
DROP FUNCTION locks_outrank(bigint, bigint, boolean);
DROP FUNCTION locks_take_session(bigint, integer, integer, boolean);
DROP FUNCTION locks_wait_session(bigint, integer, integer, boolean);
DROP FUNCTION locks_granted(bigint, integer);
DROP FUNCTION locks_mark_session(bigint, integer);
DROP FUNCTION locks_next_token();
DROP FUNCTION locks_timeline();
DROP TABLE locks_epoch;
DROP TABLE locks_fence;
DROP SEQUENCE locks_fence_token;
"""


class Migration(migrations.Migration):
    """Create the functions, the sequence and the table of tokens."""

    dependencies = [("locks", "0003_asks")]

    operations = [migrations.RunSQL(FUNCTIONS, reverse_sql=NOTHING)]
