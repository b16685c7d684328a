-- Standbys that are behind by a minute or more.
select
    coalesce(nullif(application_name, ''), client_addr::text, pid::text) as "standby!",
    extract(epoch from replay_lag)::bigint as "seconds!"
from pg_stat_replication
where replay_lag > interval '1 minute'
order by replay_lag desc
