-- Gives what the client was before; no row: there is none of that name.
with before as (
    select tenant_id, client_id, state from client where tenant_id = $1 and client_id = $2 for no key update
)
update client c set
    state = $3, state_reason = $4, resumed_at = case when $3 = 'active' then clock_timestamp() else c.resumed_at end
from before b
where c.tenant_id = b.tenant_id and c.client_id = b.client_id
returning b.state
