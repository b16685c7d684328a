-- All that a replay needs, in one rewrite of the table; what is there keeps all that it has.
alter table dead_letter
    -- json holds what jsonb cannot: a \u0000 in a string, and the text as it was.
    alter column attributes drop default,
    alter column attributes type json using attributes::json,
    alter column attributes set default '{}',
    -- FIFO, else null.
    add column message_group text,
    add column sequence_number text,
    add column traceparent text,
    -- Whether every sender might write for every tenant when it was received; null: not recorded, which is as good as not.
    add column queue_trusts_any_sender boolean,
    -- The tenant that the body names, proven by nobody.
    add column claimed_tenant text collate "C",
    -- Of the latest replay that was rejected again, as `rule` and `errors` are of the first time.
    add column replay_rule text,
    add column replay_errors jsonb,
    add column replays integer not null default 0,
    add column is_open boolean
        generated always as (discarded_at is null and (replay_outcome is null or replay_outcome = 'rejected')) stored;
