select lease_id as "lease_id!" from release_deliveries($1, make_interval(secs => $2)) as lease_id
