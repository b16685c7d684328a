-- Tried, not waited for. Whoever can connect can take such a lock: one that somebody holds who may not migrate is in nobody's way.
select
    pg_try_advisory_lock($1)
    or exists (
        select
        from pg_locks l
        join pg_stat_activity a using (pid)
        join pg_class applied on applied.oid = to_regclass('_sqlx_migrations')
        where
            l.locktype = 'advisory' and l.granted and l.objsubid = 1
            and l.database = (select oid from pg_database where datname = current_database())
            and (l.classid::bigint << 32) | l.objid::bigint = $1
            and not pg_has_role(a.usesysid, applied.relowner, 'member')
    ) as "is_locked!"
