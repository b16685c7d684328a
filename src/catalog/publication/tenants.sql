-- Declares tenants. Returns those that were new or different; what is as declared is not written.
insert into tenant as target (tenant_id, name, allowed_senders)
select declared.tenant_id, declared.name, array(select json_array_elements_text(declared.allowed_senders))
from unnest($1::text[], $2::text[], $3::text[]::json[]) as declared (tenant_id, name, allowed_senders)
on conflict (tenant_id) do update
set name = excluded.name, allowed_senders = excluded.allowed_senders, active = true
where (target.name, target.allowed_senders, target.active) is distinct from (excluded.name, excluded.allowed_senders, true)
-- A statement does not see what it writes itself: what it finds here was there before.
returning
    target.tenant_id,
    target.tenant_id as name,
    not exists (select from tenant before where before.tenant_id = target.tenant_id) as "is_new!"
