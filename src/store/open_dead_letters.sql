-- How many dead letters are open of each tenant and reason, up to 1000. Goes through an index from one pair to the next; never through all of
-- them. Without a tenant those stand last in it, and are gone through by themselves.
with recursive
pair as (
    (select tenant_id, reason from dead_letter where is_open and tenant_id is not null order by tenant_id, reason limit 1)
    union all
    select next.tenant_id, next.reason
    from pair as p
    cross join lateral (
        select d.tenant_id, d.reason
        from dead_letter d
        where d.is_open and (d.tenant_id, d.reason) > (p.tenant_id, p.reason)
        order by d.tenant_id, d.reason
        limit 1
    ) as next
),
of_nobody as (
    (select reason from dead_letter where is_open and tenant_id is null order by reason limit 1)
    union all
    select next.reason
    from of_nobody as p
    cross join lateral (
        select d.reason from dead_letter d where d.is_open and d.tenant_id is null and d.reason > p.reason order by d.reason limit 1
    ) as next
)
select p.tenant_id, p.reason as "reason!", counted.count as "count!"
from pair as p
cross join lateral (
    select count(*)
    from (select from dead_letter d where d.is_open and d.tenant_id = p.tenant_id and d.reason = p.reason limit 1000) as found
) as counted
union all
select null, n.reason, counted.count
from of_nobody as n
cross join lateral (
    select count(*) from (select from dead_letter d where d.is_open and d.tenant_id is null and d.reason = n.reason limit 1000) as found
) as counted
