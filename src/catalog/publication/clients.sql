-- Declares clients. Returns those that were new or different.
insert into client as target (tenant_id, client_id, name, retry, settings)
select declared.tenant_id, declared.client_id, declared.name, declared.retry, declared.settings
from unnest($1::text[], $2::text[], $3::text[], $4::text[]::jsonb[], $5::text[]::jsonb[])
    as declared (tenant_id, client_id, name, retry, settings)
on conflict (tenant_id, client_id) do update
set name = excluded.name, retry = excluded.retry, settings = excluded.settings, active = true
where (target.name, target.retry, target.settings, target.active)
    is distinct from (excluded.name, excluded.retry, excluded.settings, true)
returning
    target.tenant_id,
    target.client_id as name,
    not exists (
        select from client before where (before.tenant_id, before.client_id) = (target.tenant_id, target.client_id)
    ) as "is_new!"
