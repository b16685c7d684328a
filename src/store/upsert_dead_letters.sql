-- A redelivery updates its letter; what a person did with the letter stays.
insert into dead_letter as d (
    tenant_id, queue, sqs_message_id, source, event_id, event_type, schema_version, reason, rule, errors, body, attributes, sender_id,
    queue_tenant, queue_format, catalog_generation, receive_count, sent_at
)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[]::jsonb[],
    $11::bytea[], $12::text[]::jsonb[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::integer[], $18::timestamptz[]
)
on conflict (queue, sqs_message_id) do update set
    tenant_id = excluded.tenant_id,
    source = excluded.source,
    event_id = excluded.event_id,
    event_type = excluded.event_type,
    schema_version = excluded.schema_version,
    reason = excluded.reason,
    rule = excluded.rule,
    errors = excluded.errors,
    body = excluded.body,
    attributes = excluded.attributes,
    sender_id = excluded.sender_id,
    queue_tenant = excluded.queue_tenant,
    queue_format = excluded.queue_format,
    catalog_generation = excluded.catalog_generation,
    receive_count = excluded.receive_count,
    sent_at = excluded.sent_at,
    last_seen_at = now()
