-- What became of an event's deliveries; without an outcome what waits, at the time when it is due or its lease ends. What has no such time, for
-- it is parked or waits for another one of its group, is told as of now.
select client_id as "client_id!", attempt as "attempt!", at as "at!", sender, outcome, error, is_leased as "is_leased!"
from (
    select client_id, id, attempt, at, sender, outcome, error, false as is_leased
    from delivery_log
    where tenant_id = $1 and source = $2 and event_id = $3
    union all
    select client_id, null, attempts, case when due_at < '9999-12-31Z' then due_at else now() end, sender, null, null, lease_id is not null
    from delivery
    where tenant_id = $1 and source = $2 and event_id = $3
) as steps
order by at, id nulls last, client_id
