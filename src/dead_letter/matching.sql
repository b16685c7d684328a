-- The numbers of dead letters, the last seen first. Planned for what is given: the rest falls out of the text, and what is left is answered
-- from an index alone.
select dead_letter_id
from dead_letter
where
    ($1::text is null or coalesce(tenant_id, claimed_tenant) = $1)
    and ($2::text is null or queue = $2)
    and ($3::text is null or case when replay_outcome = 'rejected' then replay_reason else reason end = $3)
    and ($4::text is null or case when replay_outcome = 'rejected' then replay_rule else rule end = $4)
    and ($5::text is null or event_type = $5)
    and ($6::bigint is null or schema_version = $6)
    and ($7::timestamptz is null or last_seen_at >= $7)
    and ($8::timestamptz is null or last_seen_at < $8)
    and ($9::bigint[] is null or dead_letter_id = any($9))
    and ($10::text is null or sqs_message_id = $10)
    and (not $11::boolean or is_open)
    and (not $12::boolean or (discarded_at is not null and coalesce(replay_outcome, 'rejected') = 'rejected'))
    and ($13::timestamptz is null or (last_seen_at, dead_letter_id) < ($13, $14::bigint))
order by last_seen_at desc, dead_letter_id desc
limit $15
