select pg_notify('delivery_ready', '')::text as notified
