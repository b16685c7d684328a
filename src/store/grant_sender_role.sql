grant usage on schema SCHEMA to event_processor_sender;
grant execute on function SCHEMA.claim_deliveries, SCHEMA.extend_deliveries, SCHEMA.complete_deliveries, SCHEMA.fail_deliveries,
    SCHEMA.release_deliveries, SCHEMA.disable_client, SCHEMA.report_client to event_processor_sender;
