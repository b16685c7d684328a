do $$
declare
    role_name text;
begin
    foreach role_name in array array['owner', 'writer', 'operator', 'sender', 'reader'] loop
        role_name := 'event_processor_' || role_name;
        begin
            if to_regrole(role_name) is null then
                execute format('create role %I nologin', role_name);
            end if;
        exception
            -- Another database's `migrate` was first.
            when duplicate_object or unique_violation then null;
            -- Then the statement is told to whoever may.
            when insufficient_privilege then null;
        end;
    end loop;
end
$$
