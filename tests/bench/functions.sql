-- A hook as Headspace sends it, without Headspace: one call of its function, with a plan that was made before.
\set agent :first + random(0, :agents - 1)
\set number random(1, 9000000000000000000)
SELECT agents_record(
  token => :token, keys => ARRAY['function:' || :number, 'before:' || :number], since => now() - interval '5 s',
  the_agent => a.id, decided_on => a.version,
  lock_id => a.id, lock_namespace => 1, patience_ms => 1500, label => 'hook PostToolUse',
  plan => jsonb_set(
    jsonb_set(:plan, '{event,key}', to_jsonb('function:' || :number)), '{agent,session_id}', to_jsonb(a.session_id)))
FROM agents_agent a WHERE a.id = :agent;
