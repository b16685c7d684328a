-- After a switch-over by logical replication, or a restore table by table, before the first daemon starts on the new server: what such a copy
-- leaves behind. Run it as the tables' owner, with the migrations' schema in search_path; again does no harm.

-- Sequences are not replicated. One that begins anew hands out ids that are taken, and no dead letter could be written.
do $$
declare
    owned record;
begin
    for owned in
        select s.oid::regclass as sequence, d.refobjid::regclass as of_table, a.attname as of_column
        from pg_class s
        join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype in ('a', 'i')
        join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where s.relkind = 'S' and s.relnamespace = current_schema()::regnamespace
    loop
        execute format(
            'select setval(%L, (select max(%I) from %s)) where exists (select from %s)',
            owned.sequence, owned.of_column, owned.of_table, owned.of_table
        );
    end loop;
end
$$;

-- Transaction ids begin anew, too: those of the old server, which have all ended, would keep claims from moving on past what is done.
update delivery_mark set next_xid = '0';
