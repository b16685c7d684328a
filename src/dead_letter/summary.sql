-- Problems: open dead letters by what they have in common. From an index alone.
select
    tenant_id,
    event_type,
    case when replay_outcome = 'rejected' then replay_reason else reason end as "reason!",
    case when replay_outcome = 'rejected' then replay_rule else rule end as rule,
    count(*) as "open!",
    min(first_seen_at) as "first_seen_at!",
    max(last_seen_at) as "last_seen_at!",
    count(*) filter (where replays > 0) as "replayed_in_vain!",
    count(*) over () as "problems!"
from dead_letter
where
    is_open
    and ($1::text is null or coalesce(tenant_id, claimed_tenant) = $1)
    and ($2::text is null or queue = $2)
    and ($3::text is null or case when replay_outcome = 'rejected' then replay_reason else reason end = $3)
    and ($4::text is null or case when replay_outcome = 'rejected' then replay_rule else rule end = $4)
    and ($5::text is null or event_type = $5)
    and ($6::bigint is null or schema_version = $6)
    and ($7::timestamptz is null or last_seen_at >= $7)
    and ($8::timestamptz is null or last_seen_at < $8)
    and ($9::bigint[] is null or dead_letter_id = any($9))
    and ($10::text is null or sqs_message_id = $10)
group by 1, 2, 3, 4
order by 5 desc, 1, 2, 3, 4
limit $11
