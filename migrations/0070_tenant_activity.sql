-- What each tenant brought in the last hour, by event type, for the view `tenant_health`. Daemons add to it every few seconds, in a transaction of
-- its own, so it costs no event anything, unlike an index on `message` by time. Each type has a ring of twelve rows of five minutes: nothing is
-- ever deleted, and of whoever falls silent the last event stays known. No foreign keys: these are counts, and what they tell of may leave the
-- catalog.
create table tenant_activity (
    tenant_id text collate "C" not null,
    -- Empty: none, or none that is in the catalog.
    event_type text collate "C" not null,
    -- Which row of the ring.
    period smallint not null check (period between 0 and 11),
    began_at timestamptz not null,
    last_event_at timestamptz not null,
    stored bigint not null,
    duplicate bigint not null,
    rejected bigint not null,
    -- Of no type.
    over_rate bigint not null,
    primary key (tenant_id, event_type, period)
);
