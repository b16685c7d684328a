-- The event of an id: of one source, or of each that the tenant has, which are few beside its events. Each is found by the key.
with recursive sources as (
    select coalesce($2::text, (select min(source) from message where tenant_id = $1)) as source
    union all
    select (select min(m.source) from message m where m.tenant_id = $1 and m.source > s.source)
    from sources s
    where $2::text is null and s.source is not null
)
select
    m.source as "source!", m.event_type as "event_type!", m.schema_version as "schema_version!", m.client_id, m.sent_at,
    m.received_at as "received_at!", m.queue as "queue!", m.sqs_message_id as "sqs_message_id!",
    m.catalog_generation as "catalog_generation!"
from sources s
join message m on m.tenant_id = $1 and m.source = s.source and m.event_id = $3
