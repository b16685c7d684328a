-- Payloads that are to be compared by value: their bytes differ, which key order, white space or the spelling of a number may do.
select k.position as "position!", m.payload::text as "payload!"
from unnest($1::integer[], $2::text[], $3::text[], $4::text[]) as k (position, tenant_id, source, event_id)
join message m on m.tenant_id = k.tenant_id and m.source = k.source and m.event_id = k.event_id
