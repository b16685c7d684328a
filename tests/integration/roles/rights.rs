//! What each role may do, table by table: nothing is added without being said here.

use super::{sqlstate, stack_of_two_tenants};
use crate::stack::Database;

/// A line for each table and view: the rights to all of it, and those to some of its columns.
async fn rights(database: &Database, role: &str) -> Vec<String> {
    let sql = format!(
        "select relname || ': ' || string_agg(
            case when has_table_privilege('{role}', oid, privilege) then privilege else privilege || ' of columns' end, ', ' order by nth)
        from pg_class, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'])
            with ordinality as p (privilege, nth)
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'f')
            and case when privilege in ('delete', 'truncate', 'trigger') then has_table_privilege('{role}', oid, privilege)
                else has_any_column_privilege('{role}', oid, privilege) end
        group by relname order by relname"
    );
    database.rows(&sql).await
}

#[tokio::test]
async fn each_role_has_what_its_program_needs_and_nothing_else() {
    let database = Database::create().await;
    let expected = [
        (
            "writer",
            vec![
                "_sqlx_migrations: select",
                "catalog: select",
                "client: select",
                "dead_letter: select, insert, update of columns",
                "delivery: select of columns, insert",
                "delivery_mark: select",
                "event_schema: select",
                "event_type: select",
                "message: select of columns, insert",
                "metrics_turn: select, update of columns",
                "poison_attempt: select, insert, update of columns, delete",
                "queue: select",
                "subscription: select",
                "tenant: select",
                "tenant_activity: select, insert, update",
            ],
        ),
        (
            "operator",
            vec![
                "_sqlx_migrations: select",
                "audit: select, insert, update of columns",
                "catalog: select, update of columns",
                "client: select, insert, update of columns",
                "client_failing: select",
                "dead_letter: select, insert, update of columns",
                "delivery: select, insert, update of columns, delete",
                "delivery_log: select, insert",
                "delivery_state: select",
                "event_schema: select, insert, update of columns",
                "event_type: select, insert, update of columns",
                "message: select, insert",
                "poison_attempt: select, insert, update of columns, delete",
                "queue: select, insert, update of columns",
                "subscription: select, insert, update of columns",
                "tenant: select, insert, update of columns",
                "tenant_activity: select",
                "tenant_health: select",
                "tenant_reader: select, insert, delete",
            ],
        ),
        ("sender", vec![]),
    ];
    for (role, lines) in expected {
        assert_eq!(rights(&database, &format!("event_processor_{role}")).await, lines, "{role}");
    }
    let unguarded = "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'v'
        and not coalesce('security_invoker=true' = any(reloptions), false)";
    assert_eq!(database.rows(unguarded).await, Vec::<String>::new(), "a view with its owner's rights shows readers everything");
    let owners = "select distinct tableowner::text from pg_tables where schemaname = 'public'";
    assert_eq!(database.rows(owners).await, ["event_processor_owner"]);
}

/// Each statement that the writer's rights do not allow, on each table and column, and what Postgres says to it.
#[tokio::test]
async fn the_writer_can_neither_change_nor_delete_a_message_nor_anything_else_that_it_need_not() {
    let stack = stack_of_two_tenants().await;
    let database = &stack.database;
    let columns = "select format('update %I set %I = default where false', c.relname, a.attname)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
            and not has_column_privilege('event_processor_writer', c.oid, a.attname, 'update')";
    let tables = "select format(statement, c.relname)
        from pg_class c, (values
            ('select', 'select * from %I limit 0'), ('insert', 'insert into %I default values'), ('delete', 'delete from %I where false'),
            ('truncate', 'truncate %I'), ('trigger', 'create trigger t after insert on %I execute function suppress_redundant_updates_trigger()')
        ) as s (privilege, statement)
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not has_table_privilege('event_processor_writer', c.oid, privilege)";
    let statements = [database.rows(columns).await, database.rows(tables).await].concat();
    for certain in ["update message set payload = default where false", "delete from message where false", "truncate message"] {
        assert!(statements.iter().any(|statement| statement == certain), "{certain}");
    }
    let before = database.rows("select * from message order by tenant_id, source, event_id").await;
    let mut writer = database.connect().await;
    assert_eq!(sqlstate(&mut writer, "set role event_processor_writer").await, "00000");
    for statement in &statements {
        assert_eq!(sqlstate(&mut writer, statement).await, "42501", "{statement}");
    }
    let functions = "select proname from pg_proc where pronamespace = 'public'::regnamespace
        and has_function_privilege('event_processor_writer', oid, 'execute')";
    assert_eq!(database.rows(functions).await, Vec::<String>::new());
    assert_eq!(database.rows("select * from message order by tenant_id, source, event_id").await, before);
    println!("{} statements refused", statements.len());
}

/// That a policy lets everything through costs the writer nothing: what is planned for it is what is planned for the owner.
#[tokio::test]
async fn the_writer_finds_what_is_stored_by_the_key_as_the_owner_does() {
    let stack = stack_of_two_tenants().await;
    let arrays = "'{1}'::integer[], '{shop}'::text[], '{web}'::text[], '{event-1}'::text[]";
    let statement =
        include_str!("../../../src/store/select_stored.sql").replace("$1::integer[], $2::text[], $3::text[], $4::text[]", arrays);
    let mut connection = stack.database.connect().await;
    let mut plans = Vec::new();
    for role in ["event_processor_writer", "event_processor_owner"] {
        let settings = format!("set role {role}; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off");
        assert_eq!(sqlstate(&mut connection, &settings).await, "00000");
        let explain = sqlx::AssertSqlSafe(format!("explain (verbose, costs off) {statement}"));
        let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.expect("a plan");
        plans.push(plan.join("\n"));
    }
    assert!(plans[0].contains("Index Scan using message_pkey"), "{}", plans[0]);
    assert_eq!(plans[0], plans[1]);
}
