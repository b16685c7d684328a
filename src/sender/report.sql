select extract(epoch from report_client($1, $2))::float8 as seconds
