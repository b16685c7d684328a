-- For a receiver that says it is gone for good: whoever holds a lease may stop all deliveries to its client, which wait from then on. Not by a
-- lease from before the client was last resumed, for that tells nothing of how it is by now. Says whether it is disabled.
create function disable_client(lease_id bigint, reason text) returns boolean
language plpgsql security definer
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    own delivery;
begin
    if disable_client.lease_id is null or reason is null then
        raise invalid_parameter_value using message = 'lease_id and reason may not be null';
    end if;
    select * into own from delivery d where d.lease_id = disable_client.lease_id and d.due_at > clock_timestamp();
    update client c set state = 'disabled', state_reason = delivery_error(reason)
    where
        c.tenant_id = own.tenant_id and c.client_id = own.client_id
        and own.leased_at > coalesce(c.resumed_at, '-infinity') and c.state <> 'disabled';
    if not found then
        return exists (
            select from client c
            where c.tenant_id = own.tenant_id and c.client_id = own.client_id and c.state = 'disabled'
        );
    end if;
    insert into audit (audit_id, operator, command, arguments, counts, ended_at)
    values (
        gen_random_uuid(), own.sender, 'disable_client', array[own.tenant_id, own.client_id, delivery_error(reason)],
        '{"clients": 1}', now()
    );
    return true;
end
$$;
