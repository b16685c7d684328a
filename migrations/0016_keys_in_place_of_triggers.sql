-- What the triggers did is declared now, and deliveries are inserted by who inserts their message. All at once: a build that relies on the
-- triggers must not find half of this, for it would store a message without its deliveries. It is refused the column `recipients` and waits.
drop trigger message_added on message;
drop trigger message_changed on message;
drop trigger message_removed on message;
drop trigger message_delivered on message;
drop trigger identity_is_fixed on message;
drop trigger delivery_added on delivery;
drop trigger recipient_added on delivery;
drop trigger identity_is_fixed on delivery;
drop function message_added();
drop function message_removed();
drop function message_delivered();
drop function delivery_added();
drop function recipient_added();
drop function identity_is_fixed();
drop table route;
drop table recipient;
alter table message drop column recipients;

-- The field's word for a message that may end whoever reads it.
alter table suspect rename to poison_attempt;
alter table poison_attempt rename constraint suspect_pkey to poison_attempt_pkey;
