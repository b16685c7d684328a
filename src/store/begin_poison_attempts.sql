-- Counts that messages are begun which were not begun before without having ended; gives those. Beside it: what SQS keeps for no longer than 14
-- days cannot come again.
with expired as (delete from poison_attempt where last_begun_at < now() - interval '15 days')
insert into poison_attempt (queue, sqs_message_id, times_begun)
select k.queue, k.sqs_message_id, 1
from unnest($1::text[], $2::text[]) as k (queue, sqs_message_id)
order by 1, 2
on conflict (queue, sqs_message_id) do nothing
returning queue, sqs_message_id
