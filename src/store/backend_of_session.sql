-- The process that serves this session, and what of its settings is otherwise than wanted.
select
    pid as "pid!",
    backend_start as "started_at!",
    (
        select string_agg(known.name || ' is ' || known.setting, ', ' order by known.name)
        from json_each_text($1::text::json) as wanted (name, setting)
        join pg_settings as known on known.name = wanted.name
        where known.setting <> wanted.setting
    ) as lost
from pg_stat_activity
where pid = pg_backend_pid()
