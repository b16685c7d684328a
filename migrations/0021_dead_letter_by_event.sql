-- no-transaction
-- An event's dead letters, open or not: for `src/trace/dead_letters.sql` and `src/dead_letter/contested.sql`.
create index concurrently dead_letter_by_event on dead_letter (event_id)
where event_id is not null;
