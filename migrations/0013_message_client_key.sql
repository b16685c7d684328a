-- Reads all messages that name a client once, while others go on to write.
alter table message validate constraint message_client_fkey;
