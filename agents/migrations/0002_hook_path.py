"""The few statements of the hook path, written out in one place.

Three functions read: ``agents_situation`` (one agent as the rules see it), ``agents_waiting`` (whether hooks wait before
one of this session) and ``agents_look`` (what a hook finds). One stores what found its agent busy: ``agents_store``.
One writes: ``agents_record`` takes the agent's lock and its row, and only then compares the version on which the caller
decided; if it still stands, everything that the event changes is written, else nothing is, and the caller gets the fresh
rows to decide again. A trigger, ``agent_version_rises``, raises the version with every change of an agent's row, whoever
writes it: an operator's statement that takes no advisory lock is noticed by it. Each function is PL/pgSQL, so that its plans are kept, and VOLATILE, so that each statement in it sees what was
committed while it waited (X15).
"""

from django.db import migrations

SITUATION = """
CREATE FUNCTION agents_situation(the_agent bigint) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE found jsonb;
BEGIN
  SELECT jsonb_build_object(
    'agent', jsonb_build_object(
      'id', a.id, 'version', a.version, 'generation', a.generation, 'presence', a.presence, 'mode', a.mode,
      'session_id', a.session_id, 'cwd', a.cwd, 'transcript_path', a.transcript_path, 'model', a.model,
      'permission_mode', a.permission_mode, 'pid', a.pid, 'process_started', a.process_started,
      'process_place', a.process_place, 'pane', a.pane, 'reason', a.reason, 'working', a.working,
      'started_at', a.started_at, 'last_seen_at', a.last_seen_at, 'last_event', a.last_event,
      'ended_at', a.ended_at, 'end_reason', a.end_reason),
    'command', CASE WHEN c.id IS NULL THEN NULL ELSE jsonb_build_object(
      'id', c.id, 'state', c.state, 'prompt_ids', c.prompt_ids, 'inferred', c.inferred, 'gaps', c.gaps) END,
    'waits', COALESCE((
      SELECT jsonb_agg(jsonb_build_object(
        'id', w.id, 'asking', w.asking, 'use_id', w.use_id, 'digest', w.digest,
        'subagent_id', w.subagent_id, 'tool_name', w.tool_name) ORDER BY w.id)
      FROM agents_wait w WHERE w.agent_id = a.id AND w.closed_at IS NULL), '[]'))
  INTO found
  FROM agents_agent a LEFT JOIN agents_command c ON c.agent_id = a.id AND c.state <> 'complete'
  WHERE a.id = the_agent;
  RETURN found;
END $$;
"""

# Hooks that found no agent when they came wait without one, also for a moment after their session has it.
WAITING = """
CREATE FUNCTION agents_waiting(the_agent bigint, the_host bigint, the_vendor text, session text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM agents_hookevent WHERE agent_id = the_agent AND outcome = 'pending') OR EXISTS (
    SELECT FROM agents_hookevent WHERE host_id = the_host AND vendor = the_vendor AND session_id = session
    AND agent_id IS NULL AND outcome = 'pending');
END $$;
"""

# NULL: no host answers to this token. A hook repeats another one when a key of it is journaled already.
LOOK = """
CREATE FUNCTION agents_look(
  token text, the_vendor text, session text, keys text[], since timestamptz
) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE found jsonb;
BEGIN
  SELECT jsonb_build_object(
    'host', h.id,
    'repeat', (
      SELECT jsonb_build_object('answer', e.answer) FROM agents_hookevent e
      WHERE e.host_id = h.id AND e.key = ANY (keys) AND e.received_at > since LIMIT 1),
    'situation', CASE WHEN s.agent_id IS NOT NULL THEN agents_situation(s.agent_id) END,
    'waiting', agents_waiting(s.agent_id, h.id, the_vendor, session))
  INTO found
  FROM agents_host h
  LEFT JOIN agents_agentsession s ON s.host_id = h.id AND s.vendor = the_vendor AND s.session_id = session
  WHERE h.token_digest = token AND h.revoked_at IS NULL;
  RETURN found;
END $$;
"""

# Answers: what was written and what is there now; or a repeat, with what it was answered; or, when the rows have moved on
# or hooks wait before this one, nothing but what is there now. NULL: no host answers to this
# token. Without a token it writes for a cycle, or applies a hook that waited (``pending_id``).
RECORD = """
CREATE FUNCTION agents_record(
  token text, keys text[], since timestamptz, the_agent bigint, decided_on bigint,
  lock_id bigint, lock_namespace integer, patience_ms integer, label text, plan jsonb
) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  at timestamptz := plan->>'at';
  hook jsonb := plan->'event';
  until timestamptz := 'infinity';
  usual_timeout text;
  row_version bigint;
  the_event bigint := (plan->>'pending_id')::bigint;
  the_host bigint;
  first_answer jsonb;
  open_id bigint := (plan->>'command_id')::bigint;
  ids bigint[] := '{}';
  item jsonb;
  the_id bigint;
  waited_ms integer;
BEGIN
  waited_ms := locks_take(lock_id, lock_namespace, patience_ms, label);

  IF token IS NOT NULL THEN
    SELECT id INTO the_host FROM agents_host WHERE token_digest = token AND revoked_at IS NULL;
    IF the_host IS NULL THEN
      RETURN NULL;
    END IF;
  ELSE
    -- It waited: its twin may have come before it or after it, and have been applied already.
    SELECT host_id, received_at + (received_at - since) INTO the_host, until FROM agents_hookevent WHERE id = the_event;
  END IF;
  SELECT e.answer INTO first_answer FROM agents_hookevent e
  WHERE e.host_id = the_host AND e.key = ANY (keys) AND e.received_at > since AND e.received_at < until
    AND (token IS NOT NULL OR e.outcome NOT IN ('pending', 'duplicate')) LIMIT 1;
  IF FOUND THEN
    UPDATE agents_hookevent SET outcome = 'duplicate', applied_at = at WHERE id = the_event;
    RETURN jsonb_build_object(
      'written', false, 'host', the_host, 'repeat', jsonb_build_object('answer', first_answer),
      'situation', agents_situation(the_agent));
  END IF;

  -- Lock, then read: what was decided on must still stand now that nobody else can write. The row is locked too, because
  -- an operator's statement takes no advisory lock: it is waited for as long as for one, and then seen.
  SELECT version INTO row_version FROM agents_agent WHERE id = the_agent FOR NO KEY UPDATE SKIP LOCKED;
  IF row_version IS NULL THEN
    usual_timeout := pg_catalog.current_setting('lock_timeout');
    PERFORM pg_catalog.set_config('lock_timeout', patience_ms::text, true);
    SELECT version INTO row_version FROM agents_agent WHERE id = the_agent FOR NO KEY UPDATE;
    PERFORM pg_catalog.set_config('lock_timeout', usual_timeout, true);
  END IF;
  IF token IS NOT NULL AND agents_waiting(the_agent, the_host, hook->>'vendor', hook->>'session_id') THEN
    RETURN jsonb_build_object(
      'written', false, 'host', the_host, 'situation', agents_situation(the_agent), 'waiting', true);
  END IF;
  IF row_version IS DISTINCT FROM decided_on THEN
    RETURN jsonb_build_object('written', false, 'host', the_host, 'situation', agents_situation(the_agent));
  END IF;

  IF hook IS NOT NULL THEN
    INSERT INTO agents_hookevent (
      host_id, agent_id, vendor, session_id, name, key, sequence, headers, occurred_at, received_at, applied_at,
      outcome, answer, payload, size, truncated)
    SELECT the_host, the_agent, x.vendor, x.session_id, x.name, x.key, x.sequence, x.headers, x.occurred_at,
      x.received_at, at, x.outcome, x.answer, x.payload, x.size, x.truncated
    FROM jsonb_to_record(hook) AS x(
      vendor text, session_id text, name text, key text, sequence bigint, headers jsonb, occurred_at timestamptz,
      received_at timestamptz, outcome text, answer jsonb, payload jsonb, size bigint, truncated boolean)
    ON CONFLICT (host_id, key) DO NOTHING
    RETURNING id INTO the_event;
    IF the_event IS NULL THEN
      -- A twin in the inbox, or another agent's hook, took the key in this moment; its row is committed by now.
      SELECT e.answer INTO first_answer FROM agents_hookevent e WHERE e.host_id = the_host AND e.key = hook->>'key';
      RETURN jsonb_build_object(
        'written', false, 'host', the_host, 'repeat', jsonb_build_object('answer', first_answer),
        'situation', agents_situation(the_agent));
    END IF;
  ELSIF the_event IS NOT NULL THEN
    UPDATE agents_hookevent
    SET outcome = plan->>'outcome', answer = NULLIF(plan->'answer', 'null'), applied_at = at
    WHERE id = the_event AND outcome = 'pending';
    IF NOT FOUND THEN
      RETURN jsonb_build_object('written', false, 'host', the_host, 'situation', agents_situation(the_agent));
    END IF;
  END IF;

  UPDATE agents_agent AS a SET
    version = a.version + 1, generation = x.generation, session_id = x.session_id, cwd = x.cwd,
    transcript_path = x.transcript_path, model = x.model, permission_mode = x.permission_mode, pid = x.pid,
    process_started = x.process_started, process_place = x.process_place, pane = x.pane, presence = x.presence,
    ambiguous = x.ambiguous, reason = x.reason, working = x.working, last_event = x.last_event,
    last_seen_at = GREATEST(a.last_seen_at, x.last_seen_at), end_reason = x.end_reason,
    ended_at = CASE WHEN x.ended_at IS NOT NULL THEN GREATEST(a.started_at, x.ended_at) END
  FROM jsonb_to_record(plan->'agent') AS x(
    generation integer, session_id text, cwd text, transcript_path text, model text, permission_mode text, pid bigint,
    process_started text, process_place text, pane text, presence text, ambiguous text, reason text, working jsonb,
    last_event text, last_seen_at timestamptz, ended_at timestamptz, end_reason text)
  WHERE a.id = the_agent;

  IF plan ? 'session_over' THEN
    UPDATE agents_agentsession
    SET ended_at = GREATEST(started_at, at), end_reason = plan->'session_over'->>'reason',
        end_prompt_id = plan->'session_over'->>'prompt_id'
    WHERE agent_id = the_agent AND session_id = plan->'session_over'->>'session_id' AND ended_at IS NULL;
  END IF;
  IF plan ? 'session_live' THEN
    UPDATE agents_agentsession SET ended_at = GREATEST(started_at, at), end_reason = 'superseded'
    WHERE agent_id = the_agent AND session_id <> plan->>'session_live' AND ended_at IS NULL;
    UPDATE agents_agentsession SET ended_at = NULL, end_reason = '', end_prompt_id = ''
    WHERE agent_id = the_agent AND session_id = plan->>'session_live' AND ended_at IS NOT NULL;
  END IF;

  IF plan ? 'closed_waits' THEN
    UPDATE agents_wait AS w SET closed_at = GREATEST(w.opened_at, at), closed_by = x.closed_by
    FROM jsonb_to_recordset(plan->'closed_waits') AS x(id bigint, closed_by text)
    WHERE w.id = x.id AND w.closed_at IS NULL;
  END IF;

  FOR item IN SELECT * FROM jsonb_array_elements(COALESCE(plan->'commands', '[]')) LOOP
    IF item->>'past_prompt_id' <> '' THEN
      UPDATE agents_command SET
        outcome = COALESCE(NULLIF(item->>'outcome', ''), outcome), reason = COALESCE(NULLIF(item->>'reason', ''), reason),
        inferred = inferred AND item->>'prompt' = '', gaps = gaps - (item->>'settles'),
        prompt = COALESCE(NULLIF(item->>'prompt', ''), prompt)
      WHERE agent_id = the_agent AND prompt_ids @> ARRAY[item->>'past_prompt_id']::varchar[] AND state = 'complete'
      RETURNING id INTO the_id;
    ELSIF item->>'id' IS NULL THEN
      INSERT INTO agents_command (
        agent_id, generation, state, prompt, prompt_ids, summary, inferred, gaps, started_at, completed_at, outcome, reason)
      SELECT the_agent, (plan->'agent'->>'generation')::integer, x.state, x.prompt,
        ARRAY(SELECT jsonb_array_elements_text(x.prompt_ids)), '', x.inferred, x.gaps, at,
        CASE WHEN x.state = 'complete' THEN at END, x.outcome, x.reason
      FROM jsonb_to_record(item) AS x(
        state text, prompt text, prompt_ids jsonb, inferred boolean, gaps jsonb, outcome text, reason text)
      RETURNING id INTO the_id;
    ELSE
      UPDATE agents_command AS c SET
        state = x.state, prompt = CASE WHEN x.prompt <> '' THEN x.prompt ELSE c.prompt END,
        prompt_ids = ARRAY(SELECT jsonb_array_elements_text(x.prompt_ids)), inferred = x.inferred, gaps = x.gaps,
        completed_at = CASE WHEN x.state = 'complete' THEN GREATEST(c.started_at, at) END, outcome = x.outcome,
        reason = x.reason
      FROM jsonb_to_record(item) AS x(
        id bigint, state text, prompt text, prompt_ids jsonb, inferred boolean, gaps jsonb, outcome text, reason text)
      WHERE c.id = x.id
      RETURNING c.id INTO the_id;
    END IF;
    ids := ids || the_id;
    IF item->>'past_prompt_id' = '' AND item->>'state' <> 'complete' THEN
      open_id := the_id;
    END IF;
  END LOOP;

  IF plan ? 'named_waits' THEN
    UPDATE agents_wait AS w SET use_id = x.use_id, digest = x.digest, tool_name = x.tool_name,
      text = CASE WHEN x.text <> '' THEN x.text ELSE w.text END
    FROM jsonb_to_recordset(plan->'named_waits') AS x(id bigint, use_id text, digest text, tool_name text, text text)
    WHERE w.id = x.id;
  END IF;
  IF plan ? 'waits' THEN
    INSERT INTO agents_wait (
      agent_id, command_id, asking, use_id, digest, subagent_id, tool_name, text, opened_at, closed_by)
    SELECT the_agent, open_id, x.asking, x.use_id, x.digest, x.subagent_id, x.tool_name, x.text, at, ''
    FROM jsonb_to_recordset(plan->'waits') AS x(
      asking text, use_id text, digest text, subagent_id text, tool_name text, text text);
  END IF;
  IF plan ? 'turns' THEN
    INSERT INTO agents_turn (agent_id, command_id, actor, intent, text, summary, said_at)
    SELECT the_agent, COALESCE(ids[x.command + 1], open_id), x.actor, x.intent, x.text, '', at
    FROM jsonb_to_recordset(plan->'turns') AS x(command integer, actor text, intent text, text text);
  END IF;
  IF plan ? 'moves' THEN
    INSERT INTO agents_statechange (
      agent_id, command_id, event_id, before, after, trigger, reason, version, changed_at)
    SELECT the_agent, CASE WHEN x.command IS NOT NULL THEN COALESCE(ids[x.command + 1], open_id) END, the_event,
      x.before, x.after, x.trigger, x.reason, row_version + 1, at
    FROM jsonb_to_recordset(plan->'moves') AS x(command integer, before text, after text, trigger text, reason text);
  END IF;
  RETURN jsonb_build_object(
    'written', true, 'host', the_host, 'situation', agents_situation(the_agent), 'waited_ms', COALESCE(waited_ms, 0));
END $$;
"""

# Stores a hook that found its agent busy: no lock is taken. Answers like agents_look, with whether it was written: it is
# not where the agent has another mode by now than the one that its answer was decided on ('none': there is no agent).
STORE = """
CREATE FUNCTION agents_store(token text, keys text[], since timestamptz, decided_on text, hook jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $$
DECLARE seen jsonb := agents_look(token, hook->>'vendor', hook->>'session_id', keys, since);
BEGIN
  IF seen IS NULL OR seen->'repeat' <> 'null'
    OR decided_on NOT IN ('any', COALESCE(seen->'situation'->'agent'->>'mode', 'none')) THEN
    RETURN seen;
  END IF;
  INSERT INTO agents_hookevent (
    host_id, agent_id, vendor, session_id, name, key, sequence, headers, occurred_at, received_at, outcome, answer, payload,
    size, truncated)
  SELECT (seen->>'host')::bigint, (seen->'situation'->'agent'->>'id')::bigint, x.vendor, x.session_id, x.name, x.key,
    x.sequence, x.headers, x.occurred_at, x.received_at, 'pending', x.answer, x.payload, x.size, x.truncated
  FROM jsonb_to_record(hook) AS x(
    vendor text, session_id text, name text, key text, sequence bigint, headers jsonb, occurred_at timestamptz,
    received_at timestamptz, answer jsonb, payload jsonb, size bigint, truncated boolean)
  ON CONFLICT (host_id, key) DO NOTHING;
  IF NOT FOUND THEN  -- its twin came first in this moment, and is committed by now
    RETURN agents_look(token, hook->>'vendor', hook->>'session_id', keys, since);
  END IF;
  RETURN seen || '{"written": true}';
END $$;
"""

# Whatever changes an agent raises its version, whoever writes: decisions rest on it, and may rest on remembered rows.
VERSION = """
CREATE FUNCTION agents_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER agent_version_rises BEFORE UPDATE ON agents_agent FOR EACH ROW
WHEN (NEW.version <= OLD.version) EXECUTE FUNCTION agents_raise_version();
"""
NO_VERSION = """
DROP TRIGGER agent_version_rises ON agents_agent;
DROP FUNCTION agents_raise_version;
"""


class Migration(migrations.Migration):
    dependencies = [("agents", "0001_rows"), ("locks", "0001_locks")]

    operations = [
        migrations.RunSQL(SITUATION, "DROP FUNCTION agents_situation"),
        migrations.RunSQL(WAITING, "DROP FUNCTION agents_waiting"),
        migrations.RunSQL(LOOK, "DROP FUNCTION agents_look"),
        migrations.RunSQL(RECORD, "DROP FUNCTION agents_record"),
        migrations.RunSQL(STORE, "DROP FUNCTION agents_store"),
        migrations.RunSQL(VERSION, NO_VERSION),
    ]
