-- How many deliveries wait of each tenant, up to 10000; from one tenant to the next.
with recursive waiting as (
    (select tenant_id from delivery order by tenant_id limit 1)
    union all
    select next.tenant_id
    from waiting as w
    cross join lateral (select d.tenant_id from delivery d where d.tenant_id > w.tenant_id order by d.tenant_id limit 1) as next
)
select w.tenant_id as "tenant_id!", counted.count as "count!"
from waiting as w
cross join lateral (select count(*) from (select from delivery d where d.tenant_id = w.tenant_id limit 10000) as found) as counted
