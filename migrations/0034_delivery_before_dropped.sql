-- All of it was moved by the migration before.
drop table delivery_before;
