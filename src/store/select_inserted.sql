-- Which rows this very transaction has inserted, where others were there before.
select k.position as "position!"
from unnest($1::integer[], $2::text[], $3::text[], $4::text[]) as k (position, tenant_id, source, event_id)
join message m on m.tenant_id = k.tenant_id and m.source = k.source and m.event_id = k.event_id
where m.stored_xid = pg_current_xact_id()
