-- Integrity is declared: `\d` shows it, and dumps, partitions and logical replicas keep it. Not valid yet, which is checked without a lock that
-- others wait for (0012 to 0015); what is written from here on is checked already.
alter table message
    -- Its columns are all not null: with a nullable one among them, a null would switch the whole check off.
    add constraint message_schema_fkey foreign key (tenant_id, event_type, schema_version) references event_schema not valid,
    -- On its own for the same reason: it checks nothing where no client is named.
    add constraint message_client_fkey foreign key (tenant_id, client_id) references client not valid;
alter table delivery
    add constraint delivery_message_fkey foreign key (tenant_id, source, event_id) references message not valid,
    add constraint delivery_client_fkey foreign key (tenant_id, client_id) references client not valid;
