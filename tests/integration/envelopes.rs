//! Every format in which events arrive: bodies as AWS's and CloudEvents' own documentation prints them, and what comes close to them.

mod mapping;
mod refusals;

use std::collections::BTreeMap;

use serde_json::json;

use crate::producer::{Attribute, Producer, attribute};
use crate::stack::{Directory, PROCESSOR, PRODUCERS, Stack};
use crate::terminal::Terminal;

/// A queue of the tenant `acme` in each format, named as its format, and some that tenants share.
const QUEUES: &str = "native=acme,cloudevents=acme?format=cloudevents,sns=acme?format=sns,eventbridge=acme?format=eventbridge,\
                      shared-cloudevents?format=cloudevents&trust=any,shared-sns?trust=any&format=sns,shared-eventbridge?format=eventbridge";

/// What the documentation prints.
const CLOUDEVENTS_OBJECT: &str = include_str!("envelopes/cloudevents_object.json");
const CLOUDEVENTS_STRING: &str = include_str!("envelopes/cloudevents_string.json");
const CLOUDEVENTS_MODE_DATA: &str = include_str!("envelopes/cloudevents_mode_data.json");
const EVENTBRIDGE_EC2: &str = include_str!("envelopes/eventbridge_ec2.json");
const EVENTBRIDGE_S3: &str = include_str!("envelopes/eventbridge_s3.json");
const SNS_TO_QUEUE: &str = include_str!("envelopes/sns_to_queue.json");

/// The data of the documented CloudEvent, as the object has it.
const OBJECT_DATA: &str = "{\n        \"appinfoA\" : \"abc\",\n        \"appinfoB\" : 123,\n        \"appinfoC\" : true\n    }";

/// A queue, a body with its attributes, and what must become of it: the row's columns, or the reason and the place of a dead letter's first error.
type Case = (&'static str, String, Vec<Attribute>, String);

/// `acme` has types whose names no directory can have.
fn catalog() -> Directory {
    let catalog = Directory::create();
    let defaults = ["com.example.someevent", "Object Created"].map(|name| format!("[event_types.{name:?}]\ndefault_version = 1\n"));
    let subscription = "[clients.client-1]\n[[subscriptions]]\nclient = \"client-1\"\nevents = [\"Object Created\"]\n";
    catalog.write("acme/tenant.toml", &format!("{}{subscription}", defaults.join("")));
    catalog.write("acme/com.example.someevent/1.json", "true");
    catalog.write("acme/com.example.someevent/2.json", "true");
    catalog.write("acme/object-created/event_type.toml", "name = \"Object Created\"\n");
    catalog.write("acme/object-created/1.json", r#"{"required": ["bucket", "object"]}"#);
    catalog.write("acme/ec2/event_type.toml", "name = \"EC2 Instance State-change Notification\"\n");
    catalog.write("acme/ec2/1.json", r#"{"properties": {"state": {"enum": ["running", "terminated"]}}}"#);
    catalog.write("another/tenant.toml", "");
    catalog.write("another/com.example.someevent/1.json", "true");
    catalog
}

fn names() -> impl Iterator<Item = &'static str> {
    QUEUES.split(',').filter_map(|entry| entry.split(['=', '?']).next())
}

async fn start() -> Stack {
    let stack = Stack::start_without_catalog(&names().collect::<Vec<_>>()).await;
    stack.database.apply(&catalog().0).await;
    stack
}

async fn at_rest(stack: &Stack) {
    for name in names() {
        stack.at_rest(&stack.queue(name).await).await;
    }
}

/// What became of each message, by its id. The format of the queue is told where it is not the queue's name.
const FATES: &str = "
    select sqs_message_id, concat_ws(' | ', tenant_id, source, case event_id when sqs_message_id then 'SQS' else event_id end, event_type,
        schema_version, coalesce(client_id, '-'), coalesce(subject, '-'),
        coalesce(to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'), '-'), payload::text) as finding
    from message
    union all
    select sqs_message_id, concat(reason, ' at ', errors -> 0 ->> 'instance_location', ' of ', tenant_id,
        case when right(queue, length(queue_format)) <> queue_format then ' in format ' || queue_format end) as finding
    from dead_letter";

/// Sends each body through its queue to a daemon; each must become what is expected and nothing else, its payload byte for byte.
async fn check(cases: Vec<Case>) {
    let stack = start().await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    let producer = Producer::of(&stack);
    let mut sent = Vec::new();
    for (queue, body, attributes, expected) in &cases {
        sent.push((producer.send(queue, body, attributes).await, body, expected));
    }
    at_rest(&stack).await;
    let rows = stack.database.rows(FATES).await;
    let mut findings: BTreeMap<_, _> = rows.iter().filter_map(|row| row.split_once(" | ")).collect();
    let mut wrong = Vec::new();
    for (sqs_message_id, body, expected) in sent {
        let found = findings.remove(sqs_message_id.as_str()).unwrap_or("neither stored nor a dead letter");
        if found != expected {
            wrong.push(format!("{body:.300}\n    expected {expected}\n    found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(findings.is_empty(), "of nothing that was sent: {findings:?}");
    let altered = "select count(*) from message where payload_hash <> sha256(convert_to(payload::text, 'UTF8'))";
    assert_eq!(stack.database.count(altered).await, 0);
    assert_eq!(daemon.stop().await, 0);
}

fn case(queue: &'static str, body: &str, expected: &str) -> Case {
    (queue, body.to_owned(), Vec::new(), expected.to_owned())
}

/// What SNS delivers to a queue for a message that was published.
fn sns(message: &str) -> String {
    SNS_TO_QUEUE.replace("\"This is a test message.\"", &json!(message).to_string())
}

/// The attributes of the documented event in binary mode, with others in their places.
fn binary_mode(others: &[(&str, &str)]) -> Vec<Attribute> {
    let mut attributes = BTreeMap::from([
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.someevent"),
        ("ce-source", "/mycontext"),
        ("ce-id", "C234-1234-1234"),
        ("ce-time", "2018-04-05T17:31:00Z"),
        ("ce-comexampleextension1", "value"),
        ("ce-comexampleothervalue", "5"),
        ("content-type", "application/json"),
    ]);
    attributes.extend(others.iter().copied());
    attributes.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| attribute(name, "String", value)).collect()
}

#[tokio::test]
async fn what_the_documentation_prints_is_stored_as_it_says() {
    let object = "acme | /mycontext | C234-1234-1234 | com.example.someevent | 1 | - | - | 2018-04-05 17:31:00.000";
    let ec2 = "{\n    \"instance-id\": \"i-1234567890abcdef0\",\n    \"state\": \"terminated\"\n  }";
    let s3 = EVENTBRIDGE_S3.split_once("\"detail\": ").expect("detail").1.trim_end().strip_suffix("\n}").expect("an end");
    let string = CLOUDEVENTS_STRING.replace("\"subject\"", "\"tenantid\": \"acme\", \"subject\"");
    check(vec![
        case("cloudevents", CLOUDEVENTS_OBJECT, &format!("{object} | {OBJECT_DATA}")),
        case(
            "shared-cloudevents",
            &string,
            "acme | /mycontext | D234-1234-1234 | com.example.someevent | 1 | - | - | 2018-04-05 17:31:00.000 | \"I'm just a string\"",
        ),
        (
            "cloudevents",
            CLOUDEVENTS_MODE_DATA.to_owned(),
            binary_mode(&[("ce-id", "in binary mode")]),
            format!("{} | {CLOUDEVENTS_MODE_DATA}", object.replace("C234-1234-1234", "in binary mode")),
        ),
        case(
            "eventbridge",
            EVENTBRIDGE_EC2,
            &format!(
                "acme | aws.ec2 | 6a7e8feb-b491-4cf7-a9f1-bf3703467718 | EC2 Instance State-change Notification | 1 | - | - | \
                 2017-12-22 18:43:48.000 | {ec2}"
            ),
        ),
        case(
            "eventbridge",
            EVENTBRIDGE_S3,
            &format!("acme | aws.s3 | 17793124-05d4-b198-2fde-7ededc63b103 | Object Created | 1 | - | - | 2021-11-12 00:00:00.000 | {s3}"),
        ),
        case("sns", &sns(&CLOUDEVENTS_OBJECT.replace("C234", "S234")), &format!("{} | {OBJECT_DATA}", object.replace("C234", "S234"))),
    ])
    .await;
}

#[tokio::test]
async fn one_event_in_two_formats_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let stack = start().await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    let producer = Producer::of(&stack);
    let native = |payload: &str| format!(r#"{{"event_id":"e","source":"/a","event_type":"com.example.someevent","payload":{payload}}}"#);
    let cloudevent = r#"{"specversion":"1.0","id":"e","source":"/a","type":"com.example.someevent","datacontenttype":"text/json","data_base64":"eyJhIjoxLjB9"}"#;
    let without_id = sns(r#"{"event_type":"com.example.someevent","payload":1}"#);
    for (queue, body) in [
        ("native", native(r#"{"a":1}"#)),
        ("sns", sns(&native(r#"{ "\u0061" : 1e0 }"#))),
        ("cloudevents", cloudevent.to_owned()),
        ("sns", sns(cloudevent)),
        ("sns", sns(&native(r#"{"a":2}"#))),
        ("sns", without_id.clone()),
        ("sns", without_id),
    ] {
        producer.send(queue, &body, &[]).await;
        at_rest(&stack).await;
    }
    let rows = stack.database.rows("select event_id, queue, payload::text from message order by event_id").await;
    assert_eq!(rows, [r"dc1e94d9-56c5-5e96-808d-cc7f68faa162 | sns | 1", r#"e | native | {"a":1}"#]);
    let dead_letters = stack.database.rows("select reason, queue, queue_format from dead_letter").await;
    assert_eq!(dead_letters, ["id_conflict | sns | sns"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn the_commands_take_the_queues_format() {
    let stack = start().await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    let terminal = Terminal::with(stack.environment());
    terminal.directory.write("ec2.json", EVENTBRIDGE_EC2);
    terminal.directory.write("broken.json", &EVENTBRIDGE_EC2.replace("terminated", "on fire"));
    let queue = "eventbridge=acme?format=eventbridge";

    let validated = terminal.run(PROCESSOR, &["validate", "ec2.json", "--queue", queue]).await;
    assert!(
        validated.status == 0 && validated.output.contains("  payload            {\n                         \"instance-id\""),
        "{validated:?}"
    );
    let validated = terminal.run(PROCESSOR, &["validate", "broken.json", "--queue", queue, "--json"]).await;
    assert_eq!(
        (validated.status, validated.json()["errors"][0]["schema_location"].as_str()),
        (65, Some("ec2/1.json#/properties/state/enum"))
    );
    terminal.directory.write("sns.json", &sns(CLOUDEVENTS_OBJECT));
    let validated = terminal.run(PROCESSOR, &["validate", "sns.json", "--queue", "q=acme?format=sns", "--json"]).await;
    assert_eq!((validated.status, validated.json()["row"]["payload"].as_str()), (0, Some(OBJECT_DATA)));
    let validated = terminal.run(PROCESSOR, &["validate", "sns.json", "--queue", "q=acme"]).await;
    assert!(validated.status == 65 && validated.output.starts_with("rejected: invalid_envelope"), "{validated:?}");

    for (body, queue, status, expected) in [
        ("ec2.json", queue, 0, "stored for tenant acme as event 6a7e8feb-b491-4cf7-a9f1-bf3703467718"),
        ("broken.json", queue, 65, "schema_violation; `processor dead-letter show"),
        ("sns.json", "sns=acme?format=sns", 0, "stored for tenant acme as event C234-1234-1234"),
    ] {
        let sent = terminal.run(PRODUCERS, &["send", body, "--queue", queue, "--wait"]).await;
        assert!(sent.status == status && sent.output.contains(expected), "{sent:?}");
    }
    let listed = terminal.run(PROCESSOR, &["dead-letter", "list", "--json"]).await;
    assert!(listed.status == 0 && listed.output.contains("EC2 Instance State-change Notification"), "{listed:?}");
    let dead_letter = stack.database.count("select max(dead_letter_id) from dead_letter").await.to_string();
    let printed = terminal.run(PROCESSOR, &["dead-letter", "show", &dead_letter]).await;
    for expected in ["\nqueue       eventbridge (eventbridge), SQS message ", "(enum of ec2/1.json#/properties/state/enum)"] {
        assert!(printed.output.contains(expected), "{printed:?}");
    }
    let refused = terminal.run(PRODUCERS, &["--queue", "sns=acme?format=sns", "--events", "1"]).await;
    assert!(refused.status == 78, "{refused:?}");
    assert_eq!(daemon.stop().await, 0);
}
