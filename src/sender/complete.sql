select lease_id as "lease_id!" from complete_deliveries($1) as lease_id
