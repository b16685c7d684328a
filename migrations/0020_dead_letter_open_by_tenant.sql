-- no-transaction
-- One tenant's of them, with those whose bodies name it: for `src/dead_letter/matching.sql`.
create index concurrently dead_letter_open_by_tenant on dead_letter (coalesce(tenant_id, claimed_tenant), last_seen_at, dead_letter_id)
where is_open;
