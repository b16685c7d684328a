-- How often a delivery to a client is tried, the first time included. `retry` is as the catalog has written it: pauses one by one, or a first
-- one, a factor, the longest and the number of tries (1 s, 2, 1 h, 10 where it does not say). Without it there are the nine of `delivery_wait`.
create function delivery_attempts_max(retry jsonb) returns integer language sql immutable as $$
    select case
        when retry is null then 10
        when retry ? 'schedule_ms' then jsonb_array_length(retry -> 'schedule_ms') + 1
        else coalesce((retry ->> 'attempts')::integer, 10)
    end
$$;

-- How long a delivery waits after so many attempts, without the random tenth. After the last one, which only a lease that ended in company
-- outlives, as long as after the one before.
create function delivery_wait(retry jsonb, attempts integer) returns interval language sql immutable as $$
    select case
        when retry is null then
            (array['5 s', '5 min', '30 min', '2 h', '5 h', '10 h', '14 h', '20 h', '24 h']::interval[])[least(attempts, 9)]
        when retry ? 'schedule_ms' then
            make_interval(secs => coalesce(
                (retry -> 'schedule_ms' ->> (least(attempts, jsonb_array_length(retry -> 'schedule_ms')) - 1))::float8, 5000
            ) / 1000)
        else make_interval(secs => least(
            -- By logarithms: a power would leave the range of numbers before it is compared with the longest wait.
            exp(least(
                ln(coalesce((retry ->> 'initial_ms')::float8, 1000))
                + (least(attempts, delivery_attempts_max(retry)) - 1) * ln(coalesce((retry ->> 'factor')::float8, 2)),
                700
            )),
            coalesce((retry ->> 'cap_ms')::float8, greatest((retry ->> 'initial_ms')::float8, 3600000))
        ) / 1000)
    end
$$;

-- The same at every attempt and after a requeue; nothing that a user has chosen can be read in it.
create function delivery_webhook_id(tenant_id text, source text, event_id text, client_id text) returns text
language sql stable as $$
    select 'msg_' || encode(substr(sha256(
        int4send(octet_length(tenant_id)) || convert_to(tenant_id, 'UTF8') || int4send(octet_length(source)) || convert_to(source, 'UTF8')
        || int4send(octet_length(event_id)) || convert_to(event_id, 'UTF8') || int4send(octet_length(client_id)) || convert_to(client_id, 'UTF8')
    ), 1, 16), 'hex')
$$;

-- 63 random bits; never a sequence's, which a server that takes over may give out again.
create function delivery_lease_id() returns bigint language sql volatile as $$
    select hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807
$$;
