select name, url, tenant_id, format, trusts_any_sender
from queue
where active
order by name
