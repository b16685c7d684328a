-- Open dead letters that share an identity, as far as it was read from their bodies, those of one identity one behind the other.
select dead_letter_id as "dead_letter_id!", identity as "identity!"
from (
    select
        dead_letter_id,
        dense_rank() over (order by coalesce(tenant_id, claimed_tenant), source, event_id) as identity,
        count(*) over (partition by coalesce(tenant_id, claimed_tenant), source, event_id) as letters
    from dead_letter
    where
        is_open
        and event_id is not null
        and coalesce(tenant_id, claimed_tenant) is not null
        and ($1::bigint[] is null or event_id in (select event_id from dead_letter where dead_letter_id = any($1)))
) as shared
where letters > 1
order by identity, dead_letter_id
