-- One row: which replica tells what waits in the database, and until when unless it says so again. For `src/store/take_backlog_turn.sql`.
create table metrics_turn (
    only_row boolean primary key default true check (only_row),
    holder bigint,
    ends_at timestamptz not null default '-infinity'
);
insert into metrics_turn default values;
