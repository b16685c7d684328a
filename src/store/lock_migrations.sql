-- Tried, not waited for.
select pg_try_advisory_lock($1) as "is_locked!"
