-- What could not be stored, kept whole and with the reason. No foreign keys: a letter must never be refused.
create table dead_letter (
    dead_letter_id bigint generated always as identity primary key,
    -- null until the event was admitted; on a bound queue the queue's.
    tenant_id text collate "C",
    queue text collate "C" not null,
    sqs_message_id text collate "C" not null,
    source text,
    event_id text,
    event_type text,
    schema_version bigint,
    reason text not null,
    -- Keyword and schema location of the first error.
    rule text,
    -- [{keyword, instance_location, schema_location, expected, found}], never a value of the event.
    errors jsonb not null default '[]',
    -- As SQS handed it over.
    body bytea not null,
    attributes jsonb not null default '{}',
    sender_id text,
    queue_tenant text,
    queue_format text not null,
    catalog_generation bigint not null,
    receive_count integer not null,
    sent_at timestamptz,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    replayed_at timestamptz,
    replay_outcome text check (replay_outcome in ('stored', 'duplicate', 'rejected')),
    replay_reason text,
    discarded_at timestamptz,
    discard_reason text,
    -- A redelivery finds its letter by this key: it updates it, or closes it once the event is stored.
    unique (queue, sqs_message_id)
);
