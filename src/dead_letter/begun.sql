-- Of these dead letters, those that have ended whoever began them too often to be begun again.
select d.dead_letter_id
from dead_letter d
join poison_attempt p on p.queue = d.queue and p.sqs_message_id = d.sqs_message_id
where d.dead_letter_id = any($1) and p.times_begun >= $2
