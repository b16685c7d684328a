-- Counts that a message is begun.
insert into poison_attempt (queue, sqs_message_id, times_begun)
values ($1, $2, 1)
on conflict (queue, sqs_message_id) do update set times_begun = poison_attempt.times_begun + 1, last_begun_at = now()
returning times_begun
