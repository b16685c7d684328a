-- No conflict is expected: the messages were inserted just now, and where a message is not, no delivery is. To look for one would cost as much
-- again as the row.
insert into delivery (tenant_id, source, event_id, client_id)
select unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[])
