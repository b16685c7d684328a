select tenant_id, count(*) as "events!"
from message
where source = $1
group by tenant_id
