-- What is stored under identities, but for the payloads.
select k.position as "position!", m.event_type, m.client_id, m.payload_hash
from unnest($1::integer[], $2::text[], $3::text[], $4::text[]) as k (position, tenant_id, source, event_id)
join message m on m.tenant_id = k.tenant_id and m.source = k.source and m.event_id = k.event_id
