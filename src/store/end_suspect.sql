-- A message that was begun has ended without a verdict, by no fault of its own.
with ended as (delete from suspect where queue = $1 and sqs_message_id = $2 and times_begun <= 1)
update suspect set times_begun = times_begun - 1 where queue = $1 and sqs_message_id = $2 and times_begun > 1
