-- Tenants, and how many deliveries wait for each.
select
    t.tenant_id, t.name, t.active as is_declared, t.state, t.state_reason,
    (select count(*) from client c where c.tenant_id = t.tenant_id and c.active) as "clients!",
    (select count(*) from delivery d where d.tenant_id = t.tenant_id) as "waiting!"
from tenant t
where $1::text is null or t.tenant_id = $1
order by t.tenant_id
