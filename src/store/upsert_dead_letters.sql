-- A redelivery updates its letter; what a person did with the letter stays.
insert into dead_letter as d (
    tenant_id, queue, sqs_message_id, source, event_id, event_type, schema_version, reason, rule, errors, body, attributes, sender_id,
    queue_tenant, queue_format, catalog_generation, receive_count, sent_at
)
select
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
    unnest($7::bigint[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]::jsonb[]), unnest($11::bytea[]),
    unnest($12::text[]::jsonb[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), unnest($16::bigint[]),
    unnest($17::integer[]), unnest($18::timestamptz[])
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
