-- The deliveries of an event, each as it is by now.
select
    s.client_id as "client_id!", s.state as "state!", s.attempts as "attempts!",
    case when d.due_at < '9999-12-31Z' then d.due_at end as due_at,
    coalesce(d.lease_id is not null, false) as "is_leased!", d.sender,
    c.state as "client_state!", t.state as "tenant_state!", (c.active and t.active) as "is_declared!",
    coalesce(d.due_at = '9999-12-31Z', false) as "waits_for_group!",
    delivery_webhook_id(s.tenant_id, s.source, s.event_id, s.client_id) as "webhook_id!"
from delivery_state s
join client c on c.tenant_id = s.tenant_id and c.client_id = s.client_id
join tenant t on t.tenant_id = s.tenant_id
left join delivery d on d.tenant_id = s.tenant_id and d.source = s.source and d.event_id = s.event_id and d.client_id = s.client_id
where s.tenant_id = $1 and s.source = $2 and s.event_id = $3 and ($4::text is null or s.client_id = $4)
order by s.client_id
