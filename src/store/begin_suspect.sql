-- Counts that a message is begun. Beside it: what SQS keeps for no longer than 14 days cannot come again.
with expired as (delete from suspect where last_begun_at < now() - interval '15 days')
insert into suspect (queue, sqs_message_id, times_begun)
values ($1, $2, 1)
on conflict (queue, sqs_message_id) do update set times_begun = suspect.times_begun + 1, last_begun_at = now()
returning times_begun
