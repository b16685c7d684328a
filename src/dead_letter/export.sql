-- All columns but the body, as JSON.
select row_to_json(f)::text as "fields!", d.body
from dead_letter d
cross join lateral (
    select
        d.dead_letter_id, d.tenant_id, d.claimed_tenant, d.queue, d.sqs_message_id, d.source, d.event_id, d.event_type, d.schema_version,
        d.reason, d.rule, d.errors, d.attributes, d.sender_id, d.queue_tenant, d.queue_format, d.queue_trusts_any_sender,
        d.catalog_generation, d.receive_count, d.message_group, d.sequence_number, d.traceparent, d.sent_at, d.first_seen_at,
        d.last_seen_at, d.replayed_at, d.replays, d.replay_outcome, d.replay_reason, d.replay_rule, d.replay_errors
) as f
where d.dead_letter_id = any($1)
order by coalesce(d.sent_at, d.first_seen_at), d.dead_letter_id
