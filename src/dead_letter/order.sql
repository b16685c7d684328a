select
    dead_letter_id, coalesce(sent_at, first_seen_at) as "sent_at!", octet_length(body) as "bytes!", queue, message_group, sequence_number
from dead_letter
where dead_letter_id = any($1)
