-- Reads all messages once, while others go on to write.
alter table message validate constraint message_schema_fkey;
