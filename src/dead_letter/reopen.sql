-- As `discard.sql` leaves what others are changing.
with chosen as (
    select dead_letter_id
    from dead_letter
    where dead_letter_id = any($1) and discarded_at is not null
    for update skip locked
)
update dead_letter d
set discarded_at = null, discard_reason = null
from chosen c
where d.dead_letter_id = c.dead_letter_id
