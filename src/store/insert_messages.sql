-- The rows come sorted by key: two writers with the same keys in different orders would deadlock.
insert into message (
    tenant_id, source, event_id, event_type, schema_version, client_id, subject, occurred_at, sent_at, payload, payload_hash,
    attributes, queue, sqs_message_id, message_group, sequence_number, traceparent, catalog_generation
)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
    $10::text[]::json[], $11::bytea[], $12::text[]::json[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::bigint[]
)
on conflict (tenant_id, source, event_id) do nothing
