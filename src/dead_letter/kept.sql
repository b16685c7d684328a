-- All that a message was received with.
select
    dead_letter_id, queue, sqs_message_id, body, attributes::text as "attributes!", sender_id, queue_tenant, queue_format,
    queue_trusts_any_sender, receive_count, sent_at, message_group, sequence_number
from dead_letter
where dead_letter_id = any($1) and (is_open or not $2::boolean)
