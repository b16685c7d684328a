-- What the server says of itself that no probe of the daemon's asks. Who may not read the others' statistics sees none of them.
select
    current_setting('server_version') as "version!",
    clock_timestamp() as "now!",
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer - (
        select count(*)::integer from pg_stat_activity where backend_type = 'client backend' or backend_type is null
    ) as "free_connections!",
    current_setting('autovacuum') = 'on' as "has_autovacuum!",
    (select age(datfrozenxid) from pg_database where datname = current_database()) as "transaction_age!",
    pg_has_role('pg_read_all_stats', 'usage') as "sees_others!",
    current_setting('synchronous_standby_names') <> ''
    and not exists (select from pg_stat_replication where sync_state in ('sync', 'quorum')) as "lacks_standby!",
    to_regclass('tenant_health') is not null as "has_tables!"
