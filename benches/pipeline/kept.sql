-- The rows of a run, to be inserted once more.
select
    tenant_id, source, event_id, event_type, schema_version, client_id, subject, occurred_at, sent_at, payload::text as payload, payload_hash,
    attributes::text as attributes, queue, sqs_message_id, message_group, sequence_number, traceparent, catalog_generation,
    (
        select coalesce(array_agg(d.client_id order by d.client_id), '{}')
        from kept_delivery d
        where d.tenant_id = m.tenant_id and d.source = m.source and d.event_id = m.event_id
    ) as recipients
from kept_message m
order by received_at
