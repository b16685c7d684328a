//! What comes close to a format, and is told why it is not in it.

use std::net::TcpListener;

use serde_json::json;

use super::{
    CLOUDEVENTS_MODE_DATA, CLOUDEVENTS_OBJECT, Case, EVENTBRIDGE_EC2, QUEUES, SNS_TO_QUEUE, at_rest, binary_mode, case, check, sns, start,
};
use crate::producer::{Producer, binary_attribute};

const S3_POINTER: &str = r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"bucket","s3Key":"key"}]"#;

/// A body with something else in the place of something; fails where that is not there.
fn with(body: &str, replaced: &str, by: &str) -> String {
    assert!(body.contains(replaced), "{replaced} is not in {body}");
    body.replacen(replaced, by, 1)
}

fn of_cloudevents(replaced: &str, by: &str, expected: &str) -> Case {
    case("cloudevents", &with(CLOUDEVENTS_OBJECT, replaced, by), &format!("{expected} of acme"))
}

fn of_binary_mode(body: &str, others: &[(&str, &str)], expected: &str) -> Case {
    ("cloudevents", body.to_owned(), binary_mode(others), format!("{expected} of acme"))
}

fn of_eventbridge(replaced: &str, by: &str, expected: &str) -> Case {
    case("eventbridge", &with(EVENTBRIDGE_EC2, replaced, by), &format!("{expected} of acme"))
}

fn of_sns(replaced: &str, by: &str, expected: &str) -> Case {
    let good = sns(r#"{"event_type":"com.example.someevent","payload":1}"#);
    case("sns", &with(&good, replaced, by), &format!("{expected} of acme"))
}

fn of_message(message: &str, expected: &str) -> Case {
    case("sns", &sns(message), &format!("{expected} of acme"))
}

#[tokio::test]
async fn what_is_no_cloud_event_with_json_is_refused() {
    let data = "\"data\" :";
    let base64 = "\"data_base64\": 7, \"more\" :";
    let duplicate_key = r#""data_base64":"eyJhIjoxLCJhIjoyfQ==","more":"#;
    let deep = format!("{data} {} , \"more\" :", "[".repeat(64) + &"]".repeat(64));
    check(vec![
        case("cloudevents", include_str!("cloudevents_xml.json"), "unsupported_content_type at /data of acme"),
        case("cloudevents", include_str!("cloudevents_binary_data.json"), "unsupported_content_type at /data_base64 of acme"),
        case("cloudevents", include_str!("cloudevents_batch.json"), "invalid_envelope at  of acme"),
        case("cloudevents", r#"{"event_type":"com.example.someevent","payload":1}"#, "invalid_envelope at  of acme"),
        case("cloudevents", S3_POINTER, "payload_by_reference at  of acme"),
        case("shared-cloudevents", CLOUDEVENTS_OBJECT, "unknown_tenant at /tenant_id of "),
        of_cloudevents("\"1.0\"", "\"0.3\"", "invalid_envelope at /specversion"),
        of_cloudevents("\"1.0\"", "1.0", "invalid_envelope at /specversion"),
        of_cloudevents("\"specversion\"", "\"version\"", "invalid_envelope at "),
        of_cloudevents("\"C234-1234-1234\"", "\"\"", "invalid_envelope at /id"),
        of_cloudevents("\"C234-1234-1234\"", "null", "invalid_envelope at "),
        of_cloudevents("\"/mycontext\"", "\"\"", "invalid_envelope at /source"),
        of_cloudevents("\"com.example.someevent\"", "7", "invalid_envelope at /type"),
        of_cloudevents("\"com.example.someevent\"", "\"com.example.another\"", "unknown_event_type at /event_type"),
        of_cloudevents("\"subject\": null", "\"subject\": \"\"", "invalid_envelope at /subject"),
        of_cloudevents(
            "\"subject\": null",
            "\"dataschema\": \"https://example.com/a/99999999999999999999\"",
            "unknown_schema_version at /schema_version",
        ),
        case(
            "cloudevents",
            &with(CLOUDEVENTS_OBJECT, "\"subject\": null", "\"tenantid\": \"another\""),
            "tenant_mismatch at /tenant_id of ",
        ),
        of_cloudevents("\"subject\": null", "\"clientid\": \"nobody\"", "unknown_client at /client_id"),
        of_cloudevents("2018-04-05T17:31:00Z", "yesterday", "invalid_envelope at /time"),
        of_cloudevents("\"application/json\"", "5", "invalid_envelope at /datacontenttype"),
        of_cloudevents(data, "\"payload\" :", "invalid_envelope at "),
        of_cloudevents(data, "\"data_base64\": \"MQ==\", \"data\" :", "envelope_mismatch at /data"),
        of_cloudevents(data, base64, "invalid_envelope at /data_base64"),
        of_cloudevents(
            "\"datacontenttype\" : \"application/json\",\n    \"data\" : {",
            "\"data_base64\": \"MQ==\", \"more\" : {",
            "unsupported_content_type at /data_base64",
        ),
        of_cloudevents("2018-04-05T17:31:00Z", "2018-04-05_17:31:00Z", "invalid_envelope at /time"),
        case("cloudevents", r#"{"S3Payload":{"Bucket":"bucket","Key":"key"}}"#, "payload_by_reference at  of acme"),
        of_cloudevents(data, &base64.replace('7', "\"%%\""), "invalid_envelope at /data_base64"),
        of_cloudevents(data, &base64.replace('7', "\"/w==\""), "malformed_json at /data_base64"),
        of_cloudevents(data, &base64.replace('7', "\"SGVsbG8=\""), "malformed_json at /data_base64"),
        of_cloudevents(data, duplicate_key, "duplicate_key at /data_base64"),
        of_cloudevents(data, &deep, "too_deep at "),
        of_cloudevents("\"value\"", &json!("x".repeat(16 << 10)).to_string(), "too_large at "),
        // Of two defects the left one.
        of_cloudevents("\"1.0\"", "\"1.0\", \"time\": 5, \"id\": \"\", \"more\": \"1\"", "duplicate_key at "),
        of_cloudevents("\"subject\": null,", "\"subject\": 5, \"clientid\": 6,", "invalid_envelope at /subject"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_cloud_event_in_binary_mode_is_refused() {
    check(vec![
        of_binary_mode("<much wow=\"xml\"/>", &[("content-type", "application/xml")], "unsupported_content_type at /content-type"),
        of_binary_mode("{}", &[("content-type", ""), ("Content-Type", "text/plain")], "unsupported_content_type at /Content-Type"),
        of_binary_mode(
            "<a/>",
            &[("ce-datacontenttype", "text/xml"), ("content-type", "")],
            "unsupported_content_type at /ce-datacontenttype",
        ),
        of_binary_mode(CLOUDEVENTS_MODE_DATA, &[("ce-datacontenttype", "text/json")], "envelope_mismatch at /content-type"),
        of_binary_mode(S3_POINTER, &[("content-type", "application/octet-stream")], "payload_by_reference at "),
        of_binary_mode("I'm just a string", &[], "malformed_json at "),
        of_binary_mode(CLOUDEVENTS_MODE_DATA, &[("ce-specversion", "0.3")], "invalid_envelope at /ce-specversion"),
        of_binary_mode(CLOUDEVENTS_MODE_DATA, &[("ce-id", "")], "invalid_envelope at "),
        of_binary_mode(CLOUDEVENTS_MODE_DATA, &[("ce-time", "now")], "invalid_envelope at /ce-time"),
        of_binary_mode(CLOUDEVENTS_OBJECT, &[("ce-id", "another")], "envelope_mismatch at /id"),
        of_binary_mode(CLOUDEVENTS_OBJECT, &[("ce-comexampleothervalue", "6")], "envelope_mismatch at /comexampleothervalue"),
        (
            "cloudevents",
            "1".to_owned(),
            vec![binary_attribute("ce-specversion", b"1.0")],
            "invalid_envelope at /ce-specversion of acme".to_owned(),
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_event_of_eventbridge_is_refused() {
    check(vec![
        case("eventbridge", include_str!("eventbridge_ec2_abridged.json"), "invalid_envelope at  of acme"),
        case("eventbridge", CLOUDEVENTS_OBJECT, "invalid_envelope at  of acme"),
        case("eventbridge", S3_POINTER, "payload_by_reference at  of acme"),
        case("shared-eventbridge", EVENTBRIDGE_EC2, "unknown_tenant at /tenant_id of "),
        of_eventbridge("\"version\": \"0\"", "\"version\": 0", "invalid_envelope at /version"),
        of_eventbridge("\"version\": \"0\"", "\"version\": \"1\"", "invalid_envelope at /version"),
        of_eventbridge("\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\"", "\"\"", "invalid_envelope at /id"),
        of_eventbridge("\"EC2 Instance State-change Notification\"", "\"Stateänderung\"", "unknown_event_type at /event_type"),
        of_eventbridge("\"aws.ec2\"", "\"\"", "invalid_envelope at /source"),
        of_eventbridge("\"111122223333\"", "111122223333", "invalid_envelope at /account"),
        of_eventbridge("\"region\"", "\"realm\"", "invalid_envelope at "),
        of_eventbridge("2017-12-22T18:43:48Z", "1513968228", "invalid_envelope at /time"),
        of_eventbridge("\"resources\": [", "\"resources\": {}, \"more\": [", "invalid_envelope at /resources"),
        of_eventbridge("\"detail\": {", "\"detail\": null, \"more\": {", "invalid_envelope at "),
        of_eventbridge("\"detail\": {", "\"detail\": \"{}\", \"more\": {", "invalid_envelope at /detail"),
        of_eventbridge("\"terminated\"", "\"on fire\"", "schema_violation at /state"),
        // Of two defects the left one; what is missing has no place.
        of_eventbridge("\"version\": \"0\",\n  \"id\": ", "\"id\": 7, \"time\": ", "duplicate_key at "),
        of_eventbridge("\"version\": \"0\",\n  \"id\": ", "\"id\": 7, \"idle\": ", "invalid_envelope at /id"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_notification_with_an_event_is_refused() {
    let wrapped_twice = sns(r#"{"event_type":"com.example.someevent","payload":1}"#);
    let escaped = r#"{"event_type":"com.example.someevent","payload":"\u0000"}"#;
    check(vec![
        case("sns", include_str!("sns_hello.json"), "malformed_json at /Message of acme"),
        case("sns", SNS_TO_QUEUE, "malformed_json at /Message of acme"),
        case("sns", include_str!("sns_subscription.json"), "invalid_envelope at /Type of acme"),
        case("sns", include_str!("sns_unsubscription.json"), "invalid_envelope at /Type of acme"),
        case("sns", r#"{"event_type":"com.example.someevent","payload":1}"#, "invalid_envelope at  of acme"),
        case("sns", S3_POINTER, "payload_by_reference at  of acme"),
        case("native", SNS_TO_QUEUE, "invalid_envelope at  of acme"),
        of_sns("\"Notification\"", "\"notification\"", "invalid_envelope at /Type"),
        of_sns("\"dc1e94d9-56c5-5e96-808d-cc7f68faa162\"", "7", "invalid_envelope at /MessageId"),
        of_sns("arn:aws:sns:", "arn:aws:sqs:", "invalid_envelope at /TopicArn"),
        of_sns("arn:aws:sns:", "arn:azure:sns:", "invalid_envelope at /TopicArn"),
        of_sns("\"2021-02-16T21:41:19.978Z\"", "\"today\"", "invalid_envelope at /Timestamp"),
        of_sns("\"Timestamp\"", "\"Time\"", "invalid_envelope at "),
        of_sns("\"Message\": \"", "\"Message\": {}, \"Text\": \"", "invalid_envelope at /Message"),
        of_sns("\"Message\": \"", "\"Message\": null, \"Text\": \"", "invalid_envelope at "),
        of_sns("\"TestSubject\"", &json!("x".repeat(16 << 10)).to_string(), "too_large at "),
        of_message(&wrapped_twice, "invalid_envelope at /Message"),
        of_message(EVENTBRIDGE_EC2, "invalid_envelope at /Message"),
        of_message(S3_POINTER, "payload_by_reference at /Message"),
        of_message(r#"{"s3BucketName":"bucket","s3Key":"key"}"#, "payload_by_reference at /Message"),
        of_message(
            r#"{"specversion":"1.0","id":"1","source":"/a","type":"com.example.someevent","data_base64":"MQ=="}"#,
            "unsupported_content_type at /Message/data_base64",
        ),
        of_message("eyJldmVudF90eXBlIjoiYSJ9", "malformed_json at /Message"),
        of_message("[]", "invalid_envelope at /Message"),
        of_message(escaped, "unstorable at /Message"),
        of_message(&escaped.replace("\\u0000", "\\ud800"), "unstorable at /Message"),
        of_message(&escaped.replace("\"\\u0000\"", "1e999"), "number_out_of_range at /Message"),
        of_message(&escaped.replace("\"\\u0000\"", "{\"a\":1,\"a\":1}"), "duplicate_key at /Message"),
        of_message(&escaped.replace("\"\\u0000\"", &("[".repeat(64) + &"]".repeat(64))), "too_deep at /Message"),
        of_message(&escaped.replace("\"\\u0000\"", "1,\"message\":1"), "envelope_mismatch at /Message/message"),
        of_message(r#"{"event_type":"com.example.someevent","event_id":""}"#, "invalid_envelope at /Message/event_id"),
        of_message(&with(CLOUDEVENTS_OBJECT, "\"1.0\"", "\"0.3\""), "invalid_envelope at /Message/specversion"),
        of_message(include_str!("cloudevents_xml.json"), "unsupported_content_type at /Message/data"),
        // Of two defects the left one.
        of_sns(
            "\"Type\": \"Notification\",",
            "\"Message\": \"x\", \"Type\": \"SubscriptionConfirmation\", \"Text\": \"\",",
            "duplicate_key at ",
        ),
        case("sns", r#"{"Message":"x","Type":"SubscriptionConfirmation","MessageId":7}"#, "invalid_envelope at /Type of acme"),
        case("sns", r#"{"Message":"x","Type":"Notification","MessageId":7}"#, "malformed_json at /Message of acme"),
        case("sns", r#"{"MessageId":7,"Message":"x","Type":"Notification"}"#, "invalid_envelope at /MessageId of acme"),
    ])
    .await;
}

#[tokio::test]
async fn no_url_of_a_message_is_ever_visited() {
    let visited = TcpListener::bind("127.0.0.1:0").expect("a listener");
    visited.set_nonblocking(true).expect("non-blocking");
    let url = format!("http://{}/", visited.local_addr().expect("an address"));
    let confirmation = include_str!("sns_subscription.json").replace("https://sns.us-west-2.amazonaws.com/", &url);
    let notification = sns(r#"{"event_type":"com.example.someevent","payload":1}"#).replace("https://sns.us-east-2.amazonaws.com/", &url);
    assert!(
        confirmation.contains(&format!("\"SubscribeURL\" : \"{url}")) && notification.contains(&format!("\"UnsubscribeURL\": \"{url}"))
    );
    let stack = start().await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    let producer = Producer::of(&stack);
    for body in [&confirmation, &notification, &confirmation.replace("SubscriptionConfirmation", "UnsubscribeConfirmation")] {
        producer.send("sns", body, &[]).await;
    }
    at_rest(&stack).await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!(stack.database.count("select count(*) from message").await, 1);
    let dead_letters = stack.database.rows("select reason, errors -> 0 ->> 'expected' from dead_letter").await;
    assert!(
        dead_letters.len() == 2
            && dead_letters.iter().all(|dead_letter| dead_letter.starts_with("invalid_envelope | \"Notification\"; this asks to confirm"))
    );
    let visitor = visited.accept().map(|(_, address)| address).map_err(|error| error.kind());
    assert_eq!(visitor, Err(std::io::ErrorKind::WouldBlock));
}
