-- Of these dead letters, how many are open and nobody else's at this moment; those are locked.
select count(*) as "count!"
from (
    select
    from unnest($1::text[], $2::text[]) as k (queue, sqs_message_id)
    join dead_letter d on d.queue = k.queue and d.sqs_message_id = k.sqs_message_id
    where d.is_open
    for update of d skip locked
) as locked
