//! What a tenant's own people see.

use event_processor::queue::Queue;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Login, dump, sqlstate, stack_of_two_tenants};
use crate::stack::{PROCESSOR, Stack, eventually, sample_catalog};
use crate::terminal::Terminal;

/// Everything that has rows and that this session may read anything of, and every function that it may call.
const READABLE: &str = "select relname::text from pg_class
    where relnamespace = 'public'::regnamespace
        and case
            when relkind = 'S' then has_sequence_privilege(oid, 'select') or has_sequence_privilege(oid, 'usage')
            when relkind in ('r', 'v', 'm', 'p', 'f') then has_any_column_privilege(oid, 'select')
            else false
        end
    union all
    select proname || '()' from pg_proc where pronamespace = 'public'::regnamespace and has_function_privilege(oid, 'execute')
    order by 1";

const OF_READERS: [&str; 13] = [
    "client",
    "dead_letter",
    "delivery",
    "delivery_log",
    "delivery_state",
    "event_schema",
    "event_type",
    "message",
    "subscription",
    "tenant",
    "tenant_activity",
    "tenant_health",
    "tenant_reader",
];

async fn grant_reader(stack: &Stack, tenant: &str, login: &Login) {
    let granted = Terminal::with(stack.environment()).run(PROCESSOR, &["tenant", "grant-reader", tenant, &login.name]).await;
    assert_eq!(granted.output, format!("role {} reads the rows of tenant {tenant} from now on\n", login.name), "{granted:?}");
}

/// How many rows a table shows of this tenant (or, by `<>`, of others); none where it refuses.
async fn rows(connection: &mut PgConnection, table: &str, condition: &str) -> i64 {
    let sql = format!("select count(*) from public.{table} where tenant_id {condition}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap_or(0)
}

#[tokio::test]
async fn a_reader_sees_its_tenants_rows_and_no_other_ones_whatever_it_sets() {
    let stack = stack_of_two_tenants().await;
    let database = &stack.database;
    let login = Login::create(database, "").await;
    grant_reader(&stack, "shop", &login).await;
    let readable = login.database().rows(READABLE).await;
    assert_eq!(readable, OF_READERS, "whoever adds to these says here that readers are to have it");

    let mut reader = login.database().connect().await;
    let taken = "select 'set role ' || quote_ident(rolname) from pg_roles where pg_has_role(session_user, oid, 'member')";
    let mut settings = login.database().rows(taken).await;
    assert!(settings.contains(&"set role event_processor_reader".to_owned()), "{settings:?}");
    let others = [
        "reset role",
        "set row_security = off",
        "set session authorization default",
        "set session_replication_role = replica",
        "set role event_processor_owner",
        "set search_path = pg_temp, public",
        "set app.tenant_id = 'platform'",
        "set event_processor.tenant_id = 'platform'",
        "reset all",
    ];
    settings.extend(others.map(str::to_owned));
    for table in &readable {
        let (visible, all) = (rows(&mut reader, table, "= 'shop'").await, rows(&mut database.connect().await, table, "= 'shop'").await);
        assert!(visible == all && visible > 0, "{table}: {visible} of the tenant's {all} rows");
        for setting in &settings {
            let code = sqlstate(&mut reader, setting).await;
            assert_eq!(rows(&mut reader, table, "is distinct from 'shop'").await, 0, "{table} after {setting} ({code})");
        }
        assert!(
            table == "tenant_reader" || rows(&mut database.connect().await, table, "= 'platform'").await > 0,
            "{table} has others' rows"
        );
    }

    // A function of its own sees no row before the policy has let it through, and statistics tell nothing.
    let leak = "reset all; reset role; create temp table seen (tenant_id text);
        create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0001
            as $$ begin insert into seen values ($1); return true; end $$;
        select count(*) from message where pg_temp.leak(tenant_id)";
    assert_eq!(sqlstate(&mut reader, leak).await, "00000");
    let seen: Vec<String> = sqlx::query_scalar("select distinct tenant_id from seen").fetch_all(&mut reader).await.expect("rows");
    assert_eq!(seen, ["shop"]);
    let statistics = "select tablename::text from pg_stats where schemaname = 'public'";
    assert_eq!(login.database().rows(statistics).await, Vec::<String>::new());
}

#[tokio::test]
async fn readers_change_nothing_and_the_owner_and_a_dump_have_every_row() {
    let stack = stack_of_two_tenants().await;
    let login = Login::create(&stack.database, "").await;
    grant_reader(&stack, "shop", &login).await;
    let changes =
        "select relname, privilege from pg_class, unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger'])
        as privilege where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'p')
        and (has_table_privilege(oid, privilege) or privilege <> 'delete' and privilege <> 'truncate' and privilege <> 'trigger'
            and has_any_column_privilege(oid, privilege))";
    assert_eq!(login.database().rows(changes).await, Vec::<String>::new());
    let mut reader = login.database().connect().await;
    for statement in ["select from message for key share", "select 1; lock table message in share mode", "create table public.own (id int)"]
    {
        assert_eq!(sqlstate(&mut reader, statement).await, "42501", "{statement}");
    }

    let owner = Login::create(&stack.database, "in role event_processor_owner").await;
    for table in OF_READERS {
        let count = format!("select count(*) from {table}");
        assert_eq!(owner.database().count(&count).await, stack.database.count(&count).await, "{table}");
    }
    let dumped = dump(&owner.url, &["--data-only", "--table=message"]).await;
    let of = |tenant: &str| dumped.lines().filter(|line| line.starts_with(&format!("{tenant}\t"))).count();
    let counted = "select count(*) from message group by tenant_id order by tenant_id";
    assert_eq!(stack.database.rows(counted).await, [of("platform").to_string(), of("shop").to_string()]);
    assert!(dump(&owner.url, &[]).await.contains("CREATE POLICY readers ON public.message"));
}

/// A stranger names a tenant that is not theirs.
async fn forge(queue: &Queue) {
    let body = r#"{"tenant_id":"shop","event_id":"forged","event_type":"order.paid","payload":{"order_id":1}}"#;
    queue.send(body).await.expect("sent");
}

#[tokio::test]
async fn a_forged_tenant_is_a_dead_letter_that_the_victims_reader_does_not_see() {
    let stack = Stack::start(&["shared", "bound"]).await;
    let victim = Login::create(&stack.database, "").await;
    grant_reader(&stack, "shop", &victim).await;
    for name in ["shared", "bound"] {
        forge(&stack.queue(name).await).await;
    }
    let daemon = stack.daemon("shared,bound=platform", &[]).await;
    for name in ["shared", "bound"] {
        stack.at_rest(&stack.queue(name).await).await;
    }
    assert_eq!(daemon.stop().await, 0);
    let dead_letters = "select queue, reason, tenant_id, claimed_tenant from dead_letter order by queue";
    assert_eq!(stack.database.rows(dead_letters).await, ["bound | tenant_mismatch | - | shop", "shared | unauthorized_sender | - | shop"]);
    assert_eq!(victim.database().rows(dead_letters).await, Vec::<String>::new());
    assert_eq!(victim.database().count("select count(*) from message").await, 0);
}

/// How often the tables have been read as a whole or by an index, as far as the sessions have told it.
const CATALOG_READS: &str = "select seq_scan + idx_scan from pg_stat_user_tables where relname = 'subscription'";

#[tokio::test]
async fn what_a_reader_notifies_and_locks_is_in_nobodys_way() {
    let stack = Stack::start(&["events"]).await;
    let login = Login::create(&stack.database, "").await;
    grant_reader(&stack, "shop", &login).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.ready().await;
    eventually("the catalog was read", async || (stack.database.count(CATALOG_READS).await > 0).then_some(())).await;
    let before = stack.database.count(CATALOG_READS).await;
    let mut reader = login.database().connect().await;
    // The number is that of the lock of migrations.
    assert_eq!(sqlstate(&mut reader, "select pg_advisory_lock(28559150664676096)").await, "00000");
    for number in 0..500 {
        assert_eq!(sqlstate(&mut reader, &format!("notify catalog_changed, '{number}'; notify delivery_ready")).await, "00000");
    }
    let migrated = Terminal::with(stack.environment()).run(PROCESSOR, &["migrate"]).await;
    assert_eq!((migrated.status, migrated.output.as_str()), (0, "the tables are up to date\n"));
    stack.database.apply(&sample_catalog()).await;
    eventually("the new catalog is read", async || (daemon.metric("event_processor_catalog_generation", "").await > 1.5).then_some(()))
        .await;
    eventually("the session has told that", async || (stack.database.count(CATALOG_READS).await > before).then_some(())).await;
    // Applying reads them, too.
    let reads = stack.database.count(CATALOG_READS).await - before;
    assert!(reads < 20, "read {reads} times");
    assert_eq!(daemon.stop().await, 0);
}
