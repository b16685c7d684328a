select
    current_setting('server_version_num')::integer as "version!",
    current_setting('server_encoding') as "encoding!",
    pg_is_in_recovery() as "is_standby!",
    current_setting('transaction_read_only') = 'on' as "is_read_only!",
    current_setting('fsync') = 'on' as "has_fsync!",
    current_setting('full_page_writes') = 'on' as "has_full_page_writes!",
    to_regclass('_sqlx_migrations') is not null as "has_migrations!",
    -- Also a superuser's.
    coalesce((select pg_has_role(current_user, relowner, 'usage') from pg_class where oid = to_regclass('message')), false) as "has_owner_rights!"
