-- A letter whose event is stored after all is closed in the same transaction.
update dead_letter d
set replayed_at = now(), replay_outcome = k.outcome, replay_reason = null, last_seen_at = now()
from unnest($1::text[], $2::text[], $3::text[]) as k (queue, sqs_message_id, outcome)
where d.queue = k.queue and d.sqs_message_id = k.sqs_message_id and d.replay_outcome is distinct from 'stored' and d.replay_outcome is distinct from 'duplicate'
