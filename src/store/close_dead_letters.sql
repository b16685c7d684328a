-- Dead letters whose events are stored after all, some by another message, are closed in the same transaction. One that is closed already has
-- come again: when, its story tells.
update dead_letter
set
    replayed_at = case when is_open or replayed_at is null then now() else replayed_at end,
    replay_outcome = case
        when replay_outcome in ('stored', 'duplicate') then replay_outcome
        when sqs_message_id = any($3::text[]) then 'duplicate'
        else 'stored'
    end,
    replay_reason = null,
    last_seen_at = now()
where
    queue = $1
    and sqs_message_id = any($2::text[])
