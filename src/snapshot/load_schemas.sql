-- What is known by its digest need not be sent again.
select
    tenant_id,
    event_type,
    schema_version,
    active,
    digest,
    case when digest = any($1::bytea[]) then null else bundle::text end as bundle
from event_schema
order by tenant_id, event_type, schema_version
