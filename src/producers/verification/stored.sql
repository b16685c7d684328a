-- By the key: it begins with the tenant, and tenants are few.
select m.tenant_id, m.source, m.event_id, m.event_type, m.client_id, m.payload::text as "payload!", m.payload_hash, m.queue, m.sqs_message_id
from tenant t
join message m on m.tenant_id = t.tenant_id and m.source = any($1::text[])
