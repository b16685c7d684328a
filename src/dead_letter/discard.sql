-- One that a batch of the daemon's or a replay is changing is left as it is: two that wait for each other would stop polling. What has ended
-- whoever began it is begun anew, should it ever be open again.
with
    chosen as (
        select dead_letter_id, queue, sqs_message_id
        from dead_letter
        where dead_letter_id = any($1) and is_open
        for update skip locked
    ),
    forgotten as (
        delete from poison_attempt p using chosen c where p.queue = c.queue and p.sqs_message_id = c.sqs_message_id
    )
update dead_letter d
set discarded_at = now(), discard_reason = $2
from chosen c
where d.dead_letter_id = c.dead_letter_id
