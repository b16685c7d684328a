-- Declares subscriptions. Returns those that were new or inactive.
insert into subscription as target (tenant_id, client_id, event_pattern)
select declared.tenant_id, declared.client_id, declared.event_pattern
from unnest($1::text[], $2::text[], $3::text[]) as declared (tenant_id, client_id, event_pattern)
on conflict (tenant_id, client_id, event_pattern) do update
set active = true
where not target.active
returning
    target.tenant_id,
    target.client_id || ' to ' || target.event_pattern as "name!",
    not exists (
        select from subscription before
        where (before.tenant_id, before.client_id, before.event_pattern)
            = (target.tenant_id, target.client_id, target.event_pattern)
    ) as "is_new!"
