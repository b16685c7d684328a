-- What is stored under identities; the payload only where its bytes differ and the values must be compared.
select
    k.position as "position!",
    m.event_type,
    m.client_id,
    case when m.payload_hash = k.payload_hash then null else m.payload::text end as payload
from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::bytea[]) as k (position, tenant_id, source, event_id, payload_hash)
join message m on m.tenant_id = k.tenant_id and m.source = k.source and m.event_id = k.event_id
