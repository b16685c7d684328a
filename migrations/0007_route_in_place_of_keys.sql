-- What was stored before the triggers were there is brought in; then the keys that they stand for go.
insert into route (tenant_id, event_type, schema_version, client_id)
select distinct tenant_id, event_type, schema_version, client_id from message order by 1, 2, 3, 4
on conflict do nothing;
insert into recipient (tenant_id, client_id)
select distinct tenant_id, client_id from delivery order by 1, 2
on conflict do nothing;

alter table delivery
    drop constraint delivery_tenant_id_source_event_id_fkey,
    drop constraint delivery_tenant_id_client_id_fkey;
alter table message
    drop constraint message_tenant_id_event_type_schema_version_fkey,
    drop constraint message_tenant_id_client_id_fkey;
