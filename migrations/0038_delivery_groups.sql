-- FIFO: within a group one at a time, in the order of `sequence`.

-- Sets those aside that wait for another one of their group: the one that is leased, else one that comes before. That one is locked, so that
-- whoever is done with it sees who waits (`delivery_wake`), or is seen to be done.
create function delivery_block(met tid[], now_ timestamptz) returns void language plpgsql as $$
begin
    with blocked as materialized (
        select m.place, coalesce(
            (
                select b.ctid from delivery b
                where
                    b.tenant_id = d.tenant_id and b.client_id = d.client_id and b.queue = d.queue and b.message_group = d.message_group
                    and b.sequence is not null and b.lease_id is not null
            ),
            (
                select b.ctid from delivery b
                where
                    b.tenant_id = d.tenant_id and b.client_id = d.client_id and b.queue = d.queue and b.message_group = d.message_group
                    and b.sequence < d.sequence
                order by b.tenant_id, b.client_id, b.queue, b.message_group, b.sequence
                limit 1
            )
        ) as blocker
        from unnest(met) as m (place) cross join lateral (select * from delivery where ctid = m.place offset 0) as d
    ),
    locked as materialized (
        select own.place
        from blocked as b
        cross join lateral (select from delivery where ctid = b.blocker for share skip locked) as other
        cross join lateral (
            select ctid as place from delivery where ctid = b.place and due_at <= now_ and lease_id is null for update skip locked
        ) as own
    )
    update delivery d set due_at = '9999-12-31Z' from locked l where d.ctid = l.place;
end
$$;

-- Makes the first of each of these groups due, where it waits for nothing else. In a statement of its own, after what has changed the group.
create function delivery_wake(changed delivery[], now_ timestamptz) returns void language plpgsql as $$
begin
    update delivery d set due_at = now_
    from (
        select distinct tenant_id, client_id, queue, message_group
        from unnest(changed)
        where sequence is not null
        order by tenant_id, client_id, queue, message_group
    ) as g
    cross join lateral (
        select f.tenant_id, f.source, f.event_id, f.client_id from delivery f
        where
            f.tenant_id = g.tenant_id and f.client_id = g.client_id and f.queue = g.queue and f.message_group = g.message_group
            and f.sequence is not null
        order by f.tenant_id, f.client_id, f.queue, f.message_group, f.sequence
        limit 1
    ) as first
    where
        d.tenant_id = first.tenant_id and d.source = first.source and d.event_id = first.event_id and d.client_id = first.client_id
        and d.due_at = '9999-12-31Z';
end
$$;

-- Strays are deliveries of FIFO events that do not say so: whoever inserted them named only their keys, as an earlier build does. Gives those of
-- each client that has one among these their groups, all at once, since the head of a group may be any. True where there were some. Nobody
-- else locks a stray, but for who parks it and has the client's row locked first, as this has.
create function delivery_adopt(met tid[]) returns boolean language plpgsql as $$
declare
    own record;
    is_any boolean := false;
begin
    for own in
        select distinct d.tenant_id, d.client_id
        from unnest(met) as p (place)
        cross join lateral (select * from delivery where ctid = p.place and sequence is null offset 0) as d
        cross join lateral (
            select from message m
            where
                m.tenant_id = d.tenant_id and m.source = d.source and m.event_id = d.event_id
                and m.message_group is not null and m.sequence_number ~ '^[0-9]{1,100}$'
            offset 0
        ) as stray
        order by d.tenant_id, d.client_id
    loop
        is_any := true;
        perform from client c where c.tenant_id = own.tenant_id and c.client_id = own.client_id for no key update;
        update delivery d set queue = m.queue, message_group = m.message_group, sequence = m.sequence_number::numeric
        from (
            select tenant_id, source, event_id, client_id from delivery
            where tenant_id = own.tenant_id and client_id = own.client_id and sequence is null and lease_id is null
            for update skip locked
        ) as s
        join message m on m.tenant_id = s.tenant_id and m.source = s.source and m.event_id = s.event_id
        where
            d.tenant_id = s.tenant_id and d.source = s.source and d.event_id = s.event_id and d.client_id = s.client_id
            and m.message_group is not null and m.sequence_number ~ '^[0-9]{1,100}$';
    end loop;
    return is_any;
end
$$;
