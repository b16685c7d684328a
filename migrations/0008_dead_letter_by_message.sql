-- The column first that differs. With the queue first, a server that knows little of the table may look for a batch's letters
-- (`close_dead_letters.sql`) by reading all those of the queue, and hold each against each id of the batch.
alter table dead_letter
    drop constraint dead_letter_queue_sqs_message_id_key,
    add unique (sqs_message_id, queue);
