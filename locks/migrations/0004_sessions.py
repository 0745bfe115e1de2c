"""Session scope: locks on a connection that does nothing else, each with a number that outranks older holders.

What Python calls, on the lock's own connection
    locks_ask_session(...)   as ``locks_ask_many``, and the fencing token; each call is its own transaction
    locks_release(ids, shared) RETURNS boolean
        Give everything back; whether all of it was still held.

and on the connection that does the work
    locks_verify(ids bigint[], token bigint, shared boolean) RETURNS boolean
        Whether the holder of this token may still commit. The answer holds until the transaction ends: a newer holder
        is not told before then that it has the lock: it waits for the row of the token. Holders who share the lock do
        not wait for each other there (``FOR KEY SHARE`` here, ``FOR NO KEY UPDATE`` there).

How it works
    * The token is the timeline of the server (which rises when a standby is promoted) and the next number of a
      sequence (which rises on one server): as one number, strictly rising whatever fails. It is read after the grant.
    * ``locks_fence`` has the token of the newest holder. It is committed before the holder is told, so it survives a
      crash of the server. Who shares a lock outranks nobody and leaves the row as it is.
    * A wait may be ended (timeout, cancel) in the moment of the grant, and a session's lock survives the error. So
      after the error the server is asked: what was granted counts as granted. Everything else gives all back.
"""

from django.db import migrations

FUNCTIONS = """
CREATE SEQUENCE locks_fence_token;

CREATE TABLE locks_fence (lock_id bigint PRIMARY KEY, token bigint NOT NULL, taken_at timestamptz NOT NULL);
CREATE INDEX locks_fence_taken_at ON locks_fence (taken_at);

CREATE FUNCTION locks_timeline() RETURNS bigint
LANGUAGE sql VOLATILE AS $body$
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
$body$;

CREATE FUNCTION locks_mark_session(lock_id bigint, namespace integer) RETURNS boolean
LANGUAGE sql VOLATILE AS $body$
    SELECT pg_try_advisory_lock_shared(
        (-2147483648 | (namespace << 24)) | (lock_id & 16777215)::integer,
        ((locks_ticks() + 2147483648) % 4294967296 - 2147483648)::integer
    )
$body$;

CREATE FUNCTION locks_granted(lock_id bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $body$
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1
          AND classid::bigint = (lock_id >> 32) & 4294967295 AND objid::bigint = lock_id & 4294967295
    )
$body$;

CREATE FUNCTION locks_wait_session(lock_id bigint, patience_ms integer, shared boolean) RETURNS integer
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
    RETURN date_part('epoch', clock_timestamp() - began) * 1000;
EXCEPTION
    WHEN lock_not_available THEN
        IF NOT locks_granted(lock_id) THEN
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
    IF NOT granted AND patience_ms <= 0 THEN
        RAISE EXCEPTION 'advisory lock % is held elsewhere', lock_id USING ERRCODE = 'lock_not_available';
    ELSIF NOT granted THEN
        waited_ms := locks_wait_session(lock_id, patience_ms, shared);
        granted := locks_mark_session(lock_id, namespace);
    END IF;
    RETURN waited_ms;
END
$body$;

-- Waits for those who were told that they may commit (``locks_verify``), no longer than the patience that is left.
CREATE FUNCTION locks_outrank(the_id bigint, the_token bigint, patience_ms integer, shared boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    PERFORM set_config('lock_timeout', coalesce(greatest(patience_ms, 1), 0)::text, true);
    INSERT INTO locks_fence VALUES (the_id, the_token, now()) ON CONFLICT DO NOTHING;
    IF shared THEN
        PERFORM FROM locks_fence WHERE lock_id = the_id FOR NO KEY UPDATE;
    ELSE
        PERFORM FROM locks_fence WHERE lock_id = the_id FOR UPDATE;
        UPDATE locks_fence SET token = the_token, taken_at = now() WHERE lock_id = the_id;
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
    PERFORM set_config('application_name', label, false), locks_refuse_when_full(fullest);
    FOR position IN 1 .. cardinality(ids) LOOP
        refused := position;
        waited_ms := waited_ms
            + locks_take_session(ids[position], namespaces[position], locks_left(patience_ms, began), shared);
        IF names[position] IS NOT NULL THEN
            PERFORM locks_name_key(ids[position], namespaces[position], names[position], NOT shared);
        END IF;
    END LOOP;
    fence := locks_timeline() << 40 | nextval('locks_fence_token');
    FOR position IN 1 .. cardinality(ids) LOOP
        refused := position;
        PERFORM locks_outrank(ids[position], fence, locks_left(patience_ms, began), shared);
    END LOOP;
    refused := NULL;
EXCEPTION
    -- A session's locks do not go with the subtransaction.
    WHEN lock_not_available OR deadlock_detected OR read_only_sql_transaction OR out_of_memory OR SQLSTATE 'LK003' THEN
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

CREATE FUNCTION locks_free(lock_id bigint, shared boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    granted boolean;
BEGIN
    IF shared THEN
        granted := pg_try_advisory_xact_lock(lock_id);
    ELSE
        granted := pg_try_advisory_xact_lock_shared(lock_id);
    END IF;
    IF granted THEN
        -- Not to keep it.
        RAISE EXCEPTION 'free' USING ERRCODE = 'LK000';
    END IF;
    RETURN false;
EXCEPTION
    WHEN SQLSTATE 'LK000' THEN RETURN true;
END
$body$;

CREATE FUNCTION locks_verify(ids bigint[], token bigint, shared boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    newest bigint;
BEGIN
    IF token >> 40 <> locks_timeline() THEN
        RETURN false;
    END IF;
    FOR position IN 1 .. cardinality(ids) LOOP
        IF shared THEN
            SELECT known.token INTO newest FROM locks_fence AS known WHERE lock_id = ids[position] FOR KEY SHARE;
        ELSE
            SELECT known.token INTO newest FROM locks_fence AS known WHERE lock_id = ids[position] FOR SHARE;
        END IF;
        IF newest IS NULL OR newest > token OR (newest < token AND NOT shared) OR locks_free(ids[position], shared) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$body$;
"""

NOTHING = """
DROP FUNCTION locks_verify(bigint[], bigint, boolean);
DROP FUNCTION locks_free(bigint, boolean);
DROP FUNCTION locks_release(bigint[], boolean);
DROP FUNCTION locks_ask_session(bigint[], integer[], text[], integer, text, boolean, double precision, boolean);
DROP FUNCTION locks_outrank(bigint, bigint, integer, boolean);
DROP FUNCTION locks_take_session(bigint, integer, integer, boolean);
DROP FUNCTION locks_wait_session(bigint, integer, boolean);
DROP FUNCTION locks_granted(bigint);
DROP FUNCTION locks_mark_session(bigint, integer);
DROP FUNCTION locks_timeline();
DROP TABLE locks_fence;
DROP SEQUENCE locks_fence_token;
"""


class Migration(migrations.Migration):
    """Create the functions, the sequence and the table of tokens."""

    dependencies = [("locks", "0003_asks")]

    operations = [migrations.RunSQL(FUNCTIONS, reverse_sql=NOTHING)]
