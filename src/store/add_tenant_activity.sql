-- Adds to what tenants brought in these five minutes; what the ring's row had of an hour ago or before is forgotten. In order: two daemons would
-- deadlock.
insert into tenant_activity as a (tenant_id, event_type, period, began_at, last_event_at, stored, duplicate, rejected, over_rate)
select
    k.tenant_id, k.event_type, (n.number % 12)::smallint, to_timestamp(n.number * 300.0), now() - make_interval(secs => k.age_seconds),
    k.stored, k.duplicate, k.rejected, k.over_rate
from unnest($1::text[], $2::text[], $3::double precision[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as k (tenant_id, event_type, age_seconds, stored, duplicate, rejected, over_rate)
cross join (select floor(extract(epoch from now()) / 300)::bigint as number) as n
order by 1, 2
on conflict (tenant_id, event_type, period) do update set
    began_at = excluded.began_at,
    last_event_at = greatest(a.last_event_at, excluded.last_event_at),
    stored = excluded.stored + case when a.began_at = excluded.began_at then a.stored else 0 end,
    duplicate = excluded.duplicate + case when a.began_at = excluded.began_at then a.duplicate else 0 end,
    rejected = excluded.rejected + case when a.began_at = excluded.began_at then a.rejected else 0 end,
    over_rate = excluded.over_rate + case when a.began_at = excluded.began_at then a.over_rate else 0 end
