-- Of these tenants those that have stored an event within seven days.
select t.tenant_id as "tenant_id!"
from unnest($1::text[]) as t (tenant_id)
where exists (select from message m where m.tenant_id = t.tenant_id and m.received_at > now() - interval '7 days')
