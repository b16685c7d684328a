-- By the key: the tenants are few, and a producer on a bound queue does not know its tenant.
select m.tenant_id, m.event_type, m.client_id, m.payload::text as "payload!", m.queue, m.sqs_message_id
from tenant t
join message m on m.tenant_id = t.tenant_id and m.source = $1 and m.event_id = $2
