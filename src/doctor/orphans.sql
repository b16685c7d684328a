-- What points at something that left the catalog, and what waits for somebody who does not come. By indexes, a look for each tenant or client.
select 'queue' as "kind!", '' as "tenant_id!", q.name as "name!"
from (
    select name, tenant_id from queue where active
    union
    select unnest($1::text[]), unnest($2::text[])
) as q (name, tenant_id)
where q.tenant_id is not null and not exists (select from tenant t where t.tenant_id = q.tenant_id and t.active)
union all
select case when not c.is_declared then 'client' when c.state = 'disabled' then 'disabled' else 'overdue' end, c.tenant_id, c.client_id
from (
    select c.tenant_id, c.client_id, c.state, c.active and t.active as is_declared, c.delivers and t.delivers as delivers
    from client c join tenant t on t.tenant_id = c.tenant_id
) as c
where
    (
        (not c.is_declared or c.state = 'disabled')
        and exists (
            select from delivery d where d.tenant_id = c.tenant_id and d.client_id = c.client_id
            order by d.tenant_id, d.client_id, d.due_at
        )
    )
    or (
        c.delivers
        and exists (
            select from delivery d
            where d.tenant_id = c.tenant_id and d.client_id = c.client_id and d.due_at < now() - interval '10 minutes'
            order by d.tenant_id, d.client_id, d.due_at
        )
    )
union all
select 'tenant', t.tenant_id, ''
from tenant t
where
    not t.active
    and exists (select from dead_letter l where l.is_open and coalesce(l.tenant_id, l.claimed_tenant) = t.tenant_id)
order by 1, 2, 3
