-- All of it was moved by the migration before.
-- Its keys are dropped from what they refer to, too, which is locked in the order in which a writer does.
lock table message, client in access exclusive mode;
drop table delivery_before;
