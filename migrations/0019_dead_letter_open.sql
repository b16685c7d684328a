-- no-transaction
-- Open dead letters, the newest first, with all that `src/dead_letter/matching.sql` and `summary.sql` ask of them. Its entries are added at
-- one end.
create index concurrently dead_letter_open on dead_letter (last_seen_at, dead_letter_id)
include (
    tenant_id, claimed_tenant, queue, reason, rule, replay_outcome, replay_reason, replay_rule, event_type, schema_version, first_seen_at,
    replays
)
where is_open;
