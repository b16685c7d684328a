-- What a claim may take, as the places of rows, the fairest order first. `ready` can be handed out in company; `alone` only alone; leases in
-- `expired` have ended; clients of those in `idle` do not deliver; those in `grouped` are of FIFO events, and also in one of the others.
create type delivery_candidates as (ready tid[], alone tid[], expired tid[], idle tid[], grouped tid[], found bigint, oldest timestamptz);

-- The oldest of all: first one of each tenant, of its clients in turn, then a second one of each.
create function delivery_oldest(from_ timestamptz, now_ timestamptz, rows_max integer, any_is_idle boolean) returns delivery_candidates
language plpgsql as $$
declare
    candidates delivery_candidates;
begin
    with due as materialized (
        select ctid as place, tenant_id, client_id, due_at, lease_id, expiries, sequence
        from delivery
        where due_at between from_ and now_
        order by due_at
        limit rows_max
    ),
    by_client as (
        select *, row_number() over (partition by tenant_id, client_id order by due_at) as nth_of_client
        from due
    ),
    by_tenant as (
        select *, row_number() over (partition by tenant_id order by nth_of_client, random()) as nth,
            any_is_idle and not exists (
                select from client c join tenant t on t.tenant_id = c.tenant_id
                where c.tenant_id = by_client.tenant_id and c.client_id = by_client.client_id and c.delivers and t.delivers
            ) as is_idle
        from by_client
    )
    select
        array_agg(place order by nth, random()) filter (where lease_id is null and not is_idle and expiries < 3),
        array_agg(place order by random()) filter (where lease_id is null and not is_idle and expiries >= 3),
        array_agg(place) filter (where lease_id is not null),
        array_agg(place) filter (where lease_id is null and is_idle),
        array_agg(place) filter (where lease_id is null and not is_idle and sequence is not null),
        count(*), min(due_at)
    into candidates from by_tenant;
    return candidates;
end
$$;

-- The oldest of each client, from client to client: when there are so many that the oldest of all may be one tenant's alone. It goes through
-- the clients that there are, not through those that have deliveries, which would lead over the index entries of all that is done.
create function delivery_oldest_of_clients(from_ timestamptz, now_ timestamptz, batch_max integer, any_is_idle boolean, tenants text[])
returns delivery_candidates language plpgsql as $$
declare
    candidates delivery_candidates;
    last_turn bigint := (select last_value from delivery_turn);
    next_turn bigint;
begin
    with walk as (
        (select turn, tenant_id, client_id from client where tenants is null and turn > last_turn and delivers order by turn)
        union all
        (select turn, tenant_id, client_id from client where tenants is null and turn <= last_turn and delivers order by turn)
        union all
        (select turn, tenant_id, client_id from client where tenant_id = any(tenants) and delivers order by random())
    ),
    steps as (
        select w.*, row_number() over () as step
        from (select * from walk limit greatest(10 * batch_max, 300)) as w
        where not any_is_idle or exists (select from tenant t where t.tenant_id = w.tenant_id and t.delivers)
    ),
    heads as materialized (
        select s.* from steps as s
        where exists (
            select from delivery d
            where d.tenant_id = s.tenant_id and d.client_id = s.client_id and d.due_at between from_ and now_
            order by d.tenant_id, d.client_id, d.due_at
            offset 0
        )
        limit 3 * batch_max
    ),
    served as materialized (
        select turn, tenant_id, client_id, step, dense_rank() over (order by first_step) as nth_tenant
        from (select *, min(step) over (partition by tenant_id) as first_step from heads) as h
    ),
    due as materialized (
        select s.tenant_id, s.client_id, s.turn, s.step, d.*
        from served as s cross join lateral (
            select ctid as place, due_at, lease_id, expiries, sequence
            from delivery
            where tenant_id = s.tenant_id and client_id = s.client_id and due_at between from_ and now_
            order by tenant_id, client_id, due_at
            limit (select 2 + 2 * batch_max / max(nth_tenant) from served)
        ) as d
        where s.nth_tenant <= batch_max
    ),
    by_client as (
        select *, row_number() over (partition by tenant_id, client_id order by due_at) as nth_of_client
        from due
    ),
    by_tenant as (
        select *, row_number() over (partition by tenant_id order by nth_of_client, random()) as nth
        from by_client
    )
    select
        array_agg(place order by nth, random()) filter (where lease_id is null and expiries < 3),
        array_agg(place order by random()) filter (where lease_id is null and expiries >= 3),
        array_agg(place) filter (where lease_id is not null),
        null,
        array_agg(place) filter (where lease_id is null and sequence is not null),
        count(*), min(due_at),
        case
            when (select count(*) from heads) < 3 * batch_max then (select turn from steps order by step desc limit 1)
            else (array_agg(turn order by step desc))[1]
        end
    into candidates.ready, candidates.alone, candidates.expired, candidates.idle, candidates.grouped, candidates.found, candidates.oldest, next_turn
    from by_tenant;
    if tenants is null and next_turn is not null then
        perform setval('delivery_turn', next_turn);
    end if;
    return candidates;
end
$$;
