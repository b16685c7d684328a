-- Tenants, and how they are.
select
    t.tenant_id, t.name, t.active as is_declared, t.state, t.state_reason,
    (select count(*) from client c where c.tenant_id = t.tenant_id and c.active) as "clients!",
    h.last_event_at,
    h.stored_last_hour as "stored_last_hour!",
    h.duplicate_last_hour as "duplicate_last_hour!",
    h.rejected_last_hour as "rejected_last_hour!",
    h.rejected_share,
    h.event_types as "event_types!: Json<Vec<EventTypeHealth>>",
    h.open_dead_letters as "open_dead_letters!",
    h.problems as "problems!: Json<Vec<LargeProblem>>",
    h.waiting_deliveries as "waiting!",
    h.rate_limit, h.rate_burst,
    h.over_rate_last_hour as "over_rate_last_hour!"
from tenant t join tenant_health h on h.tenant_id = t.tenant_id
where $1::text is null or t.tenant_id = $1
order by t.tenant_id
