-- Reads the keys of all deliveries and messages once, while others go on to write: both in the order of their keys, which takes a few seconds
-- for a million whatever the planner knows of the tables; sorted or hashed it took three times as long.
set local enable_hashjoin = off;
set local enable_sort = off;
alter table delivery validate constraint delivery_message_fkey;
