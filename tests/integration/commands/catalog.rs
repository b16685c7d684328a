//! `processor catalog check` and `apply`.

use serde_json::json;

use crate::stack::{Database, PROCESSOR, sample_catalog};
use crate::terminal::{Terminal, copy};

/// A directory with the sample catalog in `schemas`, and a database.
async fn start() -> (Database, Terminal) {
    let database = Database::create().await;
    let terminal = Terminal::with(vec![("DATABASE_URL", database.url.clone())]);
    copy(&sample_catalog(), &terminal.directory.0.join("schemas"));
    (database, terminal)
}

/// All that the catalog's tables hold.
async fn contents(database: &Database) -> Vec<String> {
    let tables = ["catalog", "tenant", "event_type", "event_schema", "client", "subscription"];
    let all = tables.map(|table| format!("select '{table}' as name, row_to_json(t)::text as row from {table} t"));
    database.rows(&format!("select * from ({}) as rows order by 1, 2", all.join(" union all "))).await
}

#[tokio::test]
async fn a_good_directory_is_checked_without_a_database_and_applied_into_one() {
    let (database, terminal) = start().await;
    let alone = Terminal { environment: Vec::new(), directory: crate::stack::Directory::create() };
    copy(&sample_catalog(), &alone.directory.0.join("schemas"));
    let checked = alone.run(PROCESSOR, &["catalog", "check"]).await;
    assert_eq!((checked.status, checked.errors.as_str()), (0, ""));
    let location = |terminal: &Terminal| terminal.directory.0.join("schemas").display().to_string();
    assert!(checked.output.starts_with(&format!("{} is good: 5 tenants, 13 event types, ", location(&alone))), "{checked:?}");
    let checked = alone.run(PROCESSOR, &["catalog", "check", "schemas", "--json"]).await.json();
    assert_eq!((&checked["directory"], &checked["tenants"]), (&json!(location(&alone)), &json!(5)));

    let first = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    assert_eq!((first.status, first.errors.as_str()), (0, ""));
    assert!(
        first.output.starts_with(&format!("{} is applied: catalog generation 1\n", location(&terminal)))
            && first.output.contains("\n    + schema order.created/2.json"),
        "{first:?}"
    );
    terminal.directory.write("schemas/platform/extra/1.json", "{\"type\": \"string\"}");
    let second = terminal.run(PROCESSOR, &["catalog", "apply", "schemas", "--json"]).await.json();
    assert_eq!((&second["generation"], &second["directory"]), (&json!(2), &json!(location(&terminal))));
    let added = second["tenants"].as_array().expect("tenants").iter().find(|tenant| tenant["tenant_id"] == "platform").expect("platform");
    assert_eq!(added["added"], json!([{"kind": "event_type", "name": "extra"}, {"kind": "schema", "name": "extra/1.json"}]));
    // What left the files stays.
    std::fs::remove_dir_all(terminal.directory.0.join("schemas/platform/extra")).expect("removed");
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply"]).await.status, 0);
    assert_eq!(database.count("select count(*) from event_type where event_type = 'extra' and active").await, 1);
}

/// What is active of these tenants, by table.
async fn active(database: &Database, tenant: &str) -> Vec<String> {
    let names = [
        ("tenant", "tenant_id"),
        ("event_type", "event_type"),
        ("event_schema", "bundle ->> 'root'"),
        ("client", "client_id"),
        ("subscription", "event_pattern"),
    ];
    let all = names.map(|(table, name)| format!("select {name} as name from {table} where active and tenant_id = '{tenant}'"));
    database.rows(&format!("{} order by 1", all.join(" union all "))).await
}

#[tokio::test]
async fn what_left_the_files_is_told_and_stays_until_it_is_pruned_and_is_back_when_it_comes_back() {
    let (database, terminal) = start().await;
    let write = |path: &str, text: &str| terminal.directory.write(&format!("schemas/{path}"), text);
    let declare = || {
        write("acme/tenant.toml", "[clients.a]\n[clients.b]\n[[subscriptions]]\nclient = \"b\"\nevents = [\"*\"]");
        write("acme/note/1.json", "true");
        write("acme/note/2.json", "{}");
        write("acme/memo/1.json", "true");
        write("gone/tenant.toml", "[clients.c]");
        write("gone/note/1.json", "true");
    };
    let remove = |path: &str| std::fs::remove_dir_all(terminal.directory.0.join("schemas").join(path)).expect("removed");
    declare();
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply"]).await.status, 0);
    let all = [active(&database, "acme").await, active(&database, "gone").await];
    write("acme/tenant.toml", "[clients.a]");
    std::fs::remove_file(terminal.directory.0.join("schemas/acme/note/2.json")).expect("removed");
    remove("acme/memo");
    remove("gone");

    let applied = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    for part in [
        "\n  acme: 0 added, 0 changed, 4 unchanged, 5 active without being in the files\n    ? client b\n    ? subscription b to *\n    \
         ? event type memo\n    ? schema memo/1.json\n    ? schema note/2.json\n",
        "\n  gone: 0 added, 0 changed, 0 unchanged, 4 active without being in the files\n    ? client c\n    ? tenant gone\n",
        "\nwhat is not in the files (?) stays active; `catalog apply --prune` deactivates it\n",
    ] {
        assert!(applied.output.contains(part), "{part} is not in {}", applied.output);
    }
    assert_eq!(applied.status, 0, "{applied:?}");
    assert_eq!([active(&database, "acme").await, active(&database, "gone").await], all);
    let told = terminal.run(PROCESSOR, &["catalog", "apply", "--json"]).await.json();
    let of = |told: &serde_json::Value, tenant: &str| {
        told["tenants"].as_array().expect("tenants").iter().find(|report| report["tenant_id"] == tenant).expect("the tenant").clone()
    };
    assert_eq!(of(&told, "gone")["undeclared"][1], json!({"kind": "tenant", "name": "gone"}));
    assert_eq!(of(&told, "crm")["undeclared"], json!([]));

    let pruned = terminal.run(PROCESSOR, &["catalog", "apply", "--prune"]).await;
    assert_eq!(pruned.status, 0, "{pruned:?}");
    for part in ["\n  acme: 0 added, 0 changed, 4 unchanged, 5 deactivated\n    - client b\n", "\n    - tenant gone\n"] {
        assert!(pruned.output.contains(part), "{part} is not in {}", pruned.output);
    }
    assert!(!pruned.output.contains('?'), "{pruned:?}");
    assert_eq!(active(&database, "acme").await, ["a", "acme", "note", "note/1.json"]);
    assert_eq!(active(&database, "gone").await, Vec::<String>::new());
    assert_eq!(database.count("select count(*) from event_schema where tenant_id in ('acme', 'gone')").await, 4, "deleted");
    let again = terminal.run(PROCESSOR, &["catalog", "apply", "--prune", "--tenant", "gone", "--json"]).await.json();
    assert_eq!((&of(&again, "acme")["pruned"], &of(&again, "acme")["undeclared"]), (&json!([]), &json!([])));

    declare();
    let back = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    assert!(back.output.contains("\n  gone: 0 added, 4 changed, 0 unchanged\n    ~ tenant gone\n"), "{back:?}");
    assert_eq!([active(&database, "acme").await, active(&database, "gone").await], all);
}

#[tokio::test]
async fn a_tenant_that_has_stored_lately_is_pruned_only_when_it_is_named() {
    let (database, terminal) = start().await;
    for tenant in ["busy", "calm", "idle"] {
        terminal.directory.write(&format!("schemas/{tenant}/tenant.toml"), "");
        terminal.directory.write(&format!("schemas/{tenant}/note/1.json"), "true");
    }
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply"]).await.status, 0);
    for (tenant, days) in [("busy", 6), ("calm", 8)] {
        let columns = "tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, \
                       catalog_generation, received_at";
        let values = format!("'{tenant}', '', 'e', 'note', 1, '1', sha256('1'), 'q', 'm', 1, now() - interval '{days} days'");
        database.execute(&format!("insert into message ({columns}) values ({values})")).await;
        std::fs::remove_dir_all(terminal.directory.0.join("schemas").join(tenant)).expect("removed");
    }
    std::fs::remove_dir_all(terminal.directory.0.join("schemas/idle")).expect("removed");

    let pruned = terminal.run(PROCESSOR, &["catalog", "apply", "--prune"]).await;
    let sentence = "\nbusy is not in the files, yet has stored an event within seven days and stays active; to deactivate it all the same \
                    add `--tenant busy`\n";
    assert!(pruned.status == 0 && pruned.output.contains(sentence), "{pruned:?}");
    let tenants = "select tenant_id, active from tenant where tenant_id in ('busy', 'calm', 'idle') order by 1";
    assert_eq!(database.rows(tenants).await, ["busy | true", "calm | false", "idle | false"]);
    assert_eq!(active(&database, "busy").await, ["busy", "note", "note/1.json"]);

    let without = terminal.run(PROCESSOR, &["catalog", "apply", "--tenant", "busy"]).await;
    assert!(without.status == 64 && without.errors.contains("--prune"), "{without:?}");
    let declared = terminal.run(PROCESSOR, &["catalog", "apply", "--prune", "--tenant", "busy", "--tenant", "shop"]).await;
    let problem = "the value of --tenant is \"shop\": the files declare this tenant, so it is not pruned; take its directory out, or leave \
                   the flag out\n";
    assert_eq!((declared.status, declared.errors.as_str()), (78, problem));
    let told = terminal.run(PROCESSOR, &["catalog", "apply", "--prune", "--tenant", "busy", "--json"]).await.json();
    let report = told["tenants"].as_array().expect("tenants").iter().find(|report| report["tenant_id"] == "busy").expect("busy");
    assert_eq!((report["pruned"].as_array().map(Vec::len), &report["stored_lately"]), (Some(3), &json!(false)));
    assert_eq!(database.rows(tenants).await, ["busy | false", "calm | false", "idle | false"]);
}

#[tokio::test]
async fn what_a_draft_ignores_is_a_warning_and_with_strict_a_problem() {
    let (database, terminal) = start().await;
    let schema = r##"{"$schema": "http://json-schema.org/draft-07/schema#", "product": "Sample", "type": "object",
        "properties": {"data": {"$ref": "#/definitions/data", "description": "ignored", "minimum": 1}},
        "definitions": {"data": {"type": "string", "format": "binary"}}}"##;
    terminal.directory.write("schemas/shop/note/1.json", schema);
    let problems = [
        "#/product: is no keyword of this draft and checks nothing; correct it, or begin it with `x-` if it only describes",
        "#/definitions/data/format: `binary` is no format of this draft and checks nothing; use one that it has, a newer draft, or a `pattern`",
        "#/properties/data/minimum: is ignored beside `$ref` in this draft; put both into an `allOf`",
    ];
    let mut sorted = problems.map(|problem| ("schemas/shop/note/1.json", problem));
    sorted.sort_unstable();
    let lines = |kind: &str| sorted.map(|(file, problem)| format!("{file}: {kind}{problem}\n")).concat();
    let generations = "select count(*) from catalog";
    for command in ["check", "apply"] {
        let ended = terminal.run(PROCESSOR, &["catalog", command, "--strict"]).await;
        assert_eq!((ended.status, ended.output), (65, lines("")), "{command}");
        assert!(ended.errors.starts_with("3 problems; "), "{}", ended.errors);
    }
    assert_eq!(database.count(&format!("{generations} where generation > 0")).await, 0);
    for command in ["check", "apply"] {
        let ended = terminal.run(PROCESSOR, &["catalog", command]).await;
        assert_eq!((ended.status, ended.errors.as_str()), (0, ""), "{command}");
        assert!(ended.output.starts_with(&lines("warning: ")), "{}", ended.output);
        let told = terminal.run(PROCESSOR, &["catalog", command, "--json"]).await.json();
        assert_eq!(told["warnings"].as_array().map(Vec::len), Some(3), "{told}");
        assert_eq!(told["warnings"][0], json!({"file": sorted[0].0, "message": sorted[0].1}));
    }
}

/// With this file the directory is refused, by `check` and by `apply`, with this sentence; nothing is applied.
async fn check_refused(database: &Database, file: &str, text: &str, sentence: &str) {
    let terminal = Terminal::with(vec![("DATABASE_URL", database.url.clone())]);
    copy(&sample_catalog(), &terminal.directory.0.join("schemas"));
    terminal.directory.write(file, text);
    let before = contents(database).await;
    for command in ["check", "apply"] {
        let ended = terminal.run(PROCESSOR, &["catalog", command]).await;
        let consequence = if command == "check" { "cannot be applied" } else { "was not applied" };
        let said = format!("1 problem; {} {consequence}\n", terminal.directory.0.join("schemas").display());
        assert_eq!((ended.status, ended.errors), (65, said), "{command}");
        assert_eq!(ended.output, format!("{sentence}\n"), "{command}");
        let ended = terminal.run(PROCESSOR, &["catalog", command, "--json"]).await;
        let (location, message) = sentence.split_once(": ").expect("a file and a sentence");
        assert_eq!((ended.status, ended.json()), (65, json!([{"file": location, "message": message}])), "{command}");
    }
    assert_eq!(contents(database).await, before);
}

#[tokio::test]
async fn what_is_wrong_or_not_supported_is_refused_with_a_sentence() {
    let (database, terminal) = start().await;
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply"]).await.status, 0);
    let later = "is not supported by this build yet; take it out";
    for (field, name) in [
        ("compatibility = \"full\"", "compatibility"),
        ("compatibility = \"backward\"", "compatibility"),
        ("[event_types.note]\nmode = \"observe\"", "event_types.note.mode"),
    ] {
        let terminal_file = "schemas/new/tenant.toml";
        let note = Terminal::with(Vec::new());
        copy(&sample_catalog(), &note.directory.0.join("schemas"));
        note.directory.write("schemas/new/note/1.json", "true");
        note.directory.write(terminal_file, field);
        let ended = note.run(PROCESSOR, &["catalog", "check"]).await;
        assert_eq!((ended.status, ended.output), (65, format!("{terminal_file}: {name}: {later}\n")), "{field}");
    }
    let queues = "schemas/queues.toml: x: is not a field; each queue is a table [[queues]]";
    check_refused(&database, "schemas/queues.toml", "x = 1", queues).await;
    let example = "schemas/platform/user-app/examples/valid/number.json: is in `valid/` but breaks user-app/1.json: the payload: expected a \
         string, found number (user-app/1.json#/type); mend it, or move it to `invalid/`";
    check_refused(&database, "schemas/platform/user-app/examples/valid/number.json", "7", example).await;
    let outside = "schemas/shop/order.sent/1.json: #/$ref: `../../crm/order.created/1.json` leads out of the tenant's directory; ";
    let terminal = Terminal::with(Vec::new());
    terminal.directory.write("schemas/shop/tenant.toml", "");
    terminal.directory.write("schemas/shop/order.sent/1.json", r#"{"$ref": "../../crm/order.created/1.json"}"#);
    let ended = terminal.run(PROCESSOR, &["catalog", "check"]).await;
    assert!(ended.status == 65 && ended.output.starts_with(outside), "{ended:?}");

    for name in ["other", "unknown"] {
        let sentence = "is what metrics call tenants that have no label of their own, so no tenant can be called so; rename it";
        check_refused(&database, &format!("schemas/{name}/tenant.toml"), "", &format!("schemas/{name}: {sentence}")).await;
    }
    let missing = terminal.run(PROCESSOR, &["catalog", "check", "nowhere"]).await;
    assert!(missing.status == 65 && missing.output.starts_with("nowhere: cannot be listed ("), "{missing:?}");
}

#[tokio::test]
async fn a_published_version_that_changed_through_what_it_refers_to_is_refused_and_nothing_is_changed() {
    let (database, terminal) = start().await;
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply"]).await.status, 0);
    let before = contents(&database).await;
    let money = terminal.directory.0.join("schemas/shop/common/money.json");
    let text = std::fs::read_to_string(&money).expect("a schema");
    std::fs::write(&money, text.replace("100000000000", "200000000000")).expect("written");
    // Beside it something that could be applied.
    terminal.directory.write("schemas/platform/extra/1.json", "true");

    assert_eq!(terminal.run(PROCESSOR, &["catalog", "check"]).await.status, 0);
    let refused = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    assert_eq!((refused.status, refused.output.as_str()), (65, ""));
    let change = |version: &str| {
        format!(
            "\n  shop/{version}.json is published and cannot change any more, but differs now in common/money.json; restore what was \
             published, and declare the change as a new version"
        )
    };
    let changes: String = ["order.canceled/1", "order.created/1", "order.created/2", "order.paid/1"].map(change).concat();
    assert_eq!(refused.errors, format!("failed to publish the catalog, nothing was changed:{changes}\n"));
    assert_eq!(contents(&database).await, before);

    // Formatting is free.
    let compact = serde_json::from_str::<serde_json::Value>(&text).expect("JSON").to_string();
    std::fs::write(&money, compact).expect("written");
    let applied = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    assert!(applied.status == 0 && applied.output.contains("shop: 0 added, 0 changed,"), "{applied:?}");
}

#[tokio::test]
async fn an_event_type_with_a_name_of_its_own_is_applied_and_its_directory_stays_what_it_is() {
    let (database, terminal) = start().await;
    terminal.directory.write("schemas/crm/order-paid/event_type.toml", "name = \"Order Paid\"\n");
    terminal.directory.write("schemas/crm/order-paid/1.json", "true");
    let checked = terminal.run(PROCESSOR, &["catalog", "check"]).await;
    assert!(checked.status == 0 && checked.output.contains("14 event types"), "{checked:?}");
    let applied = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    for line in ["\n    + event type Order Paid\n", "\n    + schema order-paid/1.json\n"] {
        assert!(applied.status == 0 && applied.output.contains(line), "{applied:?}");
    }
    assert_eq!(database.count("select count(*) from event_schema where event_type = 'Order Paid'").await, 1);
    let [from, to] = ["order-paid", "paid"].map(|name| terminal.directory.0.join("schemas/crm").join(name));
    std::fs::rename(from, to).expect("renamed");
    let renamed = terminal.run(PROCESSOR, &["catalog", "apply"]).await;
    let sentence =
        "\n  crm/paid/1.json is published and cannot change any more, but differs now in order-paid/1.json, paid/1.json; restore";
    assert!(renamed.status == 65 && renamed.errors.contains(sentence), "{renamed:?}");
}
