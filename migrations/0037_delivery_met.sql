-- What a claim does with deliveries that it meets and may not hand out. Each takes the rows by their place, and those only that nobody else
-- is at work on; what it leaves, the next claim meets again.

-- Leases that have ended: an attempt, and a wait as after a failure. In company that never makes `dead`, for the sender may have been killed
-- by another one of them.
create function delivery_expire(met tid[], now_ timestamptz) returns void language plpgsql as $$
begin
    with ended as materialized (
        select d.*
        from unnest(met) as m (place) cross join lateral (
            select ctid as place, tenant_id, source, event_id, client_id, attempts + 1 as attempts, expiries + 1 as expiries, due_at, sender,
                queue, message_group, sequence
            from delivery
            where ctid = m.place and lease_id is not null and due_at <= now_
            for update skip locked
        ) as d
    ),
    logged as (
        insert into delivery_log (tenant_id, source, event_id, client_id, attempt, sender, outcome)
        select tenant_id, source, event_id, client_id, attempts, sender, outcome
        from ended cross join lateral (values ('expired', true), ('dead', expiries >= 6)) as o (outcome, is_so)
        where is_so
        order by outcome desc
    ),
    dead as (
        delete from delivery d using ended e where d.ctid = e.place and e.expiries >= 6
    )
    update delivery d set
        attempts = e.attempts, expiries = e.expiries, lease_id = null, leased_at = null, sender = null,
        due_at = greatest(now_, e.due_at + delivery_wait(c.retry, e.attempts) * (1 + random() / 10))
    from ended e join client c on c.tenant_id = e.tenant_id and c.client_id = e.client_id
    where d.ctid = e.place and e.expiries < 6;
end
$$;

-- Deliveries of clients that do not deliver. The client's row is locked, so that nobody makes it deliver before these are parked, and its state
-- is what it is now, whatever the claim saw before.
create function delivery_park(met tid[], now_ timestamptz) returns void language plpgsql as $$
begin
    with pairs as (
        select distinct d.tenant_id, d.client_id
        from unnest(met) as m (place)
        cross join lateral (select tenant_id, client_id from delivery where ctid = m.place offset 0) as d
    ),
    locked as materialized (
        select c.tenant_id, c.client_id, c.has_parked
        from pairs as p
        join client c on c.tenant_id = p.tenant_id and c.client_id = p.client_id
        join tenant t on t.tenant_id = c.tenant_id
        where not (c.delivers and t.delivers)
        for no key update of c skip locked for share of t skip locked
    ),
    noted as (
        update client c set has_parked = true from locked l
        where c.tenant_id = l.tenant_id and c.client_id = l.client_id and not l.has_parked
    ),
    own as materialized (
        select d.*
        from unnest(met) as m (place) cross join lateral (
            select ctid as place, tenant_id, client_id from delivery
            where ctid = m.place and due_at <= now_ and lease_id is null
            for update skip locked
        ) as d
    )
    update delivery d set due_at = 'infinity'
    from own as o join locked l on l.tenant_id = o.tenant_id and l.client_id = o.client_id
    where d.ctid = o.place;
end
$$;

-- What was parked of clients that deliver again: of several, up to about a thousand in all.
create function delivery_unpark(now_ timestamptz) returns void language plpgsql as $$
declare
    resumed record;
    rows_ bigint;
    rows_left bigint := 1000;
begin
    for resumed in
        select c.tenant_id, c.client_id
        from client c join tenant t on t.tenant_id = c.tenant_id
        where c.has_parked and c.delivers and t.delivers
        order by random()
        limit 100
        for no key update of c skip locked
    loop
        update delivery d set due_at = now_
        from (
            select tenant_id, source, event_id, client_id from delivery
            where tenant_id = resumed.tenant_id and client_id = resumed.client_id and due_at = 'infinity'
            limit rows_left
            for update skip locked
        ) as p
        where d.tenant_id = p.tenant_id and d.source = p.source and d.event_id = p.event_id and d.client_id = p.client_id;
        get diagnostics rows_ = row_count;
        update client c set has_parked = false
        where
            c.tenant_id = resumed.tenant_id and c.client_id = resumed.client_id
            and not exists (
                select from delivery d
                where d.tenant_id = c.tenant_id and d.client_id = c.client_id and d.due_at = 'infinity'
            );
        rows_left := rows_left - rows_;
        exit when rows_left <= 0;
    end loop;
end
$$;
