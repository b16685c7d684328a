-- Standbys that are behind by more than so many seconds.
select
    coalesce(nullif(application_name, ''), client_addr::text, pid::text) as "standby!",
    extract(epoch from replay_lag)::bigint as "seconds!"
from pg_stat_replication
where replay_lag > make_interval(secs => $1)
order by replay_lag desc
