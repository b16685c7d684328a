-- An event's dead letters, by what its body says. More than so many have one identity only by intent.
select
    dead_letter_id, coalesce(source, '') as "source!", queue, sqs_message_id, reason, rule, catalog_generation, receive_count, sent_at,
    first_seen_at, last_seen_at, replayed_at, replays, replay_outcome, replay_reason, replay_rule, discarded_at, discard_reason,
    is_open as "is_open!"
from dead_letter
where event_id = $3 and coalesce(tenant_id, claimed_tenant) = $1 and ($2::text is null or source = $2)
order by dead_letter_id
limit 1000
