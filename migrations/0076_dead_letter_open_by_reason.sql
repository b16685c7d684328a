-- no-transaction
-- Open dead letters by tenant and reason, to go from one pair to the next and count each up to a limit: for `src/store/open_dead_letters.sql`.
create index concurrently dead_letter_open_by_reason on dead_letter (tenant_id, reason) where is_open;
