-- The contract between the event processor and a sender, in plain SQL. A test runs it by psql, as the role that senders have.
--
-- Given: the sample catalog is applied. What follows as the owner of the tables is what a sender cannot do and does not need: it stores
-- events as the daemon does, and lets time pass.

\set ON_ERROR_STOP on
\set QUIET on

-- An event for a client, of order number `n`; with a sequence number one of the FIFO queue `orders.fifo`.
create function pg_temp.store(n text, of_client text, of_group text default null, of_sequence text default null) returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into message (
        tenant_id, source, event_id, event_type, schema_version, client_id, payload, payload_hash, queue, sqs_message_id, catalog_generation,
        message_group, sequence_number
    ) values (
        'shop', 'web', n, 'order.paid', 1, of_client, json_build_object('order', n), sha256(''), 'orders.fifo', n, 1, of_group, of_sequence
    );
    insert into delivery (tenant_id, source, event_id, client_id, queue, message_group, sequence)
    values (
        'shop', 'web', n, of_client, case when of_sequence is not null then 'orders.fifo' end, of_group, of_sequence::numeric
    );
$$;

-- As if so much time had gone by.
create function pg_temp.wait(passed interval) returns void
language sql security definer set search_path = public, pg_temp as $$
    update delivery set due_at = due_at - passed where due_at < '9999-01-01';
    update delivery_mark set due_from = due_from - passed, next_from = next_from - passed;
$$;

-- What has become of an event's delivery, attempt by attempt.
create function pg_temp.story(n text) returns text
language sql security definer set search_path = public, pg_temp as $$
    select string_agg(format('%s %s', attempt, outcome), ', ' order by id) from delivery_log where event_id = n;
$$;

-- In how many seconds a delivery is due.
create function pg_temp.due_in(n text) returns numeric
language sql security definer set search_path = public, pg_temp as $$
    select extract(epoch from due_at - clock_timestamp()) from delivery where event_id = n;
$$;

create function pg_temp.state(n text) returns text
language sql security definer set search_path = public, pg_temp as $$
    select state from delivery_state where event_id = n;
$$;

create function pg_temp.pause(of_client text, to_state text) returns void
language sql security definer set search_path = public, pg_temp as $$
    update client set state = to_state, resumed_at = case when to_state = 'active' then clock_timestamp() else resumed_at end
    where tenant_id = 'shop' and client_id = of_client;
$$;

-- Fails unless a statement is refused with this SQLSTATE.
create function pg_temp.refuses(code text, statement text) returns void language plpgsql as $$
begin
    execute statement;
    raise exception 'accepted, and should not be: %', statement;
exception when others then
    if sqlstate <> code then
        raise exception '% instead of %: %', sqlstate, code, statement;
    end if;
end
$$;

-- Fails unless something is so.
create function pg_temp.check(is_so boolean, what text) returns void language plpgsql as $$
begin
    if is_so is not true then
        raise exception 'not so: %', what;
    end if;
end
$$;

select pg_temp.store('o1', 'billing'), pg_temp.store('o2', 'billing'), pg_temp.store('o3', 'warehouse') \g /dev/null

set role event_processor_sender;
create temp table lease (name text, lease_id bigint, event_id text, attempt integer, webhook_id text);
create function pg_temp.id(of_name text) returns bigint language sql as $$ select lease_id from lease where name = of_name $$;

-- A claim gives all that a delivery needs, and nothing else can be read.
create temp table claimed as select * from claim_deliveries('sender-1', 10, '1 minute');
select
    pg_temp.check(count(*) = 3 and count(distinct lease_id) = 3 and min(lease_id) >= 0, 'three leases'),
    pg_temp.check(bool_and(tenant_id = 'shop' and source = 'web' and event_type = 'order.paid' and schema_version = 1), 'the event'),
    pg_temp.check(bool_and(payload ->> 'order' = event_id and attributes::text = '{}' and received_at is not null), 'its content'),
    pg_temp.check(bool_and(client_settings ->> 'url' like 'http://127.0.0.1:4580/shop/%'), 'the client''s settings'),
    pg_temp.check(bool_and(webhook_id ~ '^msg_[0-9a-f]{32}$') and count(distinct webhook_id) = 3, 'an id for the receiver'),
    pg_temp.check(bool_and(attempt = 1 and lease_expires_at between now() and now() + interval '2 minutes'), 'the first attempt')
from claimed \g /dev/null
select pg_temp.refuses('42501', format('select from %I', name))
from unnest('{message,delivery,delivery_log,delivery_state,delivery_mark,client,tenant,dead_letter}'::text[]) as name \g /dev/null
select pg_temp.refuses('42501', 'select delivery_locked(''{}'')') \g /dev/null

-- What is leased is not claimed again.
select pg_temp.check(count(*) = 0, 'nothing is left') from claim_deliveries('sender-2') \g /dev/null

-- Delivered: it is over, and a second completion is told that its lease does not hold.
insert into lease select 'o1', lease_id, event_id, attempt, webhook_id from claimed where event_id = 'o1';
insert into lease select 'o2', lease_id, event_id, attempt, webhook_id from claimed where event_id = 'o2';
insert into lease select 'o3', lease_id, event_id, attempt, webhook_id from claimed where event_id = 'o3';
select pg_temp.check(array(select complete_deliveries(array[pg_temp.id('o1')])) = array[pg_temp.id('o1')], 'completed') \g /dev/null
select pg_temp.check(array(select complete_deliveries(array[pg_temp.id('o1')])) = '{}', 'completed once') \g /dev/null
select pg_temp.check(pg_temp.story('o1') = '1 delivered' and pg_temp.state('o1') = 'delivered', 'the log has it') \g /dev/null

-- Failed: it waits as its client's `retry` says (1, 2, 4, 8, 16 seconds), each up to a tenth longer, and comes again.
select pg_temp.check(count(*) = 1, 'failed') from fail_deliveries(array[pg_temp.id('o2')], '{connection refused}') \g /dev/null
select pg_temp.check(pg_temp.due_in('o2') between 0.5 and 1.1, 'a second') \g /dev/null
select pg_temp.check(count(*) = 0, 'not yet') from claim_deliveries('sender-1') where event_id = 'o2' \g /dev/null
do $$
declare
    own record;
begin
    for attempt_ in 2..6 loop
        perform pg_temp.wait('20 seconds');
        select * into own from claim_deliveries('sender-1', 10, '1 minute') where event_id = 'o2';
        perform pg_temp.check(own.attempt = attempt_, 'attempt ' || attempt_);
        perform pg_temp.check(own.webhook_id = (select webhook_id from lease where name = 'o2'), 'the same id for the receiver');
        perform fail_deliveries(array[own.lease_id], '{still not}');
        if attempt_ < 6 then
            perform pg_temp.check(pg_temp.due_in('o2') between 2 ^ (attempt_ - 1) - 1 and 2 ^ (attempt_ - 1) * 1.1, 'wait ' || attempt_);
        end if;
    end loop;
end
$$;
-- After the sixth it is dead.
select pg_temp.check(
    pg_temp.story('o2') = '1 failed, 2 failed, 3 failed, 4 failed, 5 failed, 6 failed, 6 dead' and pg_temp.state('o2') = 'dead', 'dead'
) \g /dev/null

-- A lease ends by itself: the attempt counts, the delivery waits as after a failure, and whoever held it is told.
select pg_temp.wait('1 minute') \g /dev/null
select pg_temp.check(array(select complete_deliveries(array[pg_temp.id('o3')])) = '{}', 'too late') \g /dev/null
select pg_temp.check(array(select extend_deliveries(array[pg_temp.id('o3')], '1 hour')) = '{}', 'too late') \g /dev/null
select pg_temp.check(count(*) <= 1, 'it has waited already, or waits') from claim_deliveries('sender-1', 10, '1 second') \g /dev/null
select pg_temp.check(pg_temp.story('o3') like '1 expired%', 'the log has it') \g /dev/null

-- What expired three times running is claimed alone from then on, and dies at its third expiry alone: so it kills no neighbours.
do $$
begin
    for again in 1..20 loop
        perform pg_temp.wait('2 hours');
        perform claim_deliveries('sender-1', 10, '1 second');
    end loop;
    perform pg_temp.check(pg_temp.story('o3') =
        '1 expired, 2 expired, 3 expired, 4 expired, 5 expired, 6 expired, 6 dead', pg_temp.story('o3'));
end
$$;

-- Extended, then released: no attempt is counted, and `due_in` is a snooze.
select pg_temp.store('o4', 'billing') \g /dev/null
insert into lease select 'o4', lease_id, event_id, attempt, webhook_id from claim_deliveries('sender-1', 10, '5 seconds');
select pg_temp.check(count(*) = 1, 'extended') from extend_deliveries(array[pg_temp.id('o4')], '1 hour') \g /dev/null
select pg_temp.wait('1 minute') \g /dev/null
select pg_temp.check(count(*) = 0, 'it holds for an hour') from claim_deliveries('sender-2') \g /dev/null
select pg_temp.check(count(*) = 1, 'released') from release_deliveries(array[pg_temp.id('o4')], '10 minutes') \g /dev/null
select pg_temp.check(count(*) = 0, 'it snoozes') from claim_deliveries('sender-2') \g /dev/null
select pg_temp.wait('10 minutes') \g /dev/null
update lease set lease_id = c.lease_id, attempt = c.attempt from claim_deliveries('sender-2') as c where name = 'o4';
select pg_temp.check(attempt = 1, 'still the first attempt') from lease where name = 'o4' \g /dev/null

-- `retry_after` overrides the wait where it is longer; `permanent` is the end. A null element means the default.
select pg_temp.check(count(*) = 1, 'failed') from fail_deliveries(array[pg_temp.id('o4')], '{busy}', '{1 hour}') \g /dev/null
select pg_temp.check(pg_temp.due_in('o4') between 3590 and 3600, 'an hour') \g /dev/null
select pg_temp.wait('1 hour') \g /dev/null
update lease set lease_id = c.lease_id from claim_deliveries('sender-2') as c where name = 'o4';
select pg_temp.check(count(*) = 1, 'failed') from fail_deliveries(array[pg_temp.id('o4')], '{null}', '{null}', '{null}') \g /dev/null
select pg_temp.wait('1 minute') \g /dev/null
update lease set lease_id = c.lease_id from claim_deliveries('sender-2') as c where name = 'o4';
select pg_temp.check(count(*) = 1, 'failed') from fail_deliveries(array[pg_temp.id('o4')], '{gone}', null, '{true}') \g /dev/null
select pg_temp.check(pg_temp.story('o4') = '1 failed, 2 failed, 3 failed, 3 dead', pg_temp.story('o4')) \g /dev/null

-- A client that is paused gets nothing, and its deliveries wait; a lease from before holds.
select pg_temp.store('o5', 'billing'), pg_temp.store('o6', 'billing') \g /dev/null
insert into lease select event_id, lease_id from claim_deliveries('sender-1', 1);
select pg_temp.pause('billing', 'paused') \g /dev/null
select pg_temp.check(count(*) = 0, 'paused') from claim_deliveries('sender-1') \g /dev/null
select pg_temp.check(count(*) = 1, 'a lease from before') from complete_deliveries(array(select lease_id from lease where name in ('o5', 'o6'))) \g /dev/null
select pg_temp.pause('billing', 'active') \g /dev/null
insert into lease select 'after', lease_id from claim_deliveries('sender-1');
select pg_temp.check(count(*) = 1, 'resumed') from lease where name = 'after' \g /dev/null

-- Whoever holds a lease may disable its client; not by a lease from before it was last resumed.
select pg_temp.pause('billing', 'active') \g /dev/null
select pg_temp.check(not disable_client(pg_temp.id('after'), 'gone'), 'a lease from before') \g /dev/null
select release_deliveries(array[pg_temp.id('after')]) \g /dev/null
update lease set lease_id = c.lease_id from claim_deliveries('sender-1') as c where name = 'after';
select pg_temp.check(disable_client(pg_temp.id('after'), '410 Gone'), 'disabled') \g /dev/null
select pg_temp.check(not disable_client(1, 'no such lease'), 'unknown') \g /dev/null
select release_deliveries(array[pg_temp.id('after')]) \g /dev/null
select pg_temp.check(count(*) = 0, 'disabled') from claim_deliveries('sender-1') \g /dev/null
select pg_temp.pause('billing', 'active') \g /dev/null
select complete_deliveries(array(select lease_id from claim_deliveries('sender-1'))) \g /dev/null

-- FIFO: in the order of the sequence numbers, one at a time within a group; the next only when the one before is done with.
select pg_temp.store('f10', 'billing', 'a', '10'), pg_temp.store('f9', 'billing', 'a', '9'), pg_temp.store('g1', 'billing', 'b', '1') \g /dev/null
create temp table in_order as select event_id, lease_id from claim_deliveries('sender-1');
select pg_temp.check(array_agg(event_id order by event_id) = '{f9,g1}', 'the head of each group') from in_order \g /dev/null
select fail_deliveries(array(select lease_id from in_order where event_id = 'f9'), '{no}') \g /dev/null
select pg_temp.check(count(*) = 0, 'the second waits for the first') from claim_deliveries('sender-1') \g /dev/null
select pg_temp.wait('2 seconds') \g /dev/null
truncate in_order;
insert into in_order select event_id, lease_id from claim_deliveries('sender-1');
select pg_temp.check(array_agg(event_id) = '{f9}', 'again the first') from in_order \g /dev/null
select complete_deliveries(array(select lease_id from in_order)) \g /dev/null
select pg_temp.check(array_agg(event_id) = '{f10}', 'then the second') from claim_deliveries('sender-1') \g /dev/null

-- Only the tenants that are asked for.
select pg_temp.store('o7', 'billing') \g /dev/null
select pg_temp.check(count(*) = 0, 'of another tenant') from claim_deliveries('sender-1', 10, '1 minute', '{crm,onboarding}') \g /dev/null
select pg_temp.check(count(*) = 1, 'of this tenant') from claim_deliveries('sender-1', 10, '1 minute', '{shop}') \g /dev/null

-- A completion may share the transaction of what it stands for: neither is there without the other.
select pg_temp.store('o8', 'warehouse') \g /dev/null
insert into lease select 'o8', lease_id from claim_deliveries('sender-1');
begin;
select pg_temp.check(count(*) = 1, 'completed') from complete_deliveries(array[pg_temp.id('o8')]) \g /dev/null
rollback;
select pg_temp.check(pg_temp.state('o8') = 'pending', 'and not') \g /dev/null
select pg_temp.check(count(*) = 1, 'an id that is there twice, and one that is not known')
from complete_deliveries(array[pg_temp.id('o8'), pg_temp.id('o8'), 1]) \g /dev/null

-- For how long a client has only failed: told now and then, by a lease that holds; who takes something has not.
select pg_temp.store('p1', 'warehouse') \g /dev/null
insert into lease select 'p1', lease_id from claim_deliveries('sender-1');
select pg_temp.check(report_client(pg_temp.id('p1'), true) >= '0', 'it begins') \g /dev/null
select pg_temp.check(report_client(pg_temp.id('p1'), true) > '0', 'and goes on') \g /dev/null
select pg_temp.check(report_client(pg_temp.id('p1'), false) is null, 'and ends') \g /dev/null
select pg_temp.check(report_client(1, true) is null, 'no such lease') \g /dev/null
select pg_temp.check(count(*) = 1, 'completed') from complete_deliveries(array[pg_temp.id('p1')]) \g /dev/null

-- What is refused, as invalid_parameter_value. Of an id that is there twice the first counts; ids that are not known are not returned.
select pg_temp.refuses('22023', 'select ' || call)
from unnest(array[
    'report_client(null, true)', 'report_client(1, null)',
    'claim_deliveries(null)', 'claim_deliveries('''')', 'claim_deliveries(''s'', null)', 'claim_deliveries(''s'', 0)',
    'claim_deliveries(''s'', 1001)', 'claim_deliveries(''s'', 1, null)', 'claim_deliveries(''s'', 1, ''0.9 s'')',
    'claim_deliveries(''s'', 1, ''12 h 1 s'')',
    'extend_deliveries(null, ''1 s'')', 'extend_deliveries(''{1,null}'', ''1 s'')', 'extend_deliveries(''{1}'', null)',
    'extend_deliveries(''{1}'', ''0 s'')', 'extend_deliveries(''{1}'', ''13 h'')',
    'complete_deliveries(null)', 'complete_deliveries(''{null}'')', 'complete_deliveries(array_fill(1::bigint, ''{1001}''))',
    'fail_deliveries(null, ''{}'')', 'fail_deliveries(''{1}'', null)', 'fail_deliveries(''{1}'', ''{}'')', 'fail_deliveries(''{1}'', ''{a,b}'')',
    'fail_deliveries(''{null}'', ''{a}'')', 'fail_deliveries(''{1}'', ''{a}'', ''{}'')', 'fail_deliveries(''{1}'', ''{a}'', null, ''{t,f}'')',
    'fail_deliveries(''{1}'', ''{a}'', ''{8 days}'')', 'fail_deliveries(''{1}'', ''{a}'', ''{-1 s}'')',
    'release_deliveries(null)', 'release_deliveries(''{1}'', null)', 'release_deliveries(''{1}'', ''-1 s'')',
    'release_deliveries(''{1}'', ''7 days 1 s'')', 'disable_client(null, ''x'')', 'disable_client(1, null)'
]) as call \g /dev/null

-- An error of more than 1 KiB is cut, in whole characters.
select pg_temp.store('o9', 'warehouse') \g /dev/null
select fail_deliveries(array(select lease_id from claim_deliveries('sender-1')), array[repeat('é', 1000)]) \g /dev/null
reset role;
select pg_temp.check(octet_length(error) = 1024 and error = repeat('é', 512), 'cut') from delivery_log where event_id = 'o9' \g /dev/null
select pg_temp.check(counts = '{"clients": 1}' and arguments = '{shop,billing,410 Gone}' and operator = 'sender-1', 'audited')
from audit where command = 'disable_client' \g /dev/null
\echo the contract is kept
