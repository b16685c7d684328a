insert into tenant_reader (tenant_id, role_name)
values ($1, $2::text::name)
on conflict do nothing
