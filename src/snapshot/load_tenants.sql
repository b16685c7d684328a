select tenant_id, allowed_senders
from tenant
where active
order by tenant_id
