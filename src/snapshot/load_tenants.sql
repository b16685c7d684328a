select tenant_id, allowed_senders, rate_limit, rate_burst
from tenant
where active
order by tenant_id
