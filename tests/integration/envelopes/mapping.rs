//! Where each field of a row comes from.

use serde_json::{Value, json};

use super::{
    CLOUDEVENTS_MODE_DATA, CLOUDEVENTS_OBJECT, EVENTBRIDGE_S3, OBJECT_DATA, QUEUES, at_rest, binary_mode, case, check, sns, start,
};
use crate::producer::{Producer, attribute};

#[tokio::test]
async fn each_field_comes_from_where_the_format_has_it() {
    let numbered = |number: usize, members: &str| {
        format!(r#"{{"specversion":"1.0","id":"c{number}","source":"/a","type":"com.example.someevent",{members}}}"#)
    };
    let row = |event_id: &str, version: i32, rest: &str| format!("acme | /a | {event_id} | com.example.someevent | {version} | {rest}");
    let schema = |version: &str| format!(r#""dataschema":"https://example.com/someevent/{version}","data":1"#);
    let native = r#"{"event_type":"com.example.someevent", "payload": {"a": "\u00e9\\\"" , "b":[1.0]}}"#;
    check(vec![
        case("cloudevents", &numbered(1, &schema("2")), &row("c1", 2, "- | - | - | 1")),
        case("cloudevents", &numbered(2, &schema("2?a=1#b/1")), &row("c2", 2, "- | - | - | 1")),
        case("cloudevents", &numbered(3, &schema("2.json")), &row("c3", 1, "- | - | - | 1")),
        case("cloudevents", &numbered(4, r#""data":null,"data_base64":null"#), &row("c4", 1, "- | - | - | null")),
        case(
            "cloudevents",
            &numbered(6, r#""datacontenttype":"application/json","data_base64":"IHsiYSI6ICLDqSJ9Cg==""#),
            &row("c6", 1, "- | - | - |  {\"a\": \"é\"}\n"),
        ),
        case(
            "cloudevents",
            &numbered(7, r#""datacontenttype":"Application/Vnd.API+JSON; charset=utf-8","clientid":"client-1","subject":"s","data":[]"#),
            &row("c7", 1, "client-1 | s | - | []"),
        ),
        (
            "shared-cloudevents",
            " [1] ".to_owned(),
            binary_mode(&[("ce-tenantid", "another"), ("ce-dataschema", "urn:x/1"), ("ce-subject", "s"), ("content-type", "")]),
            "another | /mycontext | C234-1234-1234 | com.example.someevent | 1 | - | s | 2018-04-05 17:31:00.000 |  [1] ".to_owned(),
        ),
        // An event that is whole in the body may be repeated beside it.
        (
            "cloudevents",
            CLOUDEVENTS_OBJECT.to_owned(),
            binary_mode(&[("content-type", "application/cloudevents+json; charset=UTF-8")]),
            format!("acme | /mycontext | C234-1234-1234 | com.example.someevent | 1 | - | - | 2018-04-05 17:31:00.000 | {OBJECT_DATA}"),
        ),
        // Without an id of its own an event has that of SNS, which is the same in each of its tries.
        case(
            "sns",
            &sns(native),
            r#"acme |  | dc1e94d9-56c5-5e96-808d-cc7f68faa162 | com.example.someevent | 1 | - | - | - | {"a": "\u00e9\\\"" , "b":[1.0]}"#,
        ),
        case(
            "shared-sns",
            &sns(r#"{"payload":[],"tenant_id":"acme","event_id":"n1","event_type":"com.example.someevent","specversion":"mine"}"#),
            "acme |  | n1 | com.example.someevent | 1 | - | - | - | []",
        ),
        case("sns", &sns(&numbered(8, r#""datacontenttype":"application/json","data_base64":"WzFd""#)), &row("c8", 1, "- | - | - | [1]")),
        case(
            "native",
            r#"{"event_type":"Object Created","payload":{"bucket":1,"object":2}}"#,
            "acme |  | SQS | Object Created | 1 | - | - | - | {\"bucket\":1,\"object\":2}",
        ),
    ])
    .await;
}

#[tokio::test]
async fn nothing_that_came_along_is_dropped() {
    let stack = start().await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    let producer = Producer::of(&stack);
    let with_attributes = sns(r#"{"event_id":"s","event_type":"com.example.someevent","payload":1,"more":[1.0]}"#)
        .replace("\"Timestamp\"", r#""MessageAttributes": {"store": {"Type": "String", "Value": "example"}}, "Timestamp""#);
    producer.send("sns", &with_attributes, &[attribute("a", "Number", "1")]).await;
    producer.send("eventbridge", EVENTBRIDGE_S3, &[]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    producer.send("cloudevents", CLOUDEVENTS_MODE_DATA, &binary_mode(&[("ce-id", "b"), ("ce-traceparent", trace)])).await;
    let structured = CLOUDEVENTS_OBJECT.replace("\"subject\": null", &format!(r#""traceparent":"{trace}","dataschema":"/2""#));
    producer.send("cloudevents", &structured, &[]).await;
    at_rest(&stack).await;
    let kept = async |event_id: &str| {
        let rows = stack.database.rows(&format!("select traceparent, attributes::text from message where event_id = '{event_id}'")).await;
        let (traceparent, attributes) = rows.first().and_then(|row| row.split_once(" | ")).expect("a row");
        (traceparent.to_owned(), serde_json::from_str::<Value>(attributes).expect("JSON"))
    };

    let mut notification: Value = serde_json::from_str(&with_attributes).expect("JSON");
    for name in ["Type", "Message"] {
        notification.as_object_mut().expect("an object").remove(name);
    }
    let expected =
        json!({"fields": {"more": [1.0]}, "notification": notification, "message_attributes": {"a": {"type": "Number", "value": "1"}}});
    assert_eq!(kept("s").await, ("-".to_owned(), expected));
    let expected =
        json!({"fields": {"account": "111122223333", "region": "ca-central-1", "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"]}});
    assert_eq!(kept("17793124-05d4-b198-2fde-7ededc63b103").await, ("-".to_owned(), expected));
    let (traceparent, attributes) = kept("b").await;
    assert_eq!((traceparent.as_str(), attributes["fields"].is_null()), (trace, true));
    assert_eq!(attributes["message_attributes"]["ce-comexampleothervalue"], json!({"type": "String", "value": "5"}));
    let expected = json!({"fields": {
        "traceparent": trace, "dataschema": "/2", "datacontenttype": "application/json", "comexampleextension1": "value",
        "comexampleothervalue": 5,
    }});
    assert_eq!(kept("C234-1234-1234").await, (trace.to_owned(), expected));
    assert_eq!(daemon.stop().await, 0);
}
