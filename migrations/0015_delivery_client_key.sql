-- Reads all deliveries once, while others go on to write.
alter table delivery validate constraint delivery_client_fkey;
