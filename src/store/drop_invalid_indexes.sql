-- What a migration has left that was interrupted while it built an index beside others: it is begun anew.
do $$
declare
    index_name text;
begin
    for index_name in
        select i.indexrelid::regclass
        from pg_index i
        where not i.indisvalid and i.indrelid = to_regclass('dead_letter')
    loop
        execute 'drop index ' || index_name;
    end loop;
end
$$;
