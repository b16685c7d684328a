-- Declares event types. Returns those that were new or different.
insert into event_type as target (tenant_id, event_type, default_version)
select declared.tenant_id, declared.event_type, declared.default_version
from unnest($1::text[], $2::text[], $3::integer[]) as declared (tenant_id, event_type, default_version)
on conflict (tenant_id, event_type) do update
set default_version = excluded.default_version, active = true
where (target.default_version, target.active) is distinct from (excluded.default_version, true)
returning
    target.tenant_id,
    target.event_type as name,
    not exists (
        select from event_type before where (before.tenant_id, before.event_type) = (target.tenant_id, target.event_type)
    ) as "is_new!"
