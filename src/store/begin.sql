-- The transaction's own id, to ask for its outcome after the commit, and the generation under which its verdicts must be final.
select
    pg_current_xact_id()::text as "xid!",
    (select generation from catalog) as "generation!"
