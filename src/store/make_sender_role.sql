do $$
begin
    if to_regrole('event_processor_sender') is null then
        create role event_processor_sender nologin;
    end if;
exception
    -- Another database's `migrate` was first.
    when duplicate_object or unique_violation then null;
    -- Then its statement is told to whoever may.
    when insufficient_privilege then null;
end
$$
