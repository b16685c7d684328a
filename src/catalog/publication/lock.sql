-- Whoever holds this row applies; the next waits for it. Readers do not.
select generation from catalog for update
