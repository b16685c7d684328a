-- The stored events. The primary key is the identity: it makes a second copy a duplicate, whoever writes it.
create table message (
    tenant_id text collate "C" not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    event_type text collate "C" not null,
    schema_version integer not null,
    -- null: the event goes to the type's subscribers.
    client_id text collate "C",
    subject text,
    -- The producer's claim.
    occurred_at timestamptz,
    -- SQS's latest enqueue; a redrive restarts it.
    sent_at timestamptz,
    received_at timestamptz not null default now(),
    -- The bytes as they were sent; `payload ->> 'x'` works.
    payload json not null,
    -- SHA-256 of those bytes.
    payload_hash bytea not null check (octet_length(payload_hash) = 32),
    -- {"fields": other envelope fields, "message_attributes": the SQS message's}.
    attributes json not null default '{}',
    violations jsonb,
    queue text not null,
    sqs_message_id text not null,
    message_group text,
    sequence_number text,
    traceparent text,
    catalog_generation bigint not null,
    stored_xid xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, source, event_id),
    -- Its columns are all not null: with a nullable one among them, a null would switch the whole check off.
    foreign key (tenant_id, event_type, schema_version) references event_schema,
    -- On its own for the same reason: it checks nothing where no client is named.
    foreign key (tenant_id, client_id) references client
);

-- lz4 costs half of the default compression; a server that was built without it keeps the default.
do $$
begin
    alter table message alter column payload set compression lz4;
exception when feature_not_supported then
    raise notice 'this server has no lz4: payloads are compressed with its default method';
end
$$;
