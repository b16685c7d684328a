-- Tables of ours that nobody cleans up: switched off there, or mostly dead rows that were not looked at lately.
select
    s.relname::text as "table_name!",
    coalesce(c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off'], false) as "is_switched_off!",
    s.n_dead_tup as "dead_rows!",
    s.n_live_tup as "live_rows!"
from pg_stat_user_tables s join pg_class c on c.oid = s.relid
where
    s.relid = any(array[
        to_regclass('message'), to_regclass('delivery'), to_regclass('delivery_log'), to_regclass('dead_letter'),
        to_regclass('poison_attempt'), to_regclass('tenant_activity')
    ]::oid[])
    and (
        c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off']
        or (
            s.n_dead_tup > 100000
            and s.n_dead_tup > s.n_live_tup
            and coalesce(greatest(s.last_autovacuum, s.last_vacuum), '-infinity') < now() - interval '10 minutes'
        )
    )
order by s.relname
