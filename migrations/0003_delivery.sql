-- An event on its way to one client; the message row itself is never updated.
create table delivery (
    tenant_id text collate "C" not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    client_id text collate "C" not null,
    state text not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
    attempts integer not null default 0,
    due_at timestamptz not null default now(),
    lease_id bigint,
    lease_expires_at timestamptz,
    sender text,
    last_error text,
    primary key (tenant_id, source, event_id, client_id),
    foreign key (tenant_id, source, event_id) references message,
    foreign key (tenant_id, client_id) references client
);
