-- What became of deliveries, append only: each attempt that ended, and each final state. No foreign keys: it tells of what may be gone.
create table delivery_log (
    tenant_id text collate "C" not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    client_id text collate "C" not null,
    -- The greatest is the latest.
    id bigint not null generated always as identity,
    -- Which attempt it was, from 1; of a final state the number of attempts that have ended.
    attempt integer not null,
    at timestamptz not null default clock_timestamp(),
    -- Who held the lease; of what a command did, the operator.
    sender text,
    outcome text not null check (outcome in ('delivered', 'failed', 'expired', 'dead', 'cancelled', 'requeued')),
    error text,
    -- The story of a delivery, and which entry is its latest.
    primary key (tenant_id, source, event_id, client_id, id)
);
