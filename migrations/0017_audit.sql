-- What operators have changed by commands, a row for each command, written in the transactions of what it counts.
-- For: select * from audit order by at desc;
create table audit (
    audit_id uuid primary key,
    at timestamptz not null default now(),
    database_user text not null default session_user,
    -- Who says to have run it: OPERATOR, else the system's user.
    operator text not null,
    command text not null,
    arguments text[] not null,
    counts jsonb not null,
    -- null: it is under way, or was interrupted.
    ended_at timestamptz
);
