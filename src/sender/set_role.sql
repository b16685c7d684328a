select set_config('role', rolname, false) from pg_roles where rolname = 'event_processor_sender' and pg_has_role(oid, 'member')
