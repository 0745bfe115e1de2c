"""Python's way to the lock: answers instead of errors, so that a refusal harms nothing; one key or many; names.

    locks_ask(...)        one key
    locks_ask_many(...)   all or none, in the order in which they are given, within one patience

Both return a text. Where all was taken: the milliseconds of the wait, when the transaction began (by that it is told
from the one before), and the ids that it held before. Otherwise a JSON object: ``refusal`` (an SQLSTATE), ``refused``
(which of them, counted from 1), ``waited_ms``, and with ``telling`` the ``holders``. ``fullest``: refuse (LK006) where
with them more than this share of the server's lock table would be taken; NULL does not look. Otherwise the arguments are those of
``locks_take`` (``0001_locks.py``); ``name`` is the text that the id was made of, or NULL. ``inside``: ids whose sections
are open on this connection since that transaction, or NULL; LK004 where one of them is asked for.
"""

from django.db import migrations

NAMING = """
-- Two names with one number would be one lock. Who holds the lock alone looks and writes alone; who shares it only
-- looks, because writing would have to wait for the others.
CREATE TABLE locks_name (
    lock_id bigint PRIMARY KEY, namespace integer NOT NULL, name text NOT NULL, seen_on date NOT NULL
);
CREATE INDEX locks_name_seen_on ON locks_name (seen_on);

CREATE FUNCTION locks_name_key(the_id bigint, the_namespace integer, the_name text, alone boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    known record;
BEGIN
    SELECT namespace, name, seen_on INTO known FROM locks_name WHERE lock_id = the_id;
    IF FOUND AND (known.namespace, known.name) IS DISTINCT FROM (the_namespace, the_name) THEN
        RAISE EXCEPTION 'the number % belongs to another name', the_id USING ERRCODE = 'LK003';
    END IF;
    IF NOT alone OR pg_catalog.current_setting('transaction_read_only')::boolean THEN
        RETURN;
    END IF;
    IF known.seen_on IS NULL THEN
        INSERT INTO locks_name VALUES (the_id, the_namespace, the_name, current_date) ON CONFLICT DO NOTHING;
    ELSIF known.seen_on < current_date THEN
        UPDATE locks_name SET seen_on = current_date WHERE lock_id = the_id;
    END IF;
END
$body$;
"""

ASKING = """
-- Each key is two entries, with its marker.
CREATE FUNCTION locks_refuse_when_full(fullest double precision, keys integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    IF fullest IS NOT NULL AND (SELECT taken + 2 * keys > nominal * fullest FROM locks_room()) THEN
        RAISE EXCEPTION 'the lock table of the server is too full for % more keys', keys USING ERRCODE = 'LK006';
    END IF;
END
$body$;

CREATE FUNCTION locks_refused(
    refusal text, refused integer, detail text, lock_id bigint, telling boolean, began timestamptz
) RETURNS text
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    holders jsonb;
BEGIN
    IF refusal = '55P03' AND telling THEN
        holders := CASE WHEN detail LIKE '[%' THEN detail::jsonb ELSE locks_holders(lock_id) END;
    END IF;
    RETURN jsonb_build_object('refusal', refusal, 'refused', refused, 'holders', holders,
        'waited_ms', coalesce((date_part('epoch', clock_timestamp() - began) * 1000)::integer, 0));
END
$body$;

CREATE FUNCTION locks_ask(
    lock_id bigint, namespace integer, name text, patience_ms integer, label text, shared boolean,
    fullest double precision, telling boolean
) RETURNS text
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    began timestamptz;
    waited_ms integer;
    state text;
    detail text;
BEGIN
    IF fullest IS NOT NULL THEN
        PERFORM locks_refuse_when_full(fullest, 1);
    END IF;
    began := pg_catalog.clock_timestamp();
    waited_ms := locks_take(lock_id, namespace, patience_ms, label, shared);
    IF name IS NOT NULL THEN
        PERFORM locks_name_key(lock_id, namespace, name, NOT shared);
    END IF;
    RETURN coalesce(waited_ms || ' ' || pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp()) || ' ',
                    '0 ' || pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp()) || ' ' || lock_id);
EXCEPTION
    -- What was taken goes with this block's own subtransaction.
    WHEN lock_not_available OR deadlock_detected OR invalid_transaction_state OR out_of_memory OR SQLSTATE 'LK001'
        OR SQLSTATE 'LK002' OR SQLSTATE 'LK003' OR SQLSTATE 'LK004' OR SQLSTATE 'LK005' OR SQLSTATE 'LK006' THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
        RETURN locks_refused(state, 1, detail, lock_id, telling, began);
END
$body$;
"""

MANY = """
-- Takes all where nobody is in the way of any, in one statement; otherwise none, because who keeps some while it waits
-- for one before them could wait in a circle. The first key has passed the checks of ``locks_take`` for all of them.
CREATE FUNCTION locks_take_free(ids bigint[], namespaces integer[], shared boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    ticks integer := (locks_ticks() + 2147483648) % 4294967296 - 2147483648;
    all_granted boolean;
BEGIN
    SELECT bool_and(
        pg_catalog.pg_try_advisory_xact_lock_shared((space << 24) | (id & 16777215)::integer, ticks)
        AND CASE WHEN shared THEN pg_catalog.pg_try_advisory_xact_lock_shared(id)
                 ELSE pg_catalog.pg_try_advisory_xact_lock(id) END
        AND locks_is_clear(id, space, shared))
    INTO all_granted FROM unnest(ids, namespaces) AS asked(id, space);
    IF NOT all_granted THEN
        RAISE EXCEPTION 'not free' USING ERRCODE = 'LK000';
    END IF;
    RETURN true;
EXCEPTION
    WHEN SQLSTATE 'LK000' THEN RETURN false;
END
$body$;

CREATE FUNCTION locks_ask_many(
    ids bigint[], namespaces integer[], names text[], patience_ms integer, label text, shared boolean,
    fullest double precision, telling boolean, inside bigint[], inside_since text
) RETURNS text
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    began timestamptz := pg_catalog.clock_timestamp();
    held text := coalesce(pg_catalog.current_setting('locks.held', true), '');
    sign text := CASE WHEN shared THEN ' s' ELSE ' ' END;
    before text := '';
    waited_ms integer := 0;
    all_free boolean;
    position integer := 1;
    state text;
    detail text;
BEGIN
    PERFORM locks_refuse_when_full(fullest, cardinality(ids));
    -- The caller is inside of these, if this is still the transaction: to be said before others are taken.
    IF inside IS NOT NULL AND inside_since = date_part('epoch', transaction_timestamp())::text THEN
        FOR place IN 1 .. cardinality(ids) LOOP
            position := place;
            IF ids[place] = ANY (inside) AND locks_holds(ids[place]) THEN
                RAISE EXCEPTION 'the section of % is open', ids[place] USING ERRCODE = 'LK004';
            END IF;
        END LOOP;
    END IF;
    IF held <> '' THEN
        SELECT coalesce(string_agg(id::text, ' '), '') INTO before FROM unnest(ids) AS asked(id) WHERE locks_holds(id);
    END IF;
    waited_ms := coalesce(locks_take(ids[1], namespaces[1], patience_ms, label, shared), 0);
    all_free := before = '' AND locks_take_free(ids[2:], namespaces[2:], shared);
    IF all_free THEN
        PERFORM set_config('locks.held', current_setting('locks.held') || sign
                           || array_to_string(ids[2:], ' ' || sign) || ' ', true),
                set_config('locks.lowest', least(current_setting('locks.lowest')::integer,
                                                 namespaces[cardinality(ids)])::text, true);
    END IF;
    FOR place IN 1 .. cardinality(ids) LOOP
        position := place;
        EXIT WHEN all_free AND names IS NULL;
        IF NOT all_free THEN
            waited_ms := waited_ms + coalesce(
                locks_take(ids[place], namespaces[place], locks_left(patience_ms, began), label, shared), 0);
        END IF;
        IF names[place] IS NOT NULL THEN
            PERFORM locks_name_key(ids[place], namespaces[place], names[place], NOT shared);
        END IF;
    END LOOP;
    RETURN waited_ms || ' ' || date_part('epoch', transaction_timestamp()) || ' ' || before;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected OR invalid_transaction_state OR out_of_memory OR SQLSTATE 'LK001'
        OR SQLSTATE 'LK002' OR SQLSTATE 'LK003' OR SQLSTATE 'LK004' OR SQLSTATE 'LK005' OR SQLSTATE 'LK006' THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
        RETURN locks_refused(state, position, detail, ids[position], telling, began);
END
$body$;
"""

NOTHING = """
DROP FUNCTION locks_ask_many(
    bigint[], integer[], text[], integer, text, boolean, double precision, boolean, bigint[], text);
DROP FUNCTION locks_take_free(bigint[], integer[], boolean);
DROP FUNCTION locks_ask(bigint, integer, text, integer, text, boolean, double precision, boolean);
DROP FUNCTION locks_refused(text, integer, text, bigint, boolean, timestamptz);
DROP FUNCTION locks_refuse_when_full(double precision, integer);
DROP FUNCTION locks_name_key(bigint, integer, text, boolean);
DROP TABLE locks_name;
"""


class Migration(migrations.Migration):
    """Create the functions, and the table of names."""

    dependencies = [("locks", "0002_watching")]

    operations = [migrations.RunSQL(NAMING + ASKING + MANY, reverse_sql=NOTHING)]
