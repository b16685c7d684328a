select
    dead_letter_id, tenant_id, queue,
    case when replay_outcome = 'rejected' then replay_reason else reason end as "reason!",
    case when replay_outcome = 'rejected' then replay_rule else rule end as rule,
    event_type, source, event_id, receive_count, replays, last_seen_at, replay_outcome, discarded_at is not null as "is_discarded!"
from dead_letter
where dead_letter_id = any($1)
order by last_seen_at desc, dead_letter_id desc
