-- What has its verdict is under suspicion no more.
delete from suspect s
using unnest($1::text[], $2::text[]) as k (queue, sqs_message_id)
where s.queue = k.queue and s.sqs_message_id = k.sqs_message_id
