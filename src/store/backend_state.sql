-- Whether a backend lets its client wait: it has waited for it for so many seconds. No row: it is gone. The time of its start tells it from
-- another one, of another server perhaps, that was given the same number.
select coalesce((state like 'idle%' or wait_event_type = 'Client') and state_change < clock_timestamp() - make_interval(secs => $3), false) as "is_waiting!"
from pg_stat_activity
where pid = $1 and backend_start = $2
