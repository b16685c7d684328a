-- The transaction's own id, to ask for its outcome after the commit, and the generation under which its verdicts must be final. What it inserts
-- is to be delivered; said here, since what a connection says when it begins may get lost in a pooler.
select
    pg_current_xact_id()::text as "xid!",
    (select generation from catalog) as "generation!",
    set_config('event_processor.makes_deliveries', 'on', true) as "makes_deliveries!"
