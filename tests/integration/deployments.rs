//! What is deployed: files that no test can run here, held to what they promise.

use std::collections::BTreeSet;
use std::path::Path;

use crate::endpoint::Endpoint;
use crate::ledger::Ledger;
use crate::load::{Lock, waiting_for};
use crate::stack::{Directory, PROCESSOR, PRODUCERS, Stack, command, eventually};

/// A file in `deployments/`.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deployments").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of the compose file that describes a service.
fn service(name: &str) -> String {
    let compose = file("compose.yaml");
    let (_, after) = compose.split_once(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no service {name}"));
    let is_within = |line: &&str| line.is_empty() || line.starts_with("    ");
    after.lines().take_while(is_within).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_image_has_no_catalog_and_whoever_tries_it_out_mounts_the_sample() {
    let dockerfile = file("Dockerfile");
    let copied: Vec<_> = dockerfile.lines().filter(|line| line.starts_with("COPY ") || line.starts_with("ADD ")).collect();
    assert_eq!(copied, ["COPY . .", "COPY --from=build /out/processor /out/producers /out/sender /"]);
    let mount = "\"../schemas:/schemas:ro\"";
    let catalog = service("catalog");
    assert!(catalog.contains("\"apply\", \"/schemas\"]") && catalog.contains(mount), "{catalog}");
    let producers = service("producers");
    assert!(producers.contains("working_dir: /\n") && producers.contains(mount), "{producers}");
    assert!(!service("processor").contains("schemas"), "the daemon reads the catalog from the database alone");
}

#[test]
fn the_sender_is_deployed_beside_the_daemon_in_the_same_sandbox() {
    let unit = |name: &str| file(name);
    let sandbox =
        |text: &str| text.split_once("# The sandbox.").map(|(_, rest)| rest.lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    let [daemon, sender] = ["event-processor.service", "event-processor-sender.service"].map(unit);
    assert!(sandbox(&daemon).is_some() && sandbox(&daemon) == sandbox(&sender), "{sender}");
    assert!(sender.contains("\nExecStart=/usr/local/bin/sender\n"), "{sender}");
    let service = service("sender");
    assert!(service.contains("entrypoint: [\"/sender\"]") && service.contains("LISTEN_ADDRESS: 0.0.0.0:9465"), "{service}");
    assert!(file("Dockerfile").contains("--bin sender"));
}

/// Runs a program that may not be installed: its status and what it has printed. None, and a message, where it is not.
pub async fn tool(program: &str, arguments: &[&str]) -> Option<(i32, String)> {
    let path = std::env::var("PATH").unwrap_or_default();
    // One that is named by its own path is there.
    if !std::env::split_paths(&path).any(|directory| directory.join(program).exists()) {
        eprintln!("skipped: there is no {program}");
        return None;
    }
    let environment = [("PATH", path), ("LC_ALL", "C.UTF-8".to_owned())];
    let (status, output, errors) = command(program, arguments, &environment).await;
    Some((status, output + &errors))
}

#[tokio::test]
async fn the_units_tell_systemd_how_they_are_keep_their_secrets_and_are_hardly_exposed() {
    for name in ["event-processor.service", "event-processor-sender.service"] {
        let unit = file(name);
        for line in [
            "Type=notify",
            "WatchdogSec=30s",
            "WatchdogSignal=SIGKILL",
            "Restart=always",
            "Environment=DATABASE_URL_FILE=%d/database-url",
            "DynamicUser=yes",
        ] {
            assert!(unit.lines().any(|one| one == line), "{name} lacks {line}");
        }
        assert!(unit.contains("\nLoadCredential=database-url:/etc/event-processor/"), "{name}");
        let directory = Directory::create();
        // Stands in for the binary, which need not be installed here.
        directory.write(name, &unit.replace("/usr/local/bin/processor run", "/bin/true").replace("/usr/local/bin/sender", "/bin/true"));
        let path = directory.0.join(name).display().to_string();
        let Some((status, said)) = tool("systemd-analyze", &["verify", &path]).await else { return };
        assert_eq!((status, said.as_str()), (0, ""), "{name}");
        // By systemd-analyze in tenths: above 1.5 it ends with 1.
        let security = ["security", "--offline=true", "--threshold=15", "--no-pager", &path];
        let (status, said) = tool("systemd-analyze", &security).await.expect("it was there");
        assert_eq!(status, 0, "{said}");
    }
}

/// The commands of ours in a document: in backquotes, and in blocks of them, up to what the shell does with it.
fn commands(document: &str) -> Vec<String> {
    let begins = |text: &str| ["processor ", "producers "].iter().any(|name| text.starts_with(name));
    let of_line = |line: &str| line.split(['|', '#', '>']).next().unwrap_or_default().trim().to_owned();
    // Within a paragraph one goes on in the next line.
    let text = document.replace("```sh", "```").replace('\n', "\n ");
    let quoted = text.split('`').filter(|part| begins(part) && !part.contains("\n \n ")).map(|part| part.replace("\n ", ""));
    let blocks = document.lines().map(str::trim).filter(|line| begins(line)).map(of_line);
    quoted.filter(|part| !part.contains('*')).chain(blocks).collect()
}

#[tokio::test]
async fn each_command_that_runbook_and_operations_name_is_one() {
    let found: BTreeSet<String> = ["runbook.md", "operations.md"].iter().flat_map(|name| commands(&file(name))).collect();
    assert!(found.len() > 25, "{found:#?}");
    for said in &found {
        let mut words: Vec<&str> = said.split_whitespace().collect();
        let program = if words.remove(0) == "producers" { PRODUCERS } else { PROCESSOR };
        let unquoted = words.iter().map(|word| word.trim_matches('"'));
        // Placeholders stand for what the command would take.
        let mut arguments: Vec<&str> = unquoted.map(|word| if word == "REASON" { "schema_violation" } else { word }).collect();
        if let Some(id) = arguments.iter_mut().find(|word| **word == "ID") {
            *id = "1";
        }
        arguments.push("--help");
        let (status, _, told) = command(program, &arguments, &[]).await;
        assert_eq!(status, 0, "{said}: {told}");
    }
}

/// Tables that grow with use: what is done to them is for operators to know.
const LARGE: [&str; 4] = ["message", "delivery", "dead_letter", "delivery_log"];

#[test]
fn each_migration_that_changes_a_large_table_has_a_row_that_says_what_it_locks() {
    let operations = file("operations.md");
    let rows = operations.lines().filter_map(|line| line.strip_prefix("| 0")?.split('|').next());
    let mut named = BTreeSet::new();
    for part in rows.flat_map(|numbers| format!("0{numbers}").split(", ").map(str::to_owned).collect::<Vec<_>>()) {
        let mut ends = part.trim().split(" to ").map(|number| number.parse::<u32>().expect("a migration's number"));
        let first = ends.next().expect("a number");
        named.extend(first..=ends.next().unwrap_or(first));
    }
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).expect("migrations") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let number: u32 = name[..4].parse().expect("a number");
        let sql = std::fs::read_to_string(&path).expect("a migration").replace(['\n', '(', ';', ','], " ");
        let changes = |table: &&str| {
            let of = |before: &str| sql.contains(&format!("{before} {table} "));
            let is_indexed = sql.contains("create index") && of(" on");
            // What functions do is not done by the migration.
            of("alter table") || of("lock table") || is_indexed || (of("update") && !sql.contains("create function"))
        };
        // Before the first six there was nothing.
        assert!(number <= 6 || named.contains(&number) || !LARGE.iter().any(changes), "operations.md has no row for {name}");
    }
}

/// A manifest's objects, as text.
fn objects(name: &str) -> Vec<String> {
    file(&format!("kubernetes/{name}.yaml")).split("\n---\n").map(str::to_owned).collect()
}

#[test]
fn the_manifests_set_what_the_programs_read_and_probe_what_they_serve() {
    let template = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env-template")).expect(".env-template");
    let known: BTreeSet<&str> =
        template.lines().filter_map(|line| line.trim_start_matches("# ").split_once('=')).map(|(name, _)| name).collect();
    for name in ["jobs", "processor", "sender"] {
        for object in objects(name) {
            let is_variable =
                |line: &&str| line.trim_start().trim_start_matches("- name: ").chars().all(|one| one.is_ascii_uppercase() || one == '_');
            for line in object.lines().filter(|line| line.trim_start().starts_with("- name: ")).filter(is_variable) {
                let variable = line.trim_start().trim_start_matches("- name: ");
                assert!(known.contains(variable), "{name}.yaml sets {variable}, which nothing reads");
            }
            let is_workload = object.contains("\nkind: Deployment") || object.contains("\nkind: Job");
            for line in ["runAsNonRoot: true", "readOnlyRootFilesystem: true", "automountServiceAccountToken: false", "drop: [ALL]"] {
                assert!(!is_workload || object.contains(line), "{name}.yaml lacks {line}");
            }
            for line in ["path: /livez", "path: /readyz", "terminationGracePeriodSeconds: 15"] {
                assert!(!object.contains("\nkind: Deployment") || object.contains(line), "{name}.yaml lacks {line}");
            }
        }
    }
    assert!(file("kubernetes/scaling.yaml").contains("scaleOnInFlight: \"false\""));
}

/// `.ci/check-manifests` where it was installed, as `.ci/run` does.
#[tokio::test]
async fn the_manifests_are_as_the_schemas_of_their_kinds_want_them() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !top.join("target/check-manifests/bin/kubernetes-validate").exists() {
        eprintln!("skipped: run .ci/check-manifests once, which installs what it needs");
        return;
    }
    let check = top.join(".ci/check-manifests").display().to_string();
    let (status, said) = tool(&check, &[]).await.expect("a path");
    assert!(status == 0 && said.starts_with("12 objects of 8 kinds"), "{said}");
    let directory = Directory::create();
    // Kubernetes' own, twice, KEDA's, the Prometheus operator's.
    let planted = [
        ("processor", "maxSurge", "maxSurplus"),
        ("jobs", "backoffLimit: 6", "backoffLimit: six"),
        ("scaling", "pollingInterval", "pollInterval"),
        ("monitoring", "podMetricsEndpoints", "podMetricEndpoints"),
    ];
    let paths = planted.map(|(name, right, wrong)| {
        let text = file(&format!("kubernetes/{name}.yaml"));
        assert!(text.contains(right));
        directory.write(&format!("{name}.yaml"), &text.replace(right, wrong));
        directory.0.join(format!("{name}.yaml")).display().to_string()
    });
    let (status, said) = tool(&check, &paths.each_ref().map(String::as_str)).await.expect("a path");
    assert!(status == 65 && paths.iter().all(|path| said.contains(path)), "{said}");
}

/// What a policy allows.
fn allowed(policy: &str) -> Vec<String> {
    let policy: serde_json::Value = serde_json::from_str(&file(&format!("iam/{policy}.json"))).expect("JSON");
    assert_eq!(policy["Statement"][0]["Effect"], "Allow");
    policy["Statement"][0]["Action"].as_array().expect("actions").iter().map(|action| action.as_str().expect("text").to_owned()).collect()
}

/// The permissions that the requests at an endpoint need; those in batches need the same as those one by one.
fn needed(endpoint: &Endpoint) -> Vec<String> {
    let names = endpoint.operations().into_iter().map(|operation| format!("sqs:{}", operation.trim_end_matches("Batch")));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policies_allow_what_daemon_and_producers_ask_for_and_nothing_else() {
    let stack = Stack::start(&["events"]).await;
    let [consumer, producer] = [Endpoint::before(&stack.server.endpoint_url()).await, Endpoint::before(&stack.server.endpoint_url()).await];
    let mut ledger = Ledger::on(&stack);
    ledger.terminal.environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
    ledger.terminal.environment.push(("AWS_ENDPOINT_URL", producer.url.clone()));
    let settings = [("AWS_ENDPOINT_URL", consumer.url.as_str()), ("VISIBILITY_TIMEOUT", "2")];
    let daemon = stack.daemon("events?trust=any", &settings).await;
    daemon.ready().await;
    let lock = Lock::table(&stack.database, "message").await;
    ledger.send("events", "--events 50 --rate 1000").await;
    assert_eq!(needed(&producer), allowed("producer"));
    waiting_for(&stack.database, "message", 1).await;
    // Longer than a lease: what is in flight is extended.
    eventually("leases are extended", async || (consumer.requests("ChangeMessageVisibilityBatch") > 0).then_some(())).await;
    lock.release().await;
    stack.at_rest(&stack.queue("events").await).await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!(needed(&consumer), allowed("consumer"));
}
