-- A redelivery updates its dead letter; what a person did with the dead letter stays.
insert into dead_letter as d (
    tenant_id, queue, sqs_message_id, source, event_id, event_type, schema_version, reason, rule, errors, body, attributes, sender_id,
    queue_tenant, queue_format, catalog_generation, receive_count, sent_at, message_group, sequence_number, traceparent,
    queue_trusts_any_sender, claimed_tenant
)
select
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
    unnest($7::bigint[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]::jsonb[]), unnest($11::bytea[]),
    unnest($12::text[]::json[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), unnest($16::bigint[]),
    unnest($17::integer[]), unnest($18::timestamptz[]), unnest($19::text[]), unnest($20::text[]), unnest($21::text[]),
    unnest($22::boolean[]), unnest($23::text[])
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
    message_group = excluded.message_group,
    sequence_number = excluded.sequence_number,
    traceparent = excluded.traceparent,
    queue_trusts_any_sender = excluded.queue_trusts_any_sender,
    claimed_tenant = excluded.claimed_tenant,
    last_seen_at = now()
