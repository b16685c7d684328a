-- Takes the turn, or keeps it. Who finds the row locked does not wait for it: somebody else has the turn then.
update metrics_turn set holder = $1, ends_at = clock_timestamp() + $2 * interval '1 s'
where only_row = (
    select only_row from metrics_turn
    where holder = $1 or ends_at < clock_timestamp()
    for update skip locked
)
returning true as "is_taken!"
