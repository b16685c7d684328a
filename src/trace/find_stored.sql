-- By the key: the tenants are few, and a producer on a bound queue does not know its tenant.
select m.tenant_id, m.sqs_message_id, m.queue
from tenant t
join message m on m.tenant_id = t.tenant_id and m.source = $1 and m.event_id = $2
