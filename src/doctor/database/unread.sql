-- Replication slots that nobody reads.
select slot_name::text as "name!", (pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) / 1048576)::bigint as "kept_mib!"
from pg_replication_slots
where not active and restart_lsn is not null
order by 2 desc
