select lease_id as "lease_id!"
from fail_deliveries(
    $1, $2, array(select make_interval(secs => seconds) from unnest($3::float8[]) with ordinality as r (seconds, n) order by n), $4
) as lease_id
