-- Takes so many of those that wait away, also from whoever holds their lease, and wakes those that waited for them.
with chosen as (
    select tenant_id, source, event_id, client_id
    from delivery_matching($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    order by tenant_id, source, event_id, client_id
    limit $12
),
cancelled as (
    delete from delivery d using chosen c
    where d.tenant_id = c.tenant_id and d.source = c.source and d.event_id = c.event_id and d.client_id = c.client_id
    returning d
),
logged as (
    insert into delivery_log (tenant_id, source, event_id, client_id, attempt, sender, outcome)
    select (d).tenant_id, (d).source, (d).event_id, (d).client_id, (d).attempts, $13, 'cancelled' from cancelled
)
select count(*) as "count!", array_agg(d) filter (where (d).sequence is not null)::text as grouped from cancelled
