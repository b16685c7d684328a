insert into delivery (tenant_id, source, event_id, client_id)
select *
from unnest($1::text[], $2::text[], $3::text[], $4::text[])
on conflict (tenant_id, source, event_id, client_id) do nothing
