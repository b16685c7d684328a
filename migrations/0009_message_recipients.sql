-- The clients that get an event stand on its message, and Postgres makes the deliveries: in the statement that stores the message, or not at
-- all. Such a delivery need not look for its message, which cost as much as the row. Only where the transaction says so, as the
-- processor's do: what others put back, from an archive perhaps, is not sent again.
alter table message add column recipients text[] collate "C" not null default '{}';

create function message_delivered() returns trigger language plpgsql as $$
begin
    insert into delivery (tenant_id, source, event_id, client_id)
    select tenant_id, source, event_id, unnest(recipients) from added;
    return null;
end
$$;
create trigger message_delivered after insert on message
referencing new table as added for each statement when (current_setting('event_processor.makes_deliveries', true) = 'on')
execute function message_delivered();

create function recipient_added() returns trigger language plpgsql as $$
begin
    insert into recipient (tenant_id, client_id)
    select distinct tenant_id, client_id from added order by 1, 2
    on conflict do nothing;
    return null;
end
$$;
create trigger recipient_added after insert on delivery
referencing new table as added for each statement when (pg_trigger_depth() > 0) execute function recipient_added();

-- What someone else inserts is held against the messages, too, as before.
drop trigger delivery_added on delivery;
create trigger delivery_added after insert on delivery
referencing new table as added for each statement when (pg_trigger_depth() = 0) execute function delivery_added();
