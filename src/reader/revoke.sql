delete from tenant_reader
where tenant_id = $1 and role_name = $2::text::name
