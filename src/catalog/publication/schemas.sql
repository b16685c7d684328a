-- Publishes schema versions, or makes them active again; the schema of a published version is never written. Returns all of them.
insert into event_schema as target (tenant_id, event_type, schema_version, bundle, digest)
select declared.tenant_id, declared.event_type, declared.schema_version, declared.bundle, declared.digest
from unnest($1::text[], $2::text[], $3::integer[], $4::text[]::json[], $5::bytea[])
    as declared (tenant_id, event_type, schema_version, bundle, digest)
on conflict (tenant_id, event_type, schema_version) do update
set active = true
where not target.active
returning
    target.tenant_id,
    target.bundle ->> 'root' as "name!",
    not exists (
        select from event_schema before
        where (before.tenant_id, before.event_type, before.schema_version)
            = (target.tenant_id, target.event_type, target.schema_version)
    ) as "is_new!"
