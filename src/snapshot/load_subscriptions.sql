select s.tenant_id, s.client_id, s.event_pattern
from subscription s
join client c using (tenant_id, client_id)
where s.active and c.active
