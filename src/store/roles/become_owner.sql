-- The tables are made and changed by the owner's role, where the user is a member of it; not where others own them already, or may alone make
-- them. Of what `set_role.sql` says of the search path the same is true here.
select
    set_config('search_path', replace(current_setting('search_path'), '"$user"', quote_ident(current_user)), false),
    set_config('role', rolname, false)
from pg_roles
where
    rolname = 'event_processor_owner'
    and pg_has_role(session_user, oid, case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)
    and has_schema_privilege(oid, current_schema(), 'create')
    and (
        to_regclass('_sqlx_migrations') is null
        or pg_roles.oid = (select relowner from pg_class where pg_class.oid = to_regclass('_sqlx_migrations'))
    )
