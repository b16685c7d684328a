-- Those of the run and any that came since it began. An hour earlier, because this clock is not the producer's.
select
    dead_letter_id, tenant_id, queue, sqs_message_id, body,
    case when replay_outcome = 'rejected' then replay_reason else reason end as "reason!",
    is_open as "is_open!",
    coalesce(replay_outcome in ('stored', 'duplicate'), false) as "is_stored!",
    replays > 0 as "is_replayed!",
    first_seen_at >= $2 as "is_since!"
from dead_letter
where queue = any($1::text[]) and first_seen_at >= $2::timestamptz - interval '1 hour'
