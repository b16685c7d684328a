select dead_letter_id, reason
from dead_letter
where queue = $1 and sqs_message_id = $2 and (replay_outcome is null or replay_outcome = 'rejected')
