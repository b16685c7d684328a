-- What each role is to have and has not yet, as the statements that give it; a role's in the order in which they are to be run. A policy comes
-- before the grant of its table, so that no reader has a table without it. Or, where a role is named: what that one lacks to be the daemon's.
with
    rights (role, privilege, columns, objects) as (
        values
        -- The daemon's: what is in src/store, src/snapshot and src/ingest. It can neither change nor delete a message.
        ('writer', 'select', null, 'catalog tenant event_type event_schema client subscription queue _sqlx_migrations'),
        ('writer', 'select', 'tenant_id, source, event_id, event_type, client_id, payload, payload_hash', 'message'),
        ('writer', 'insert', null, 'message delivery dead_letter poison_attempt'),
        -- Of dead letters all that an upsert takes from what it was to insert, which is a right to read to Postgres.
        ('writer', 'select', null, 'dead_letter poison_attempt'),
        ('writer', 'update', 'times_begun, last_begun_at', 'poison_attempt'),
        ('writer', 'delete', null, 'poison_attempt'),
        -- How tenants are.
        ('writer', 'select', null, 'tenant_activity'),
        ('writer', 'insert', null, 'tenant_activity'),
        ('writer', 'update', null, 'tenant_activity'),
        -- What waits, for its metrics.
        ('writer', 'select', null, 'metrics_turn delivery_mark'),
        ('writer', 'select', 'tenant_id, due_at', 'delivery'),
        ('writer', 'update', 'holder, ends_at', 'metrics_turn'),
        (
            'writer', 'update',
            'tenant_id, source, event_id, event_type, schema_version, reason, rule, errors, body, attributes, sender_id, queue_tenant, '
            'queue_format, catalog_generation, receive_count, sent_at, message_group, sequence_number, traceparent, '
            'queue_trusts_any_sender, claimed_tenant, last_seen_at, replayed_at, replay_outcome, replay_reason',
            'dead_letter'
        ),
        -- The commands'.
        (
            'operator', 'select', null,
            'catalog tenant event_type event_schema client subscription queue _sqlx_migrations message delivery delivery_log delivery_state '
            'dead_letter poison_attempt audit tenant_reader client_failing tenant_activity tenant_health'
        ),
        (
            'operator', 'insert', null,
            'tenant event_type event_schema client subscription queue message delivery delivery_log dead_letter poison_attempt audit '
            'tenant_reader'
        ),
        ('operator', 'update', 'generation, applied_at', 'catalog'),
        ('operator', 'update', 'name, allowed_senders, rate_limit, rate_burst, active, state, state_reason', 'tenant'),
        ('operator', 'update', 'default_version, active', 'event_type'),
        ('operator', 'update', 'active', 'event_schema subscription'),
        ('operator', 'update', 'name, retry, settings, active, state, state_reason, resumed_at', 'client'),
        ('operator', 'update', 'url, tenant_id, format, trusts_any_sender, active', 'queue'),
        ('operator', 'update', 'due_at', 'delivery'),
        (
            'operator', 'update',
            'tenant_id, source, event_id, event_type, schema_version, reason, rule, errors, body, attributes, sender_id, queue_tenant, '
            'queue_format, catalog_generation, receive_count, sent_at, message_group, sequence_number, traceparent, '
            'queue_trusts_any_sender, claimed_tenant, last_seen_at, replayed_at, replay_outcome, replay_reason, replays, replay_rule, '
            'replay_errors, discarded_at, discard_reason',
            'dead_letter'
        ),
        ('operator', 'update', 'times_begun, last_begun_at', 'poison_attempt'),
        ('operator', 'update', 'counts, ended_at', 'audit'),
        ('operator', 'delete', null, 'delivery poison_attempt tenant_reader'),
        ('operator', 'execute', null, 'delivery_matching delivery_wake delivery_webhook_id'),
        -- Whoever delivers: the functions of the hand-off alone.
        (
            'sender', 'execute', null,
            'claim_deliveries extend_deliveries complete_deliveries fail_deliveries release_deliveries disable_client report_client'
        ),
        -- The tenants' own people: of each table the rows of their tenants.
        (
            'reader', 'select', null,
            'tenant_reader tenant event_type event_schema client subscription message delivery delivery_log dead_letter delivery_state '
            'tenant_activity tenant_health'
        )
    ),
    roles as (
        select role, name, to_regrole(quote_ident(name)) as id
        from
            unnest(array['owner', 'writer', 'operator', 'sender', 'reader']) as role,
            coalesce($1, 'event_processor_' || role) as name
        where $1::text is null or role = 'writer'
    ),
    wanted as (
        select
            row_number() over () as line, rights.role, roles.name as role_name, roles.id as role_id, rights.privilege, rights.columns,
            object.nth, format('%I.%I', current_schema(), object.name) as object,
            to_regclass(format('%I.%I', current_schema(), object.name)) as relation,
            (select p.oid from pg_proc p where p.pronamespace = current_schema()::regnamespace and p.proname = object.name) as function
        from rights
        join roles using (role)
        cross join lateral unnest(string_to_array(rights.objects, ' ')) with ordinality as object (name, nth)
    ),
    missing as (
        select *
        from wanted
        where not coalesce(
            case
                when privilege = 'execute' then has_function_privilege(role_id, function, 'execute')
                when columns is null then has_table_privilege(role_id, relation, privilege)
                else (
                    select bool_and(has_column_privilege(role_id, relation, name, privilege))
                    from unnest(string_to_array(columns, ', ')) as name
                )
            end,
            false
        )
    ),
    statements (role, step, line, statement) as (
        select role, 1, 0, format('create role %I nologin;', name)
        from roles
        where id is null
        union all
        select role, 2, 0, format('grant usage on schema %I to %I;', current_schema(), name)
        from roles
        where role <> 'owner' and not coalesce(has_schema_privilege(id, current_schema(), 'usage'), false)
        union all
        -- By the name under which a session has its rights, which no setting changes but to another role of its own.
        select
            role, 3, nth,
            format(
                'create policy readers on %s as restrictive to %I using (%s);', object, role_name,
                case
                    when object = format('%I.tenant_reader', current_schema()) then 'role_name = current_user'
                    else format(
                        'tenant_id = any (array(select own.tenant_id from %I.tenant_reader own where own.role_name = current_user))',
                        current_schema()
                    )
                end
            )
        from wanted
        where
            role = 'reader'
            and (select relkind <> 'v' from pg_class where oid = relation)
            and not exists (select from pg_policy where polrelid = relation and polname = 'readers')
        union all
        select
            role, 4, min(line),
            format(
                'grant %s%s on %s%s to %I;', privilege, ' (' || columns || ')', case when privilege = 'execute' then 'function ' else '' end,
                string_agg(object, ', ' order by nth), role_name
            )
        from missing
        group by role, role_name, privilege, columns
    )
select role as "role!", statement as "statement!"
from statements
order by array_position(array['owner', 'writer', 'operator', 'sender', 'reader'], role), step, line
