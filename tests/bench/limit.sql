-- A hook as a good client writes it by hand: one transaction, every statement prepared once.
\set agent :first + random(0, :agents - 1)
\set number random(1, 9000000000000000000)
BEGIN;
SELECT pg_advisory_xact_lock(1, :agent::integer);
SELECT a.*, c.id, c.state, c.prompt_ids, c.inferred, c.gaps,
  (SELECT json_agg(w) FROM agents_wait w WHERE w.agent_id = a.id AND w.closed_at IS NULL)
  FROM agents_agent a LEFT JOIN agents_command c ON c.agent_id = a.id AND c.state <> 'complete'
  WHERE a.id = :agent;
UPDATE agents_agent SET version = version + 1, working = :working, reason = :reason, last_event = 'PostToolUse',
  last_seen_at = now() WHERE id = :agent;
INSERT INTO agents_hookevent (host_id, agent_id, vendor, session_id, name, key, headers, received_at, applied_at,
  outcome, payload, size, truncated) VALUES (:host, :agent, 'claude-code', :session, 'PostToolUse',
  'limit:' || :number, '{}', now(), now(), 'applied', :payload, 1000, false);
COMMIT;
