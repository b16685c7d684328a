select count(*) as "count!" from delivery_matching($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
