select
    s.tenant_id as "tenant_id!", s.client_id as "client_id!", count(*) filter (where s.state = 'delivered') as "delivered!",
    count(*) filter (where s.state = 'pending') as "waiting!", count(*) filter (where s.state in ('dead', 'cancelled')) as "dead!",
    (
        select l.error from delivery_log l
        where l.tenant_id = s.tenant_id and l.client_id = s.client_id and l.error is not null
        order by l.id desc
        limit 1
    ) as why
from delivery_state s
group by s.tenant_id, s.client_id
order by s.tenant_id, s.client_id
