select tenant_id, client_id
from client
where active
