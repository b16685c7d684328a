-- Of the declared schema versions those that have been published before, and what they were published with where that differs.
select
    published.tenant_id,
    published.event_type,
    published.schema_version,
    published.active,
    case when published.digest <> declared.digest then published.bundle::text end as different_bundle
from unnest($1::text[], $2::text[], $3::integer[], $4::bytea[]) as declared (tenant_id, event_type, schema_version, digest)
join event_schema published using (tenant_id, event_type, schema_version)
