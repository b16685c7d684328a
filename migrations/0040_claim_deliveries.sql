-- Leases what stands first among these and nobody else is at work on. A unique violation: another claim has leased one of the same group.
create function delivery_lease(places tid[], rows_max integer, now_ timestamptz, lease interval, of_sender text, with_groups boolean)
returns bigint[] language plpgsql as $$
declare
    leases bigint[];
begin
    with pick as materialized (
        select d.place
        from unnest(places) with ordinality as o (place, nth) cross join lateral (
            select ctid as place
            from delivery own
            where
                ctid = o.place and due_at <= now_ and lease_id is null
                and (
                    sequence is null
                    and not exists (
                        select from message m
                        where
                            m.tenant_id = own.tenant_id and m.source = own.source and m.event_id = own.event_id
                            and m.message_group is not null and m.sequence_number ~ '^[0-9]{1,100}$'
                        offset 0
                    )
                    or sequence is not null and with_groups
                    and not exists (
                        select from delivery b
                        where
                            b.tenant_id = own.tenant_id and b.client_id = own.client_id and b.queue = own.queue
                            and b.message_group = own.message_group and b.sequence < own.sequence
                        offset 0
                    )
                    and not exists (
                        select from delivery b
                        where
                            b.tenant_id = own.tenant_id and b.client_id = own.client_id and b.queue = own.queue
                            and b.message_group = own.message_group and b.sequence is not null and b.lease_id is not null
                        offset 0
                    )
                )
            for update skip locked
        ) as d
        limit rows_max
    ),
    leased as (
        update delivery d
        set lease_id = delivery_lease_id(), leased_at = now_, sender = of_sender, due_at = now_ + lease
        from pick as p
        where d.ctid = p.place
        returning d.lease_id
    )
    select array_agg(lease_id) into leases from leased;
    return leases;
end
$$;

-- Moves the mark (see `delivery_mark`) no further than to the oldest that is due. A clock that was set back takes it back.
create function delivery_mark_move(now_ timestamptz, oldest timestamptz) returns void language plpgsql as $$
begin
    update delivery_mark m set
        due_from = least(m.next_from, oldest - interval '2 s', now_ - interval '2 s'),
        next_from = least(oldest, now_) - interval '2 s',
        next_xid = pg_snapshot_xmax(pg_current_snapshot())
    where
        (m.next_from < least(oldest, now_) - interval '3 s' or m.due_from > now_)
        and m.next_xid <= pg_snapshot_xmin(pg_current_snapshot())
        and exists (select from delivery_mark for update skip locked);
end
$$;

-- Leases up to `batch_max` of what is due; sets aside on its way what may not be handed out. `again`: something was set aside and nothing leased,
-- so there may be more to find.
create function delivery_take(of_sender text, batch_max integer, lease interval, tenants text[], out leases bigint[], out again boolean)
language plpgsql as $$
declare
    now_ timestamptz := clock_timestamp();
    rows_max integer := 5 * batch_max;
    any_is_idle boolean := exists (select from client where not delivers) or exists (select from tenant where not delivers);
    from_ timestamptz;
    oldest delivery_candidates;
    by_client delivery_candidates;
    ready tid[];
    alone tid[];
begin
    select case when due_from > now_ then '-infinity' else due_from end into from_ from delivery_mark;
    if tenants is null then
        oldest := delivery_oldest(from_, now_, rows_max, any_is_idle);
    end if;
    if tenants is not null or oldest.found = rows_max then
        by_client := delivery_oldest_of_clients(from_, now_, batch_max, any_is_idle, tenants);
    end if;
    if oldest.expired is not null or by_client.expired is not null then
        perform delivery_expire(oldest.expired || by_client.expired, now_);
    end if;
    if oldest.idle is not null then
        perform delivery_park(oldest.idle, now_);
    end if;
    if oldest.grouped is not null or by_client.grouped is not null then
        perform delivery_block(oldest.grouped || by_client.grouped, now_);
    end if;
    ready := by_client.ready || oldest.ready;
    alone := by_client.alone || oldest.alone;
    -- Beside others they come to their turn in one claim out of four, so that they do not delay those.
    if alone is not null and (ready is null or random() < 0.25) then
        ready := alone;
        batch_max := 1;
    end if;
    if delivery_adopt(ready[1:batch_max]) then
        again := true;
        return;
    end if;
    begin
        leases := delivery_lease(ready, batch_max, now_, lease, of_sender, true);
    exception when unique_violation then
        leases := delivery_lease(ready, batch_max, now_, lease, of_sender, false);
    end;
    if tenants is null then
        perform delivery_mark_move(now_, oldest.oldest);
    end if;
    again := leases is null and (oldest.expired is not null or oldest.idle is not null or oldest.grouped is not null
        or by_client.expired is not null or by_client.grouped is not null);
end
$$;

-- The contract is in README.md, "Write a sender".
create function claim_deliveries(sender text, batch_max integer default 100, lease interval default '1 minute', tenants text[] default null)
returns table (
    lease_id bigint, tenant_id text, client_id text, client_settings jsonb, source text, event_id text, webhook_id text, event_type text,
    schema_version integer, subject text, occurred_at timestamptz, received_at timestamptz, payload json, attributes json, attempt integer,
    lease_expires_at timestamptz
)
language plpgsql security definer
-- Plans that go by the indexes whatever the statistics say, made once: right after a bulk load a claim took seconds otherwise.
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    taken record;
    d record;
    bytes bigint := 0;
    is_full boolean := false;
    too_many bigint[] := '{}';
begin
    if $1 is null or $2 is null or $3 is null then
        raise invalid_parameter_value using message = 'sender, batch_max and lease may not be null';
    elsif octet_length($1) not between 1 and 256 then
        raise invalid_parameter_value using message = 'sender has between 1 and 256 bytes';
    elsif $2 not between 1 and 1000 then
        raise invalid_parameter_value using message = format('batch_max is %s; between 1 and 1000 is right', $2);
    elsif $3 not between '1 s' and '12 h' then
        raise invalid_parameter_value using message = format('lease is %s; between 1 second and 12 hours is right', $3);
    end if;
    if exists (select from client where has_parked) then
        perform delivery_unpark(clock_timestamp());
    end if;
    for round in 1..20 loop
        taken := delivery_take($1, $2, $3, $4);
        for d in
            select own.*, c.settings, m.event_type, m.schema_version, m.subject, m.occurred_at, m.received_at, m.payload, m.attributes
            from unnest(taken.leases) as l (id)
            cross join lateral (select * from delivery x where x.lease_id = l.id offset 0) as own
            cross join lateral (
                select * from message x where x.tenant_id = own.tenant_id and x.source = own.source and x.event_id = own.event_id offset 0
            ) as m
            cross join lateral (
                select x.settings from client x where x.tenant_id = own.tenant_id and x.client_id = own.client_id offset 0
            ) as c
        loop
            -- One payload after the other is unpacked, and none beyond the limit.
            is_full := is_full or bytes > 0 and bytes + octet_length(d.payload::text) > 16 * 1024 * 1024;
            if is_full then
                too_many := too_many || d.lease_id;
            else
                bytes := bytes + octet_length(d.payload::text);
                lease_id := d.lease_id; tenant_id := d.tenant_id; client_id := d.client_id; client_settings := d.settings;
                source := d.source; event_id := d.event_id;
                webhook_id := delivery_webhook_id(d.tenant_id, d.source, d.event_id, d.client_id);
                event_type := d.event_type; schema_version := d.schema_version; subject := d.subject; occurred_at := d.occurred_at;
                received_at := d.received_at; payload := d.payload; attributes := d.attributes; attempt := d.attempts + 1;
                lease_expires_at := d.due_at;
                return next;
            end if;
        end loop;
        exit when not taken.again;
    end loop;
    update delivery own set lease_id = null, leased_at = null, sender = null, due_at = clock_timestamp() where own.lease_id = any(too_many);
end
$$;
