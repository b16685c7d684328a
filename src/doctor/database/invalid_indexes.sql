-- What a migration has left that was interrupted.
select i.indexrelid::regclass::text as "index_name!"
from pg_index i join pg_class c on c.oid = i.indrelid
where not i.indisvalid and c.relnamespace = current_schema()::regnamespace
order by 1
