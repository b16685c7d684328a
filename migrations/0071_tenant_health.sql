-- What an operator asks about a tenant, a row for each. No large table is counted: events come from `tenant_activity`, by its key; of open dead
-- letters (`dead_letter_open_by_tenant`) and of deliveries (`delivery_client_due`) at most 10,000 are read, in the order of these indexes, so
-- that 10,000 means so many or more. Who asks sees what he may see of those tables. For `src/client/tenants.sql`.
create view tenant_health with (security_invoker = true) as
select
    t.tenant_id,
    a.last_event_at,
    a.stored as stored_last_hour,
    a.duplicate as duplicate_last_hour,
    a.rejected as rejected_last_hour,
    a.rejected / nullif(a.stored + a.duplicate + a.rejected, 0)::double precision as rejected_share,
    -- Of the last hour.
    a.event_types,
    p.dead_letters as open_dead_letters,
    -- The ten largest.
    p.problems,
    d.waiting as waiting_deliveries,
    t.rate_limit,
    t.rate_burst,
    a.over_rate as over_rate_last_hour
from tenant t
cross join lateral (
    select
        max(of_type.last_event_at) as last_event_at,
        coalesce(sum(of_type.stored), 0)::bigint as stored,
        coalesce(sum(of_type.duplicate), 0)::bigint as duplicate,
        coalesce(sum(of_type.rejected), 0)::bigint as rejected,
        coalesce(sum(of_type.over_rate), 0)::bigint as over_rate,
        coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'event_type', nullif(of_type.event_type, ''),
                    'last_event_at', of_type.last_event_at,
                    'stored', of_type.stored,
                    'duplicate', of_type.duplicate,
                    'rejected', of_type.rejected,
                    'rejected_share', of_type.rejected / (of_type.stored + of_type.duplicate + of_type.rejected)::double precision
                )
                order by of_type.event_type
            ) filter (where of_type.stored + of_type.duplicate + of_type.rejected > 0),
            '[]'
        ) as event_types
    from (
        select
            event_type,
            max(last_event_at) as last_event_at,
            coalesce(sum(stored) filter (where is_recent), 0)::bigint as stored,
            coalesce(sum(duplicate) filter (where is_recent), 0)::bigint as duplicate,
            coalesce(sum(rejected) filter (where is_recent), 0)::bigint as rejected,
            coalesce(sum(over_rate) filter (where is_recent), 0)::bigint as over_rate
        from (
            select *, began_at > now() - interval '1 hour' as is_recent
            from tenant_activity where tenant_activity.tenant_id = t.tenant_id
        ) as activity
        group by event_type
    ) as of_type
) as a
cross join lateral (
    select
        coalesce(sum(problem.open), 0)::bigint as dead_letters,
        coalesce(
            jsonb_agg(
                jsonb_build_object('event_type', event_type, 'reason', reason, 'rule', rule, 'open', open, 'last_seen_at', last_seen_at)
                order by open desc, last_seen_at desc
            ) filter (where nth <= 10),
            '[]'
        ) as problems
    from (
        select event_type, reason, rule, count(*) as open, max(last_seen_at) as last_seen_at,
            row_number() over (order by count(*) desc, max(last_seen_at) desc) as nth
        from (
            select
                event_type,
                last_seen_at,
                case when replay_outcome = 'rejected' then replay_reason else reason end as reason,
                case when replay_outcome = 'rejected' then replay_rule else rule end as rule
            from dead_letter
            where is_open and coalesce(dead_letter.tenant_id, claimed_tenant) = t.tenant_id
            order by coalesce(dead_letter.tenant_id, claimed_tenant) desc, last_seen_at desc, dead_letter_id desc
            limit 10000
        ) as newest
        group by event_type, reason, rule
    ) as problem
) as p
cross join lateral (
    select count(*) as waiting
    from (
        select from delivery
        where delivery.tenant_id = t.tenant_id
        order by delivery.tenant_id, delivery.client_id, delivery.due_at
        limit 10000
    ) as soonest
) as d;
