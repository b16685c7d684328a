-- Makes so many of those that are dead or cancelled wait again, from the first attempt on; FIFO events at their place in the group.
with chosen as (
    select d.tenant_id, d.source, d.event_id, d.client_id, m.queue, m.message_group, m.sequence_number
    from delivery_matching($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as d
    join message m on m.tenant_id = d.tenant_id and m.source = d.source and m.event_id = d.event_id
    order by d.tenant_id, d.source, d.event_id, d.client_id
    limit $12
),
requeued as (
    insert into delivery (tenant_id, source, event_id, client_id, queue, message_group, sequence)
    select
        tenant_id, source, event_id, client_id,
        case when is_fifo then queue end, case when is_fifo then message_group end, case when is_fifo then sequence_number::numeric end
    from (
        select *, message_group is not null and sequence_number ~ '^[0-9]{1,100}$' as is_fifo from chosen
    ) as c
    on conflict do nothing
    returning tenant_id, source, event_id, client_id
)
insert into delivery_log (tenant_id, source, event_id, client_id, attempt, sender, outcome)
select tenant_id, source, event_id, client_id, 0, $13, 'requeued' from requeued
