-- Clients, and how many deliveries wait for each: its own index is counted, and not what is done.
select
    c.tenant_id, c.client_id, c.name, c.active as is_declared, c.state, c.state_reason, t.state as tenant_state,
    (select count(*) from delivery d where d.tenant_id = c.tenant_id and d.client_id = c.client_id) as "waiting!"
from client c join tenant t on t.tenant_id = c.tenant_id
where $1::text is null or c.tenant_id = $1
order by c.tenant_id, c.client_id
