-- The row of a command: at its first transaction, and again at each that follows.
insert into audit (audit_id, operator, command, arguments, counts, ended_at)
values ($1::text::uuid, $2, $3, $4, $5::text::jsonb, case when $6::boolean then now() end)
on conflict (audit_id) do update set counts = excluded.counts, ended_at = excluded.ended_at
