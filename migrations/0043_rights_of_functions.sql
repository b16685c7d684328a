-- A function that runs with its owner's rights looks for tables in the migrations' schema alone, and last in the session's temporary one,
-- where its caller might have put some of the same names. Nobody may call it, or what it is made of, but who is granted that by name.
do $$
declare
    own record;
begin
    for own in
        select oid::regprocedure as signature, prosecdef
        from pg_proc
        where
            pronamespace = current_schema()::regnamespace
            and (proname ~ '^delivery_' or proname ~ '_deliveries$' or proname = 'disable_client')
    loop
        execute format('revoke execute on function %s from public', own.signature);
        if own.prosecdef then
            execute format('alter function %s set search_path = %I, pg_temp', own.signature, current_schema());
        end if;
    end loop;
end
$$;
