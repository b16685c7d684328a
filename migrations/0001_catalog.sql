-- What tenants have declared. Rows are never deleted, only set inactive: events point at them.
-- Names compare byte for byte (collate "C"), which is also the cheapest order for keys.

-- One row: the number of the newest `catalog apply`; 0 before the first.
create table catalog (
    only_row boolean primary key default true check (only_row),
    generation bigint not null default 0,
    applied_at timestamptz
);
insert into catalog default values;

create table tenant (
    tenant_id text collate "C" primary key check (tenant_id ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
    name text not null,
    allowed_senders text[] not null default '{}',
    active boolean not null default true
);

create table event_type (
    tenant_id text collate "C" not null references tenant,
    event_type text collate "C" not null check (event_type ~ '^[ -~]{1,128}$'),
    -- The version of events that name none; null: the newest.
    default_version integer,
    active boolean not null default true,
    primary key (tenant_id, event_type)
);

create table event_schema (
    tenant_id text collate "C" not null,
    event_type text collate "C" not null,
    schema_version integer not null check (schema_version > 0),
    -- The schema with every file that it refers to: {"root": "<path>", "files": {"<path>": <schema>}}, paths from the tenant's directory.
    bundle json not null,
    -- SHA-256 of the parsed bundle; a published version never changes.
    digest bytea not null check (octet_length(digest) = 32),
    active boolean not null default true,
    primary key (tenant_id, event_type, schema_version),
    foreign key (tenant_id, event_type) references event_type
);

create table client (
    tenant_id text collate "C" not null references tenant,
    client_id text collate "C" not null check (client_id ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
    name text not null,
    -- For the sender: {"initial_ms", "factor", "cap_ms", "attempts"}; null: the sender's own default.
    retry jsonb,
    -- For the sender; opaque here.
    settings jsonb not null default '{}',
    active boolean not null default true,
    primary key (tenant_id, client_id)
);

-- Which clients get an event that names none.
create table subscription (
    tenant_id text collate "C" not null,
    client_id text collate "C" not null,
    -- A type's name, `prefix.*` or `*`.
    event_pattern text collate "C" not null,
    active boolean not null default true,
    primary key (tenant_id, client_id, event_pattern),
    foreign key (tenant_id, client_id) references client
);
