-- Says in the session what it needs. Not when it begins: a pooler may drop that, and what the database's or the role's defaults are then
-- counts. Settings that this version of the server does not know are left out.
select set_config(known.name, wanted.setting, false)
from json_each_text($1::text::json) as wanted (name, setting)
join pg_settings as known on known.name = wanted.name
where known.setting <> wanted.setting
