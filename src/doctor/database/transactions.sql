-- Transactions that are open for so many seconds.
select
    pid as "pid!",
    coalesce(nullif(application_name, ''), usename::text, 'somebody') as "who!",
    coalesce(state, 'at work') as "state!",
    extract(epoch from now() - xact_start)::bigint as "seconds!"
from pg_stat_activity
where
    datname = current_database()
    and backend_type = 'client backend'
    and pid <> pg_backend_pid()
    and xact_start < now() - make_interval(secs => $1)
order by xact_start
limit 5
