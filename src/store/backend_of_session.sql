-- The process that serves this session, and what of its settings is otherwise than wanted. When a process has begun only its login may see, whatever
-- role the session has taken: so for this statement it has none.
with login as materialized (
    select set_config('role', 'none', true) as role
)
select
    own.pid as "pid!",
    own.backend_start as "started_at!",
    (
        select string_agg(known.name || ' is ' || known.setting, ', ' order by known.name)
        from json_each_text($1::text::json) as wanted (name, setting)
        join pg_settings as known on known.name = wanted.name
        where known.setting <> wanted.setting
    ) as lost
from login
cross join lateral pg_stat_get_activity(case when login.role = 'none' then pg_backend_pid() end) as own
