select
    current_setting('server_version_num')::integer as "version!",
    current_setting('transaction_read_only') = 'on' as "is_read_only!",
    current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on' as "is_durable!"
