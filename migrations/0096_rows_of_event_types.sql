-- As of 0090. Both at once, in the order in which everybody else takes them.
create policy everybody on event_type using (true);
create policy everybody on event_schema using (true);
alter table event_type enable row level security;
alter table event_schema enable row level security;
