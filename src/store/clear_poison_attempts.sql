-- What has its verdict has ended, however often it was begun.
delete from poison_attempt p
using unnest($1::text[], $2::text[]) as k (queue, sqs_message_id)
where p.queue = k.queue and p.sqs_message_id = k.sqs_message_id
