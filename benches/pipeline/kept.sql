-- The rows of a run, with their recipients, to be inserted once more.
select
    m.tenant_id, m.source, m.event_id, m.event_type, m.schema_version, m.client_id, m.subject, m.occurred_at, m.sent_at,
    m.payload::text as payload, m.payload_hash, m.attributes::text as attributes, m.queue, m.sqs_message_id, m.message_group, m.sequence_number,
    m.traceparent, m.catalog_generation,
    array(
        select d.client_id
        from kept_delivery d
        where d.tenant_id = m.tenant_id and d.source = m.source and d.event_id = m.event_id
        order by 1
    ) as recipients
from kept_message m
order by m.received_at
