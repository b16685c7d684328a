select shobj_description(oid, 'pg_database') = $1 as is_ours
from pg_database
where datname = current_database()
