-- How many events a second a tenant may bring, and how many at once; null: no limit. The table is small.
alter table tenant
    add column rate_limit double precision check (rate_limit > 0),
    add column rate_burst integer check (rate_burst > 0);
