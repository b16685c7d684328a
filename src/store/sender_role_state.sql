-- Whether the role is there, and may do all that a sender does.
select
    to_regrole('event_processor_sender') is not null as "exists!",
    to_regrole('event_processor_sender') is not null
    and has_schema_privilege(to_regrole('event_processor_sender'), current_schema(), 'usage')
    and (
        select count(*) = 7 and bool_and(has_function_privilege(to_regrole('event_processor_sender'), oid, 'execute'))
        from pg_proc
        where
            pronamespace = current_schema()::regnamespace
            and proname in (
                'claim_deliveries', 'extend_deliveries', 'complete_deliveries', 'fail_deliveries', 'release_deliveries', 'disable_client',
                'report_client'
            )
    ) as "is_granted!"
