-- Whether deliveries go out: what is paused or disabled still ingests, and its deliveries wait. Not in the catalog's files, and `catalog
-- apply` leaves it. Both tables are small.
alter table tenant
    add column state text not null default 'active' check (state in ('active', 'paused')),
    add column state_reason text,
    add column delivers boolean not null generated always as (active and state = 'active') stored;
alter table client
    add column state text not null default 'active' check (state in ('active', 'paused', 'disabled')),
    add column state_reason text,
    -- A lease from before it may not disable the client any more.
    add column resumed_at timestamptz,
    add column delivers boolean not null generated always as (active and state = 'active') stored,
    -- Whether deliveries of this client may be parked, for claims to bring back once it delivers again.
    add column has_parked boolean not null default false,
    -- The order in which claims go from client to client.
    add column turn bigint not null generated always as identity unique;

-- For each claim: is anything paused at all, and which clients have to be brought back?
create index tenant_not_delivering on tenant (tenant_id) where not delivers;
create index client_not_delivering on client (tenant_id, client_id) where not delivers;
create index client_has_parked on client (tenant_id, client_id) where has_parked;
