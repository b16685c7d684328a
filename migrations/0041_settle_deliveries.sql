-- What a sender says of its leases. Each function first locks the rows whose lease holds, waiting for whoever is at work on them, and returns
-- those; what it then does is a statement of its own, which sees them as they are by now.

create function delivery_locked(lease_ids bigint[]) returns bigint[] language plpgsql as $$
declare
    locked bigint[];
begin
    if lease_ids is null or array_position(lease_ids, null) is not null then
        raise invalid_parameter_value using message = 'lease_ids may neither be null nor have a null in it';
    elsif cardinality(lease_ids) > 1000 then
        raise invalid_parameter_value using message = format('lease_ids has %s ids; at most 1000 are right', cardinality(lease_ids));
    end if;
    select array_agg(lease_id) into locked
    from (
        select lease_id from delivery
        where lease_id = any(lease_ids) and due_at > clock_timestamp()
        order by lease_id
        for update
    ) as l;
    return locked;
end
$$;

create function extend_deliveries(lease_ids bigint[], lease interval) returns setof bigint
language plpgsql security definer
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    locked bigint[];
begin
    if lease is null or lease not between '1 s' and '12 h' then
        raise invalid_parameter_value using message = format('lease is %s; between 1 second and 12 hours is right', coalesce(lease::text, 'null'));
    end if;
    locked := delivery_locked(lease_ids);
    return query update delivery d set due_at = clock_timestamp() + lease where d.lease_id = any(locked) returning d.lease_id;
end
$$;

create function complete_deliveries(lease_ids bigint[]) returns setof bigint
language plpgsql security definer
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    locked bigint[] := delivery_locked(lease_ids);
    done delivery[];
begin
    with gone as (
        delete from delivery d where d.lease_id = any(locked) returning d
    ),
    logged as (
        insert into delivery_log (tenant_id, source, event_id, client_id, attempt, sender, outcome)
        select (d).tenant_id, (d).source, (d).event_id, (d).client_id, (d).attempts + 1, (d).sender, 'delivered' from gone
    )
    select array_agg(d) into done from gone;
    perform delivery_wake(done, clock_timestamp());
    return query select d.lease_id from unnest(done) as d;
end
$$;

-- The first so many bytes, in whole characters.
create function delivery_error(error text) returns text language sql immutable as $$
    select case
        when octet_length(error) <= 1024 then error
        else convert_from(substr(convert_to(error, 'UTF8'), 1, (
            select max(bytes) from generate_series(1021, 1024) as bytes where get_byte(convert_to(error, 'UTF8'), bytes) & 192 <> 128
        )), 'UTF8')
    end
$$;

create function fail_deliveries(
    lease_ids bigint[], errors text[], retry_after interval[] default null, permanent boolean[] default null
) returns setof bigint
language plpgsql security definer
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    locked bigint[] := delivery_locked(lease_ids);
    failed delivery[];
begin
    if errors is null or cardinality(errors) <> cardinality(lease_ids) or cardinality(retry_after) <> cardinality(lease_ids)
        or cardinality(permanent) <> cardinality(lease_ids)
    then
        raise invalid_parameter_value using message =
            'errors, and retry_after and permanent where they are given, have as many elements as lease_ids';
    elsif exists (select from unnest(retry_after) as wait where wait not between '0' and '7 days') then
        raise invalid_parameter_value using message = 'an element of retry_after is not between 0 and 7 days';
    end if;
    with said as materialized (
        select distinct on (id) id, delivery_error(error) as error, pause, is_permanent
        from unnest(lease_ids, errors, fail_deliveries.retry_after, permanent) with ordinality as s (id, error, pause, is_permanent, nth)
        where id = any(locked)
        order by id, nth
    ),
    tried as materialized (
        select d as before, d.lease_id, s.error, d.attempts + 1 as attempts,
            coalesce(s.is_permanent, false) or d.attempts + 1 >= delivery_attempts_max(c.retry) as is_dead,
            clock_timestamp() + greatest(delivery_wait(c.retry, d.attempts + 1) * (1 + random() / 10), s.pause) as due_at
        from said as s
        join delivery d on d.lease_id = s.id
        join client c on c.tenant_id = d.tenant_id and c.client_id = d.client_id
    ),
    logged as (
        insert into delivery_log (tenant_id, source, event_id, client_id, attempt, sender, outcome, error)
        select (before).tenant_id, (before).source, (before).event_id, (before).client_id, attempts, (before).sender, outcome, error
        from tried cross join lateral (values (1, 'failed', true), (2, 'dead', is_dead)) as o (nth, outcome, is_so)
        where is_so
        order by nth
    ),
    dead as (
        delete from delivery d using tried t where d.lease_id = t.lease_id and t.is_dead
    ),
    waiting as (
        update delivery d
        set attempts = t.attempts, expiries = 0, due_at = t.due_at, lease_id = null, leased_at = null, sender = null
        from tried t
        where d.lease_id = t.lease_id and not t.is_dead
    )
    select array_agg(before) into failed from tried;
    perform delivery_wake(failed, clock_timestamp());
    return query select d.lease_id from unnest(failed) as d;
end
$$;

-- No attempt, so nothing is logged: what a sender does on its way out, and its snooze.
create function release_deliveries(lease_ids bigint[], due_in interval default '0') returns setof bigint
language plpgsql security definer
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    locked bigint[] := delivery_locked(lease_ids);
    released delivery[];
begin
    if due_in is null or due_in not between '0' and '7 days' then
        raise invalid_parameter_value using message = format('due_in is %s; between 0 and 7 days is right', coalesce(due_in::text, 'null'));
    end if;
    released := array(select d from delivery d where d.lease_id = any(locked));
    update delivery d set due_at = clock_timestamp() + due_in, lease_id = null, leased_at = null, sender = null where d.lease_id = any(locked);
    perform delivery_wake(released, clock_timestamp());
    return query select d.lease_id from unnest(released) as d;
end
$$;
