-- What has waited longest, in seconds since 1970; before `due_from` nothing that waits is due.
select
    (select extract(epoch from min(last_seen_at))::float8 from dead_letter where is_open) as open_dead_letter,
    (
        select extract(epoch from min(d.due_at))::float8
        from delivery d
        where
            d.due_at >= (select case when due_from > clock_timestamp() then '-infinity' else due_from end from delivery_mark)
            and d.due_at <= clock_timestamp()
    ) as due_delivery
