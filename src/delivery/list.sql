-- What came last first; what never had an attempt comes before all of it.
select
    tenant_id as "tenant_id!", source as "source!", event_id as "event_id!", client_id as "client_id!", event_type as "event_type!",
    state as "state!", attempts as "attempts!", at,
    -- What is parked, or waits for another one of its group, has no time.
    case when due_at < '9999-12-31Z' then due_at end as due_at,
    coalesce(lease_id is not null, false) as "is_leased!", sender, error
from delivery_matching($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
order by at desc nulls first, tenant_id, source, event_id, client_id
limit $12
