-- Deactivates; events that are stored point at what they were stored under, so nothing is deleted.
with
    undeclared as (
        select *
        from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[])
            as undeclared (kind, tenant_id, key, version, event_pattern)
    ),
    tenants as (
        update tenant t set active = false from undeclared u where u.kind = 'tenant' and t.tenant_id = u.tenant_id
    ),
    event_types as (
        update event_type t set active = false from undeclared u
        where u.kind = 'event_type' and (t.tenant_id, t.event_type) = (u.tenant_id, u.key)
    ),
    schemas as (
        update event_schema t set active = false from undeclared u
        where u.kind = 'schema' and (t.tenant_id, t.event_type, t.schema_version) = (u.tenant_id, u.key, u.version)
    ),
    clients as (
        update client t set active = false from undeclared u
        where u.kind = 'client' and (t.tenant_id, t.client_id) = (u.tenant_id, u.key)
    ),
    queues as (
        update queue t set active = false from undeclared u where u.kind = 'queue' and t.name = u.key
    )
update subscription t set active = false from undeclared u
where u.kind = 'subscription' and (t.tenant_id, t.client_id, t.event_pattern) = (u.tenant_id, u.key, u.event_pattern)
