select
    current_setting('server_version_num')::integer as "version!",
    current_setting('server_encoding') as "encoding!",
    pg_is_in_recovery() as "is_standby!",
    current_setting('transaction_read_only') = 'on' as "is_read_only!",
    current_setting('fsync') = 'on' as "has_fsync!",
    current_setting('full_page_writes') = 'on' as "has_full_page_writes!",
    to_regclass('_sqlx_migrations') is not null as "has_migrations!"
