select
    dead_letter_id, tenant_id, queue, sqs_message_id, source, event_id, event_type, schema_version, reason, rule, errors::text as "errors!",
    body, attributes::text as "attributes!", sender_id, queue_tenant, queue_format, catalog_generation, receive_count, sent_at,
    first_seen_at, last_seen_at, replayed_at, replay_outcome, replay_reason, replay_rule, replay_errors::text as replay_errors, replays, discarded_at,
    discard_reason,
    message_group, sequence_number, traceparent, queue_trusts_any_sender, claimed_tenant
from dead_letter
where dead_letter_id = $1
