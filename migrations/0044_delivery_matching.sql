-- For `processor delivery list|requeue|cancel`: those that were given up are few among the many that were delivered.
create index delivery_log_given_up on delivery_log (tenant_id, client_id) where outcome in ('dead', 'cancelled');

-- Deliveries in one of these states with what else these filters say; null: whatever it is. `at` is when something last became of one.
create function delivery_matching(
    states text[], of_tenant text, of_client text, of_source text, event_ids text[], of_queue text, of_type text, of_version integer,
    of_message text, since timestamptz, until timestamptz
) returns table (
    tenant_id text, source text, event_id text, client_id text, state text, attempts integer, at timestamptz, due_at timestamptz,
    lease_id bigint, sender text, error text, event_type text
) language sql stable as $$
    select d.*, m.event_type
    from (
        select d.tenant_id, d.source, d.event_id, d.client_id, 'pending' as state, d.attempts, l.at, d.due_at, d.lease_id, d.sender, l.error
        from delivery d
        left join lateral (
            select at, error from delivery_log l
            where l.tenant_id = d.tenant_id and l.source = d.source and l.event_id = d.event_id and l.client_id = d.client_id
            order by l.tenant_id, l.source, l.event_id, l.client_id, l.id desc
            limit 1
        ) as l on true
        where 'pending' = any(states)
        union all
        select l.tenant_id, l.source, l.event_id, l.client_id, l.outcome, l.attempt, l.at, null, null, l.sender, l.error
        from delivery_log l
        where
            l.outcome in ('dead', 'cancelled') and l.outcome = any(states)
            and not exists (
                select from delivery_log later
                where
                    later.tenant_id = l.tenant_id and later.source = l.source and later.event_id = l.event_id
                    and later.client_id = l.client_id and later.id > l.id
            )
        union all
        select l.tenant_id, l.source, l.event_id, l.client_id, l.outcome, l.attempt, l.at, null, null, l.sender, l.error
        from delivery_log l
        where l.outcome = 'delivered' and 'delivered' = any(states)
    ) as d
    join message m on m.tenant_id = d.tenant_id and m.source = d.source and m.event_id = d.event_id
    where
        (of_tenant is null or d.tenant_id = of_tenant)
        and (of_client is null or d.client_id = of_client)
        and (of_source is null or d.source = of_source)
        and (event_ids is null or d.event_id = any(event_ids))
        and (of_queue is null or m.queue = of_queue)
        and (of_type is null or m.event_type = of_type)
        and (of_version is null or m.schema_version = of_version)
        and (of_message is null or m.sqs_message_id = of_message)
        and (since is null or coalesce(d.at, m.received_at) >= since)
        and (until is null or coalesce(d.at, m.received_at) < until)
$$;
revoke execute on function delivery_matching from public;
