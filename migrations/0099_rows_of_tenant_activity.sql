-- As of 0090.
create policy everybody on tenant_activity using (true);
alter table tenant_activity enable row level security;
