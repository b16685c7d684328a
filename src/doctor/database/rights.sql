-- What the daemon needs and this role lacks, as a grant would give it. A right on some columns counts: which ones, the daemon's own probe tries.
select format('%s on %s', string_agg(privilege, ', ' order by privilege), table_name) as "lacking!"
from (
    values
    ('_sqlx_migrations', 'select'),
    ('catalog', 'select'), ('tenant', 'select'), ('event_type', 'select'), ('event_schema', 'select'), ('client', 'select'),
    ('subscription', 'select'), ('queue', 'select'),
    ('message', 'select'), ('message', 'insert'),
    ('delivery', 'select'), ('delivery', 'insert'), ('delivery_mark', 'select'), ('metrics_turn', 'select'), ('metrics_turn', 'update'),
    ('dead_letter', 'select'), ('dead_letter', 'insert'), ('dead_letter', 'update'),
    ('poison_attempt', 'select'), ('poison_attempt', 'insert'), ('poison_attempt', 'update'), ('poison_attempt', 'delete'),
    ('tenant_activity', 'select'), ('tenant_activity', 'insert'), ('tenant_activity', 'update')
) as needed (table_name, privilege)
where
    not case privilege
        when 'delete' then has_table_privilege(table_name, privilege)
        else has_any_column_privilege(table_name, privilege)
    end
group by table_name
order by table_name
