-- What waits, and nothing else: whatever is done with leaves this table for `delivery_log`. A table of its own, made beside the old one,
-- because its four indexes would have to be built under a lock on that; who inserts by the key alone need not know which of them it is.
-- In the order in which a writer locks them: in another one the two would wait for each other.
lock table message, client in share row exclusive mode;
alter table delivery rename to delivery_before;
alter table delivery_before rename constraint delivery_pkey to delivery_before_pkey;
create table delivery (
    tenant_id text collate "C" not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    client_id text collate "C" not null,
    -- When a claim may take it; while it is leased, when the lease ends, so expiry needs no job. 'infinity': parked, because its client does
    -- not deliver. '9999-12-31Z': waits for an earlier one of its group. Nothing but these two and the clock's time or later is ever written
    -- here: claims do not look at what lies before `delivery_mark`.
    due_at timestamptz not null default clock_timestamp(),
    -- That have ended, since it was inserted or requeued.
    attempts integer not null default 0,
    -- How many leases have ended one after the other without a word. From 3 on it is claimed alone.
    expiries integer not null default 0,
    -- The fence: whoever names it holds the lease.
    lease_id bigint,
    leased_at timestamptz,
    sender text,
    -- Of FIFO events, else null: the group (with tenant and client) and the place in it.
    queue text collate "C",
    message_group text collate "C",
    sequence numeric,
    primary key (tenant_id, source, event_id, client_id),
    constraint delivery_message_fkey foreign key (tenant_id, source, event_id) references message,
    constraint delivery_client_fkey foreign key (tenant_id, client_id) references client
);
-- A claim's first look, at the oldest of all.
create index delivery_due on delivery (due_at);
-- And its second, where there are too many, at the oldest of each client.
create index delivery_client_due on delivery (tenant_id, client_id, due_at);
-- Whoever completes or fails.
create index delivery_lease on delivery (lease_id) where lease_id is not null;
-- The head of a group.
create index delivery_group on delivery (tenant_id, client_id, queue, message_group, sequence) where sequence is not null;
-- One at a time within a group, whatever two claims at once believe.
create unique index delivery_group_lease on delivery (tenant_id, client_id, queue, message_group)
where sequence is not null and lease_id is not null;

-- One row. Nothing that waits is due before `due_from`, so claims begin there and not among the index entries of what is long done, which
-- stay as long as somebody's transaction might look at them. It moves to `next_from` when every transaction that was running when that was
-- written, those below `next_xid`, has ended: what they insert has an earlier due_at.
create table delivery_mark (
    only_row boolean primary key default true check (only_row),
    due_from timestamptz not null default '-infinity',
    next_from timestamptz not null default '-infinity',
    next_xid xid8 not null default '0'
);
insert into delivery_mark default values;
-- Where the last claim that went from client to client has stopped. A sequence, because it is moved without a lock or a dead row.
create sequence delivery_turn minvalue 0 start 0;
