-- For what the insert of messages has returned, in the same transaction. From arrays: one that joined its messages would look for each by key.
-- The last three are of FIFO events, else null.
insert into delivery (tenant_id, source, event_id, client_id, queue, message_group, sequence)
select
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
    unnest($7::text[])::numeric
