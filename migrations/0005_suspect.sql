-- Which messages may have ended a process: an event that was received often is written here before it is judged, and leaves with its
-- verdict. One that was begun three times and never ended is a dead letter, so that it cannot end processes for ever.
create table suspect (
    queue text collate "C" not null,
    sqs_message_id text collate "C" not null,
    times_begun integer not null,
    last_begun_at timestamptz not null default now(),
    primary key (queue, sqs_message_id)
);
