-- Dead letters whose events are stored after all, some by another message, are closed in the same transaction.
update dead_letter
set
    replayed_at = now(),
    replay_outcome = case when sqs_message_id = any($3::text[]) then 'duplicate' else 'stored' end,
    replay_reason = null,
    last_seen_at = now()
where
    queue = $1
    and sqs_message_id = any($2::text[])
    and replay_outcome is distinct from 'stored'
    and replay_outcome is distinct from 'duplicate'
