-- Those of the run and any that came since it began. An hour earlier, because this clock is not the producer's.
select
    dead_letter_id, tenant_id, queue, sqs_message_id, reason, body,
    is_open as "is_open!",
    coalesce(replay_outcome in ('stored', 'duplicate'), false) as "is_stored!",
    first_seen_at >= $2 as "is_since!"
from dead_letter
where queue = any($1::text[]) and first_seen_at >= $2::timestamptz - interval '1 hour'
