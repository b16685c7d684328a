//! Settings that are wrong, services that are away, and what is said then.

use std::collections::{BTreeMap, BTreeSet};

use crate::stack::{Database, PROCESSOR, PRODUCERS, SENDER};
use crate::terminal::{Ended, Terminal};

/// Where nothing listens: port 1 belongs to a service that no machine has any more.
const NOWHERE: &str = "postgres://someone:s3cret@127.0.0.1:1/events";

const OF_THE_SDK: [(&str, &str); 3] = [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// Runs a command line in an environment of these variables, with what the SDK needs unless a variable says otherwise.
async fn run(line: &str, variables: &[(&'static str, &str)]) -> Ended {
    let environment: BTreeMap<_, _> = OF_THE_SDK.iter().chain(variables).copied().collect();
    let terminal = Terminal::with(environment.into_iter().map(|(name, value)| (name, value.to_owned())).collect());
    let (program, arguments) = match line.split(' ').collect::<Vec<_>>() {
        words if words[0] == "producers" => (PRODUCERS, words[1..].to_vec()),
        words if words[0] == "sender" => (SENDER, words[1..].to_vec()),
        words => (PROCESSOR, words),
    };
    terminal.run(program, &arguments).await
}

/// A wrong setting: the command ends with 78 and a sentence that names it.
async fn check(line: &str, variables: &[(&'static str, &str)], sentence: &str) {
    let ended = run(line, variables).await;
    assert_eq!((ended.status, ended.errors.trim_end()), (78, sentence), "{line} {variables:?}");
    assert_eq!(ended.output, "", "{line} {variables:?}");
}

#[tokio::test]
async fn a_wrong_variable_is_named_with_its_value_and_what_would_be_right() {
    for (variable, value, sentence) in [
        ("VISIBILITY_TIMEOUT", "0", "write whole seconds as 60s, 5m or 60, from 1 to 43200 seconds"),
        ("VISIBILITY_TIMEOUT", "1500ms", "write whole seconds as 60s, 5m or 60, from 1 to 43200 seconds"),
        ("DRAIN_TIMEOUT", "soon", "write whole seconds as 60s, 5m or 60, from 1 to 3600 seconds"),
        ("IN_FLIGHT_EVENTS_MAX", "0", "write a whole number from 1 to 100000"),
        ("IN_FLIGHT_BYTES_MAX", "64MB", "write bytes as 1048576, 1024KiB or 1MiB, from 1048576 to 17179869184 bytes"),
        ("BATCH_ROWS_MAX", "-1", "write a whole number from 1 to 10000"),
        ("BODY_BYTES_MAX", "2MiB", "write bytes as 1048576, 1024KiB or 1MiB, from 1024 to 1048576 bytes"),
        ("TENANT_LABELS_MAX", "many", "write a whole number from 0 to 10000"),
        ("LISTEN_ADDRESS", "9464", "write an IP address and a port, as 127.0.0.1:9464 or [::]:9464"),
        ("LOG_FORMAT", "xml", "write one of json, text"),
        (
            "RUST_LOG",
            "a=b=c",
            "write a level (error, warn, info, debug, trace) or levels by module, as info,event_processor=debug; debug and trace apply to event_processor and processor alone",
        ),
        ("QUEUE_NAME", "events=acme", "write one queue's name; a list, a tenant or options go into QUEUES"),
        ("QUEUES", "a,,b", "in ``, `` is no queue's name: 1-80 letters, digits, - and _"),
        ("QUEUES", "a,a", "the queue `a` is listed twice; name each once"),
        (
            "QUEUES",
            "events=Acme",
            "in `events=Acme`, `Acme` is no tenant's name: those begin with a-z or 0-9, then a-z 0-9 . _ - up to 100 in all",
        ),
        (
            "QUEUES",
            "events?trust=all",
            "in `events?trust=all`, `trust=all` is no option; those are trust=any and format=, one of native, cloudevents, sns, eventbridge",
        ),
        ("QUEUES", "a?format=SNS", "in `a?format=SNS`, `SNS` is no format; those are native, cloudevents, sns, eventbridge"),
        ("QUEUES", "a?format=sns&format=sns", "in `a?format=sns&format=sns`, `format` is given twice; a queue has one"),
        (
            "QUEUES",
            "events=acme?trust=any",
            "in `events=acme?trust=any`, `trust=any` does nothing on a queue that is bound to a tenant; remove one of the two",
        ),
        (
            "QUEUES",
            "https://example.com/events",
            "in `https://example.com/events`, the URL is not a queue's; that looks like \
             https://sqs.eu-central-1.amazonaws.com/123456789012/events",
        ),
    ] {
        let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
        let sentence = format!("the value of {variable} ({flag}) is {value:?}: {sentence}");
        check("run", &[(variable, value)], &sentence).await;
        check(&format!("run {flag}={value}"), &[], &sentence).await;
    }
}

#[tokio::test]
async fn a_wrong_database_is_told_without_its_value() {
    let hidden = "the value of DATABASE_URL (--database-url) is (not shown): ";
    let form = "write a URL as postgres://user:password@host:5432/database; special characters in the password percent-encoded";
    for (value, sentence) in [
        ("postgres", form),
        ("mysql://someone:s3cret@db/events", form),
        ("postgres://someone:s3cret/word@db/events", form),
        (
            "postgres://someone:s3cret@db.example.com/events?sslmode=prefer",
            "sslmode=prefer would let others on the way read or change events; leave it out (verify-full is used) and name a private \
             authority by sslrootcert=FILE",
        ),
    ] {
        for line in
            ["run", "migrate", "dev", "catalog apply", "validate --queue events", "dead-letter list", "producers send --queue events"]
        {
            check(line, &[("DATABASE_URL", value)], &format!("{hidden}{sentence}")).await;
        }
        let ended = run(&format!("migrate --database-url={value}"), &[]).await;
        assert!(ended.status == 78 && !ended.errors.contains("s3cret"), "{ended:?}");
    }
    let remote = [("DATABASE_URL", "postgres://someone:s3cret@db.example.com/events")];
    let own = "`dev` uses only a database on loopback or a socket; unset it, and `dev` starts a Postgres of its own";
    check("dev --queue-port 0 --listen-address 127.0.0.1:0", &remote, &format!("{hidden}{own}")).await;
    let database = Database::create().await;
    let used = "that database holds tables which `dev` did not make; name an empty one, or unset it";
    check("dev --queue-port 0 --listen-address 127.0.0.1:0", &[("DATABASE_URL", &database.url)], &format!("{hidden}{used}")).await;
}

#[tokio::test]
async fn a_missing_setting_is_named() {
    let database = "DATABASE_URL is not set; set it to the Postgres to write to, as postgres://user:password@host/database, or \
                    DATABASE_URL_FILE to a file that holds this";
    check("migrate", &[("DATABASE_URL", ""), ("DATABASE_URL_FILE", "")], database).await;
    for line in ["run", "migrate", "validate --queue events", "dead-letter list", "dead-letter show 1"] {
        check(line, &[("QUEUES", "events")], database).await;
    }
    check("producers send --queue events --wait", &[], &format!("--wait looks into the database: {database}")).await;
    let neither = "neither QUEUES nor QUEUE_NAME is set, and the catalog names no queue; set QUEUES to the queues to poll, for example \
                   events?trust=any, or apply a queues.toml";
    let without_queues = Database::create().await;
    without_queues.apply(&crate::stack::sample_catalog()).await;
    check("run", &[("DATABASE_URL", &without_queues.url)], neither).await;
    check("run", &[("DATABASE_URL", &without_queues.url), ("QUEUES", ""), ("QUEUE_NAME", "")], neither).await;
    let both = "QUEUES and QUEUE_NAME are both set; keep QUEUES and move the name into it";
    check("run", &[("DATABASE_URL", NOWHERE), ("QUEUES", "a"), ("QUEUE_NAME", "b")], both).await;
    for region in ["", "us-east-1"] {
        let is_missing = run("producers send --queue events", &[("AWS_REGION", region), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]).await;
        assert_eq!(is_missing.status, if region.is_empty() { 78 } else { 69 }, "{is_missing:?}");
    }
    let region = "AWS_REGION is not set; set it to the queues' region, for example eu-central-1";
    check("run", &[("DATABASE_URL", NOWHERE), ("QUEUES", "events"), ("AWS_REGION", "")], region).await;
}

#[tokio::test]
async fn a_wrong_flag_of_a_command_is_named_without_a_variable_that_is_none() {
    let name = "is no queue's name: 1-80 letters, digits, - and _";
    for (line, sentence) in [
        ("producers send --queue a.b", format!("the value of --queue is \"a.b\": in `a.b`, `a.b` {name}")),
        ("producers send --queue a,b", "the value of --queue is \"a,b\": write one queue's name or URL".to_owned()),
        (
            "producers send --queue a --timeout 0",
            "the value of --timeout is \"0\": write whole seconds as 60s, 5m or 60, from 1 to 3600 seconds".to_owned(),
        ),
        ("validate --queue a.b", format!("the value of --queue is \"a.b\": in `a.b`, `a.b` {name}")),
        ("validate --queue a,b", "the value of --queue is \"a,b\": write one queue's name, or one entry as in QUEUES".to_owned()),
        ("dead-letter list --limit 0", "the value of --limit is \"0\": write a whole number from 1 to 100000".to_owned()),
        ("dead-letter list --limit", "the value of --limit is \"\": write a value behind it; --help says which".to_owned()),
        ("dead-letter show x", format!("the value of <DEAD_LETTER_ID> is \"x\": write a whole number from 1 to {}", i64::MAX)),
        ("dev --queue-port 70000", "the value of --queue-port is \"70000\": write a whole number from 0 to 65535".to_owned()),
    ] {
        check(line, &[], &sentence).await;
    }
    let file = "the body's file is \"missing.json\": it cannot be read";
    for line in ["producers send missing.json --queue a", "validate missing.json --queue a"] {
        let ended = run(line, &[]).await;
        assert!(ended.status == 78 && ended.errors.starts_with(file), "{line}: {ended:?}");
    }
    let ended = run("dead-letter list --reason nonsense", &[]).await;
    assert!(ended.errors.starts_with("the value of --reason is \"nonsense\": write one of too_large, too_deep, "), "{ended:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_wrong_setting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let variables = [("DATABASE_URL", NOWHERE), ("QUEUES", "events"), ("LISTEN_ADDRESS", address.as_str())];
    for line in ["run", "dev --queue-port 0"] {
        let ended = run(line, &variables).await;
        let sentence = format!("the value of LISTEN_ADDRESS (--listen-address) is \"{address}\": cannot listen there (");
        assert!(ended.status == 78 && ended.errors.starts_with(&sentence), "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn an_unknown_command_or_flag_ends_with_64() {
    for line in [
        "nonsense",
        "run --nonsense",
        "run nonsense",
        "catalog",
        "catalog nonsense",
        "catalog apply --tenant shop",
        "dead-letter",
        "dead-letter show",
        "validate",
        "migrate --json",
        "producers",
        "producers nonsense",
        "producers send",
    ] {
        let ended = run(line, &[("DATABASE_URL", NOWHERE)]).await;
        assert!(ended.status == 64 && ended.output.is_empty() && !ended.errors.is_empty(), "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn a_needed_service_that_is_away_ends_a_command_with_69() {
    let database = "the database at 127.0.0.1:1 refuses the connection, nothing listens there; check DATABASE_URL and that Postgres runs\n";
    for line in ["dead-letter list", "dead-letter show 1", "validate --queue events"] {
        let ended = run(line, &[("DATABASE_URL", NOWHERE)]).await;
        assert_eq!((ended.status, ended.errors.as_str()), (69, database), "{line}");
    }
    let schemas = crate::stack::sample_catalog().display().to_string();
    let apply = format!("catalog apply {schemas}");
    for line in ["migrate", &apply] {
        let ended = run(line, &[("DATABASE_URL", NOWHERE)]).await;
        assert_eq!((ended.status, ended.errors.as_str()), (69, database), "{line}");
    }
    for line in ["health --listen-address 127.0.0.1:1"] {
        let ended = run(line, &[("DATABASE_URL", NOWHERE)]).await;
        assert!(ended.status == 69 && !ended.errors.is_empty() && !ended.errors.contains("s3cret"), "{line}: {ended:?}");
    }
    let ended = run("producers send --queue events", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]).await;
    assert!(
        ended.status == 69 && ended.errors.starts_with("the queue events cannot be used: SQS does not answer (connection: "),
        "{ended:?}"
    );
}

/// The help of a program's command and of all commands below it.
async fn helps(program: &str, command: &str) -> Vec<(String, String)> {
    let words: Vec<_> = program.split(' ').chain(command.split(' ')).chain(["--help"]).filter(|word| !word.is_empty()).collect();
    let ended = run(&words.join(" "), &[]).await;
    assert_eq!((ended.status, ended.errors.as_str()), (0, ""), "{program} {command}");
    assert!(ended.output.contains("Usage: ") && !ended.output.contains('\u{1b}'), "{program} {command}: {}", ended.output);
    let commands = ended.output.split("Commands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = commands.filter(is_name).filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut all = vec![(command.to_owned(), ended.output.clone())];
    for name in names {
        all.extend(Box::pin(helps(program, format!("{command} {name}").trim())).await);
    }
    all
}

#[tokio::test]
async fn every_command_has_help() {
    let commands: BTreeSet<_> = helps("", "").await.into_iter().map(|(command, _)| command).collect();
    let groups = [
        ("catalog", "check apply"),
        ("dead-letter", "list show summary replay discard reopen example drain export"),
        ("delivery", "list show requeue cancel"),
        ("client", "list pause resume disable"),
        ("tenant", "list show pause resume grant-reader revoke-reader"),
    ];
    let of_groups = groups.iter().flat_map(|(group, names)| names.split(' ').map(move |name| format!("{group} {name}")));
    let alone = ["", "trace", "dev", "doctor", "health", "validate", "migrate", "run"].into_iter().chain(groups.map(|(group, _)| group));
    let expected: BTreeSet<_> = alone.map(str::to_owned).chain(of_groups).collect();
    assert_eq!(commands, expected);
    let commands: BTreeSet<_> = helps("producers", "").await.into_iter().map(|(command, _)| command).collect();
    assert_eq!(commands, BTreeSet::from(["", "send", "verify"].map(str::to_owned)));
    assert_eq!(helps("sender", "").await.len(), 1);
}

#[tokio::test]
async fn the_template_names_what_the_binaries_act_on_with_its_defaults() {
    // Read by the AWS SDK itself, by TLS, and the last by the driver.
    let of_others =
        "AWS_REGION AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY HTTPS_PROXY NO_PROXY SSL_CERT_FILE PGPASSFILE".split(' ');
    // By the standard's names, without flags.
    let of_traces =
        "ENDPOINT TRACES_ENDPOINT HEADERS TRACES_HEADERS TIMEOUT TRACES_TIMEOUT PROTOCOL TRACES_PROTOCOL COMPRESSION TRACES_COMPRESSION";
    let of_traces = of_traces.split(' ').map(|name| format!("OTEL_EXPORTER_OTLP_{name}"));
    let of_traces = of_traces.chain(
        ["TRACES_EXPORTER", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG", "SERVICE_NAME", "RESOURCE_ATTRIBUTES", "SDK_DISABLED"]
            .map(|name| format!("OTEL_{name}")),
    );
    let mut expected: BTreeMap<_, _> = of_others.map(str::to_owned).chain(of_traces).map(|name| (name, String::new())).collect();
    let all = [helps("", "").await, helps("producers", "").await, helps("sender", "").await].concat();
    // The daemon has the last word where a variable is also the sender's, with another default.
    for (_, help) in all.into_iter().rev() {
        for told in help.split("[env: ").skip(1) {
            // On the same line, or on the next.
            let told = told.split("\n\n").next().unwrap_or_default().split("\n      -").next().unwrap_or_default();
            let name = told.split(['=', ']']).next().unwrap_or_default();
            let default = told.split_once("[default: ").and_then(|(_, rest)| rest.split(']').next()).unwrap_or_default();
            expected.insert(name.to_owned(), default.to_owned());
        }
    }
    let template = include_str!("../../.env-template");
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let settings = template.lines().filter_map(|line| line.trim_start_matches("# ").split_once('='));
    let named: BTreeMap<_, _> =
        settings.filter(|(name, _)| is_name(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(named.contains_key("DATABASE_URL") && named.contains_key("RUST_LOG"), "{named:?}");
    assert_eq!(named, expected);
}
