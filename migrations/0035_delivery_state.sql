-- Each delivery once, with what it has come to.
create view delivery_state with (security_invoker = true) as
select tenant_id, source, event_id, client_id, 'pending' as state, attempts
from delivery
union all
select tenant_id, source, event_id, client_id, outcome, attempt
from (
    select distinct on (tenant_id, source, event_id, client_id) tenant_id, source, event_id, client_id, outcome, attempt
    from delivery_log
    where outcome in ('delivered', 'dead', 'cancelled')
    order by tenant_id, source, event_id, client_id, id desc
) as done
where not exists (
    select from delivery as d
    where
        d.tenant_id = done.tenant_id and d.source = done.source and d.event_id = done.event_id and d.client_id = done.client_id
);
