-- What is active though the files do not declare it: its key, and its name within the tenant.
select 'tenant' as "kind!", tenant_id as "tenant_id!", '' as "key!", 0 as "version!", '' as "event_pattern!", tenant_id as "name!"
from tenant
where active and tenant_id <> all($1::text[])
union all
select 'event_type', tenant_id, event_type, 0, '', event_type
from event_type
where active and (tenant_id, event_type) not in (select * from unnest($2::text[], $3::text[]))
union all
select 'schema', tenant_id, event_type, schema_version, '', bundle ->> 'root'
from event_schema
where active and (tenant_id, event_type, schema_version) not in (select * from unnest($4::text[], $5::text[], $6::integer[]))
union all
select 'client', tenant_id, client_id, 0, '', client_id
from client
where active and (tenant_id, client_id) not in (select * from unnest($7::text[], $8::text[]))
union all
select 'subscription', tenant_id, client_id, 0, event_pattern, client_id || ' to ' || event_pattern
from subscription
where active and (tenant_id, client_id, event_pattern) not in (select * from unnest($9::text[], $10::text[], $11::text[]))
union all
select 'queue', '', name, 0, '', name
from queue
where active and name <> all($12::text[])
