-- Which logins may read which tenants' rows: for the policies of whom `processor tenant grant-reader` has made a member of
-- event_processor_reader. Every row is visible to whoever may read the table at all, but to readers: `processor migrate` gives them a policy that
-- restricts them to their own, before it grants them anything. So it is on each table that they read.
create table tenant_reader (
    tenant_id text collate "C" not null references tenant,
    role_name name not null,
    primary key (tenant_id, role_name)
);
-- What each policy asks: the tenants of one role.
create index tenant_reader_by_role on tenant_reader (role_name);
create policy everybody on tenant_reader using (true);
alter table tenant_reader enable row level security;
