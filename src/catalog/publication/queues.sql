-- Declares queues, which are no tenant's own. Returns those that were new or different.
insert into queue as target (name, url, tenant_id, format, trusts_any_sender)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
on conflict (name) do update
set
    url = excluded.url, tenant_id = excluded.tenant_id, format = excluded.format, trusts_any_sender = excluded.trusts_any_sender,
    active = true
where
    (target.url, target.tenant_id, target.format, target.trusts_any_sender, target.active)
    is distinct from (excluded.url, excluded.tenant_id, excluded.format, excluded.trusts_any_sender, true)
returning '' as "tenant_id!", target.name, not exists (select from queue before where before.name = target.name) as "is_new!"
