select
    dead_letter_id, tenant_id, queue, reason, rule, event_type, source, event_id, receive_count, last_seen_at,
    replay_outcome, discarded_at is not null as "is_discarded!"
from dead_letter
where
    ($1::text is null or tenant_id = $1 or claimed_tenant = $1)
    and ($2::text is null or reason = $2)
    and ($3::text is null or queue = $3)
    and ($4::boolean or is_open)
order by dead_letter_id desc
limit $5
