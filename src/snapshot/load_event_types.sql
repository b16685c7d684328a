select tenant_id, event_type, default_version
from event_type
where active
