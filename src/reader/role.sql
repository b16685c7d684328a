-- Whether a role can be made a reader. What it may be besides must not show it other tenants' rows, nor a role that it may take.
with login as (
    select oid, rolinherit from pg_roles where rolname::text = $2
)
select
    exists (select from tenant where tenant_id = $1) as "is_tenant!",
    exists (select from login) as "is_role!",
    to_regrole('event_processor_reader') is not null as "has_group!",
    coalesce((select pg_has_role(oid, to_regrole('event_processor_reader'), 'usage') from login), false) as "is_reader!",
    format('grant event_processor_reader to %I', $2) as "statement!",
    (
        select case when is_itself then '' else format('may take the role %s, which ', taken.rolname) end || why
        from login
        join pg_roles as taken on pg_has_role(login.oid, taken.oid, 'member')
        cross join lateral (select taken.oid = login.oid as is_itself) as whose
        cross join lateral (
            values
            (1, taken.rolsuper, 'is a superuser'),
            (2, taken.rolbypassrls, 'has BYPASSRLS'),
            (3, taken.rolcreaterole, 'has CREATEROLE and could take any role'),
            (4, taken.oid = (select relowner from pg_class where oid = 'message'::regclass), 'owns the tables'),
            (5, is_itself and starts_with(taken.rolname, 'event_processor_'), 'is one of those that `processor migrate` makes'),
            (6, is_itself and not taken.rolinherit, 'has NOINHERIT and would read nothing'),
            (
                7,
                not is_itself and has_any_column_privilege(taken.oid, 'message', 'select')
                and not coalesce(pg_has_role(taken.oid, to_regrole('event_processor_reader'), 'usage'), false),
                'reads every tenant''s rows'
            ),
            (
                8, taken.rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'),
                'reads or writes the server''s files'
            )
        ) as reason (nth, is_so, why)
        where is_so
        order by is_itself desc, taken.rolname, nth
        limit 1
    ) as harm
