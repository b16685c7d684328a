-- The rows of a run, to be inserted once more.
select
    tenant_id, source, event_id, event_type, schema_version, client_id, subject, occurred_at, sent_at, payload::text as payload, payload_hash,
    attributes::text as attributes, queue, sqs_message_id, message_group, sequence_number, traceparent, catalog_generation,
    recipients::text as recipients
from kept_message
order by received_at
