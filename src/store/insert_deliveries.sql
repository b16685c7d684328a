-- No conflict is expected: the messages were inserted just now, and where a message is not, no delivery is. To look for one would cost as much
-- again as the row.
insert into delivery (tenant_id, source, event_id, client_id)
select *
from unnest($1::text[], $2::text[], $3::text[], $4::text[])
