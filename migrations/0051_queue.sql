-- Queues that the operator has declared in `schemas/queues.toml`; those of QUEUES are beside them. No foreign key to the tenant: a queue whose
-- tenant the catalog lacks is not polled, and said so.
create table queue (
    name text collate "C" primary key,
    url text,
    tenant_id text collate "C",
    format text not null,
    trusts_any_sender boolean not null,
    active boolean not null default true
);
