select
    lease_id as "lease_id!", tenant_id as "tenant_id!", client_id as "client_id!", client_settings::text as "client_settings!",
    source as "source!", event_id as "event_id!", webhook_id as "webhook_id!", event_type as "event_type!",
    schema_version as "schema_version!", subject, occurred_at, received_at as "received_at!", payload::text as "payload!",
    attributes::text as "attributes!", attempt as "attempt!"
from claim_deliveries($1, $2, make_interval(secs => $3))
