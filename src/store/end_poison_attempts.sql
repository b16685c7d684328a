-- Messages that were begun have ended without a verdict, by no fault of their own.
with attempts as (
    select p.queue, p.sqs_message_id
    from poison_attempt p
    join unnest($1::text[], $2::text[]) as k (queue, sqs_message_id) using (queue, sqs_message_id)
    order by 1, 2
    for update of p
),
ended as (
    delete from poison_attempt p using attempts a
    where p.queue = a.queue and p.sqs_message_id = a.sqs_message_id and p.times_begun <= 1
)
update poison_attempt p set times_begun = times_begun - 1
from attempts a
where p.queue = a.queue and p.sqs_message_id = a.sqs_message_id and p.times_begun > 1
