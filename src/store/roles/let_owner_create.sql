-- The owner's role makes what is new in a schema where nothing was made yet, or where all is its own; only for a member's sake.
do $$
begin
    if
        to_regrole('event_processor_owner') is not null
        and pg_has_role(session_user, 'event_processor_owner', 'member')
        and not has_schema_privilege('event_processor_owner', current_schema(), 'create')
        and (
            to_regclass('_sqlx_migrations') is null
            or (select relowner = to_regrole('event_processor_owner') from pg_class where oid = to_regclass('_sqlx_migrations'))
        )
    then
        execute format('grant usage, create on schema %I to event_processor_owner', current_schema());
    end if;
exception
    -- Then the tables are the user's own.
    when insufficient_privilege then null;
end
$$
