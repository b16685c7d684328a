-- As the role of ours that this program has, where the user is a member: then it can do no more than that role, whoever the user is. Which
-- schema the tables are in does not change by it, for a schema of the user's own is found by the user's name.
select
    set_config('search_path', replace(current_setting('search_path'), '"$user"', quote_ident(current_user)), false),
    set_config('role', rolname, false)
from pg_roles
where
    rolname = '$1'
    and pg_has_role(session_user, oid, case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)
