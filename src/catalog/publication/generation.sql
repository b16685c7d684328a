-- A new generation. Whoever listens hears of it when the transaction commits, and not otherwise.
with applied as (
    update catalog set generation = generation + 1, applied_at = now() returning generation
)
select applied.generation as "generation!", pg_notify('catalog_changed', applied.generation::text)::text as notified
from applied
