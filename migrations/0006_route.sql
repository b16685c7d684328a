-- A foreign key is a query for each row, and two of them on message and two on delivery cost as much as the rows themselves. So the keys
-- stand on small tables, a row for each combination that is in use, and a batch is held against those as a set.

-- What messages refer to.
create table route (
    tenant_id text collate "C" not null,
    event_type text collate "C" not null,
    schema_version integer not null,
    -- null: the type's subscribers.
    client_id text collate "C",
    unique nulls not distinct (tenant_id, event_type, schema_version, client_id),
    -- Its columns are all not null: with a nullable one among them, a null would switch the whole check off.
    foreign key (tenant_id, event_type, schema_version) references event_schema,
    -- On its own for the same reason: it checks nothing where no client is named.
    foreign key (tenant_id, client_id) references client
);

-- What deliveries refer to.
create table recipient (
    tenant_id text collate "C" not null,
    client_id text collate "C" not null,
    primary key (tenant_id, client_id),
    foreign key (tenant_id, client_id) references client
);

-- The rows of a batch that bring a new combination are checked by that combination's own keys. In order: two writers would deadlock.
create function message_added() returns trigger language plpgsql as $$
begin
    insert into route (tenant_id, event_type, schema_version, client_id)
    select distinct tenant_id, event_type, schema_version, client_id from added order by 1, 2, 3, 4
    on conflict do nothing;
    return null;
end
$$;
create trigger message_added after insert on message
referencing new table as added for each statement execute function message_added();
create trigger message_changed after update on message
referencing new table as added for each statement execute function message_added();

-- By keys, each row: a plan that reads the whole of message, made while that is small, would be kept when it has grown.
create function delivery_added() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    if exists (
        select from added a
        where not exists (
            select from message m where m.tenant_id = a.tenant_id and m.source = a.source and m.event_id = a.event_id
        )
    ) then
        raise foreign_key_violation using message = 'a delivery refers to no message';
    end if;
    insert into recipient (tenant_id, client_id)
    select distinct tenant_id, client_id from added order by 1, 2
    on conflict do nothing;
    return null;
end
$$;
create trigger delivery_added after insert on delivery
referencing new table as added for each statement execute function delivery_added();

-- An identity stays as it was inserted.
create function identity_is_fixed() returns trigger language plpgsql as $$
begin
    raise foreign_key_violation using message = format('the identity of a %s is never changed', tg_table_name);
end
$$;
create trigger identity_is_fixed before update on message for each row
when ((old.tenant_id, old.source, old.event_id) is distinct from (new.tenant_id, new.source, new.event_id))
execute function identity_is_fixed();
create trigger identity_is_fixed before update on delivery for each row
when ((old.tenant_id, old.source, old.event_id, old.client_id) is distinct from (new.tenant_id, new.source, new.event_id, new.client_id))
execute function identity_is_fixed();

-- A message stays as long as its deliveries do.
create function message_removed() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    if exists (
        select from removed r
        join delivery d on d.tenant_id = r.tenant_id and d.source = r.source and d.event_id = r.event_id
    ) then
        raise foreign_key_violation using message = 'a delivery refers to the message';
    end if;
    return null;
end
$$;
create trigger message_removed after delete on message
referencing old table as removed for each statement execute function message_removed();
