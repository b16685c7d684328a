-- The deliveries that were there, while others go on to write. Those that are done, if somebody's own sender has been at work, go to the log.
insert into delivery_log (tenant_id, source, event_id, client_id, attempt, sender, outcome, error)
select tenant_id, source, event_id, client_id, attempts, sender, state, last_error
from delivery_before
where state <> 'pending';
-- In the order of the keys, so that neither the table nor its index is written all over.
set local enable_seqscan = off;
set local enable_sort = off;
insert into delivery (tenant_id, source, event_id, client_id, due_at, attempts)
select tenant_id, source, event_id, client_id, greatest(due_at, clock_timestamp()), attempts
from delivery_before
where state = 'pending'
order by tenant_id, source, event_id, client_id
on conflict do nothing;
