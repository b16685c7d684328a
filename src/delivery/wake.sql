-- In a statement of its own: it sees what the one before has left.
select delivery_wake($1::text::delivery[], clock_timestamp())::text as woken
