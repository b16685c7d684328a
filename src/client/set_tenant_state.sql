-- Gives what the tenant was before; no row: there is none of that name.
with before as (
    select tenant_id, state from tenant where tenant_id = $1 for no key update
)
update tenant t set state = $2, state_reason = $3 from before b where t.tenant_id = b.tenant_id returning b.state
