-- What became of an event's deliveries, in the order of time.
select client_id, attempt, at, sender, outcome, error
from delivery_log
where tenant_id = $1 and source = $2 and event_id = $3 and ($4::text is null or client_id = $4)
order by client_id, id
