-- Since when a client has only failed, so that a sender can disable one that nobody mends. A row for each client that fails, none for the
-- others; senders tell of changes, and from time to time, not of every attempt.
create table client_failing (
    tenant_id text collate "C" not null,
    client_id text collate "C" not null,
    since timestamptz not null default clock_timestamp(),
    primary key (tenant_id, client_id),
    constraint client_failing_client_fkey foreign key (tenant_id, client_id) references client on delete cascade
);

-- Whether the last attempt at the client of a lease that holds has failed. Gives for how long it has only failed, counted anew when somebody
-- resumes it; null where it has not, or the lease does not hold.
create function report_client(lease_id bigint, failed boolean) returns interval
language plpgsql security definer
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    own delivery;
    began timestamptz;
begin
    if report_client.lease_id is null or failed is null then
        raise invalid_parameter_value using message = 'lease_id and failed may not be null';
    end if;
    select * into own from delivery d where d.lease_id = report_client.lease_id and d.due_at > clock_timestamp();
    if not found then
        return null;
    end if;
    if not failed then
        delete from client_failing f where f.tenant_id = own.tenant_id and f.client_id = own.client_id;
        return null;
    end if;
    insert into client_failing (tenant_id, client_id) values (own.tenant_id, own.client_id) on conflict do nothing;
    select greatest(f.since, c.resumed_at) into began
    from client_failing f join client c on c.tenant_id = f.tenant_id and c.client_id = f.client_id
    where f.tenant_id = own.tenant_id and f.client_id = own.client_id;
    return clock_timestamp() - began;
end
$$;
revoke execute on function report_client from public;
do $$
begin
    execute format('alter function report_client set search_path = %I, pg_temp', current_schema());
end
$$;
