select pid as "pid!", backend_start as "started_at!"
from pg_stat_activity
where pid = pg_backend_pid()
