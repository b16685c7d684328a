-- Declares tenants. Returns those that were new or different; what is as declared is not written.
insert into tenant as target (tenant_id, name, allowed_senders, rate_limit, rate_burst)
select
    declared.tenant_id, declared.name, array(select json_array_elements_text(declared.allowed_senders)), declared.rate_limit,
    declared.rate_burst
from unnest($1::text[], $2::text[], $3::text[]::json[], $4::float8[], $5::integer[])
    as declared (tenant_id, name, allowed_senders, rate_limit, rate_burst)
on conflict (tenant_id) do update
set
    name = excluded.name, allowed_senders = excluded.allowed_senders, rate_limit = excluded.rate_limit, rate_burst = excluded.rate_burst,
    active = true
where
    (target.name, target.allowed_senders, target.rate_limit, target.rate_burst, target.active)
    is distinct from (excluded.name, excluded.allowed_senders, excluded.rate_limit, excluded.rate_burst, true)
-- A statement does not see what it writes itself: what it finds here was there before.
returning
    target.tenant_id,
    target.tenant_id as name,
    not exists (select from tenant before where before.tenant_id = target.tenant_id) as "is_new!"
