-- What a replay found, beside what the first look has found. When the message was last seen is the queue's matter.
update dead_letter d
set
    replayed_at = now(),
    replays = d.replays + 1,
    replay_outcome = k.outcome,
    replay_reason = k.reason,
    replay_rule = k.rule,
    replay_errors = k.errors::jsonb,
    tenant_id = coalesce(d.tenant_id, k.tenant_id),
    source = coalesce(d.source, k.source),
    event_id = coalesce(d.event_id, k.event_id),
    event_type = coalesce(d.event_type, k.event_type),
    schema_version = coalesce(d.schema_version, k.schema_version)
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[]
) as k (queue, sqs_message_id, outcome, reason, rule, errors, tenant_id, source, event_id, event_type, schema_version)
where d.queue = k.queue and d.sqs_message_id = k.sqs_message_id
