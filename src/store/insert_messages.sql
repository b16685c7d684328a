-- The rows come sorted by key: two writers with the same keys in different orders would deadlock. Not from one `unnest`: that would write all of
-- them to a table of its own first.
insert into message (
    tenant_id, source, event_id, event_type, schema_version, client_id, subject, occurred_at, sent_at, payload, payload_hash,
    attributes, queue, sqs_message_id, message_group, sequence_number, traceparent, catalog_generation
)
select
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::integer[]), unnest($6::text[]),
    unnest($7::text[]), unnest($8::timestamptz[]), unnest($9::timestamptz[]), unnest($10::text[]::json[]), unnest($11::bytea[]),
    unnest($12::text[]::json[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), unnest($16::text[]), unnest($17::text[]),
    unnest($18::bigint[])
on conflict (tenant_id, source, event_id) do nothing
returning tenant_id, source, event_id
