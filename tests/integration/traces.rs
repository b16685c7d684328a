//! Traces, from the producer's span to the request that a receiver gets, and what they may cost: nothing.

mod collector;

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::endpoint::Endpoint;
use crate::load::{assert_each_stored_once, events, send};
use crate::producer::{Attribute, Producer, attribute};
use crate::sender::receiver::{Receiver, Request};
use crate::stack::{PROCESSOR, SENDER, Stack, command, eventually};
use collector::{Answer, Collector, value};

const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const TRACE_OF_HEADER: &str = "5759e988bd862e3fe1be46a994272793";

/// A producer's trace and span, by a digit.
fn ids(digit: char) -> (String, String) {
    (String::from(digit).repeat(32), String::from(digit).repeat(16))
}

fn traceparent(digit: char, flags: &str) -> Attribute {
    let (trace_id, span_id) = ids(digit);
    attribute("traceparent", "String", &format!("00-{trace_id}-{span_id}-{flags}"))
}

fn event(event_id: &str, event_type: &str, more: &str) -> String {
    format!(r#"{{"tenant_id":"platform","event_id":"canary-{event_id}","event_type":"{event_type}","payload":"canary"{more}}}"#)
}

/// A client of the tenant `platform` that gets all of its events at the receiver.
async fn subscribe(stack: &Stack, receiver: &Receiver) {
    let settings = json!({ "url": receiver.url("/status/200") });
    let statements = format!(
        "update client set settings = '{settings}' where tenant_id = 'platform';
         insert into client (tenant_id, client_id, name, settings) values ('platform', 'hook', 'hook', '{settings}');
         delete from subscription where tenant_id = 'platform';
         insert into subscription (tenant_id, client_id, event_pattern) values ('platform', 'hook', '*')"
    );
    stack.database.execute(&statements).await;
}

async fn sender(stack: &Stack, variables: &[(&'static str, &str)]) -> Daemon {
    let mut environment = stack.environment();
    environment.push(("SENDER_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()));
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Daemon::start_sender(environment).await
}

/// The request that was made for an event.
async fn request(stack: &Stack, receiver: &Receiver, event_id: &str) -> Request {
    let query = format!("select delivery_webhook_id('platform', '', 'canary-{event_id}', 'hook')");
    let webhook_id = stack.database.rows(&query).await.remove(0);
    let find = async || receiver.requests("/").into_iter().find(|request| request.headers["webhook-id"] == webhook_id);
    eventually(&format!("the request for {event_id}"), find).await
}

/// Trace, span and flags that a request carries.
fn context(request: &Request) -> (String, String, String) {
    let parts: Vec<&str> = request.headers["traceparent"].split('-').collect();
    assert_eq!(parts[0], "00", "{request:?}");
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

fn is_of(span: &Span, attribute: &str, expected: &str) -> bool {
    value(&span.attributes, attribute).as_deref() == Some(expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_from_the_producer_through_the_daemon_to_the_receiver_and_holds_nothing_of_the_event() {
    let stack = Stack::start(&["events", "header", "sns"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.set_trace_header(TRACE_HEADER);
    let (collector, receiver) = (Collector::start(Answer::Takes).await, Receiver::start().await);
    subscribe(&stack, &receiver).await;
    let producer = Producer::of(&stack);
    let state = attribute("tracestate", "String", "vendor=canary-state");
    let by_attribute = producer.send("events", &event("a", "monitor-app", ""), &[traceparent('a', "01"), state]).await;
    let member = format!(r#","traceparent":"00-{}-{}-01""#, ids('b').0, ids('b').1);
    let by_body = producer.send("events", &event("b", "monitor-app", &member), &[]).await;
    let refused = producer.send("events", &event("c", "unheard-of", ""), &[traceparent('c', "01")]).await;
    producer.send("events", &event("d", "monitor-app", ""), &[traceparent('d', "00")]).await;
    let by_header = producer.send("header", &event("e", "monitor-app", ""), &[]).await;
    let notification = json!({
        "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:000000000000:topic", "Timestamp": "2026-11-30T12:00:00.000Z",
        "Message": event("f", "monitor-app", ""),
        "MessageAttributes": { "traceparent": { "Type": "String", "Value": format!("00-{}-{}-01", ids('f').0, ids('f').1) } },
    });
    let by_topic = producer.send("sns", &notification.to_string(), &[]).await;
    let exporting = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let daemon = stack
        .daemon(
            "events?trust=any,header?trust=any,sns?trust=any&format=sns",
            &[&exporting[..], &[("AWS_ENDPOINT_URL", &endpoint.url)]].concat(),
        )
        .await;
    let sender = sender(&stack, &exporting).await;
    let told = [
        ("a", context(&request(&stack, &receiver, "a").await)),
        ("b", context(&request(&stack, &receiver, "b").await)),
        ("d", context(&request(&stack, &receiver, "d").await)),
        ("e", context(&request(&stack, &receiver, "e").await)),
        ("f", context(&request(&stack, &receiver, "f").await)),
    ];
    for queue in ["events", "header", "sns"] {
        stack.at_rest(&stack.queue(queue).await).await;
    }
    assert_eq!((sender.stop().await, daemon.stop().await), (0, 0));

    // Each event is processed in its producer's trace, below its producer's span.
    let processed = collector.named("process ");
    let xray = (TRACE_OF_HEADER.to_owned(), "53995c3f42cd8ad8".to_owned());
    let expected = [
        (&by_attribute, "events", ids('a'), "stored", None),
        (&by_body, "events", ids('b'), "stored", None),
        (&refused, "events", ids('c'), "rejected", Some("unknown_event_type")),
        (&by_header, "header", xray, "stored", None),
        (&by_topic, "sns", ids('f'), "stored", None),
    ];
    assert_eq!(processed.len(), expected.len(), "what its producer has not sampled is not: {processed:#?}");
    for (message_id, queue, (trace_id, span_id), outcome, reason) in expected {
        let span = processed.iter().find(|span| is_of(span, "messaging.message.id", message_id)).expect("a span");
        assert_eq!((hex::encode(&span.trace_id), hex::encode(&span.parent_span_id)), (trace_id.clone(), span_id.clone()));
        let links: Vec<_> = span.links.iter().map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id))).collect();
        assert_eq!(links, [(trace_id, span_id)]);
        assert_eq!((span.name.clone(), span.kind), (format!("process {queue}"), 5), "a consumer's");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        for (attribute, expected) in [
            ("messaging.system", Some("aws_sqs")),
            ("messaging.operation.type", Some("process")),
            ("messaging.destination.name", Some(queue)),
            ("event_processor.tenant", Some("platform")),
            ("event_processor.event_type", reason.is_none().then_some("monitor-app")),
            ("event_processor.outcome", Some(outcome)),
            ("error.type", reason),
        ] {
            assert_eq!(value(&span.attributes, attribute).as_deref(), expected, "{attribute} of {span:?}");
        }
    }
    // Each batch is linked to the spans of all its events.
    let batches = collector.named("store batch");
    let linked: BTreeSet<_> = batches
        .iter()
        .filter(|batch| batch.status.is_none() || batch.status.as_ref().is_some_and(|status| status.code == 0))
        .flat_map(|batch| &batch.links)
        .map(|link| (&link.trace_id, &link.span_id))
        .collect();
    assert_eq!(linked, processed.iter().map(|span| (&span.trace_id, &span.span_id)).collect());
    assert!(
        batches.iter().all(
            |batch| is_of(batch, "db.system.name", "postgresql") && value(&batch.attributes, "messaging.batch.message_count").is_some()
        )
    );

    // The receiver is told of the same trace, and of the span that sent to it.
    let delivered = collector.named("deliver");
    for (event_id, (trace_id, span_id, flags)) in &told {
        let digit = event_id.chars().next().expect("a digit");
        let expected = if *event_id == "e" { TRACE_OF_HEADER.to_owned() } else { ids(digit).0 };
        assert_eq!((trace_id, flags.as_str()), (&expected, if *event_id == "d" { "00" } else { "01" }), "{event_id}");
        assert_ne!(*span_id, ids(digit).1, "{event_id}: the producer's own span");
        let span = delivered.iter().find(|span| hex::encode(&span.span_id) == *span_id);
        assert_eq!(span.is_some(), *event_id != "d", "{event_id}");
        assert!(span.is_none_or(|span| is_of(span, "event_processor.client", "hook") && is_of(span, "event_processor.channel", "webhook")));
    }
    assert_eq!(request(&stack, &receiver, "a").await.headers["tracestate"], "vendor=canary-state");
    assert_eq!(stack.database.rows("select count(*) from message where traceparent is not null").await, ["5"]);

    for (path, authorization, body) in collector.requests() {
        assert_eq!((path.as_str(), authorization.as_str()), ("/v1/traces", "Bearer s3cret"));
        assert!(!String::from_utf8_lossy(&body).contains("canary"), "spans hold something of an event: {body:?}");
    }
    let names: BTreeSet<_> = collector.spans().iter().map(|(resource, _)| value(resource, "service.name")).collect();
    assert_eq!(names, ["event-processor", "event-processor-sender"].map(|name| Some(name.to_owned())).into());
    assert!(collector.spans().iter().all(|(resource, _)| value(resource, "deployment.environment.name").as_deref() == Some("test")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_that_are_off_go_nowhere_and_the_producers_context_goes_on_as_it_is() {
    let stack = Stack::start(&["events"]).await;
    let (collector, receiver) = (Collector::start(Answer::Takes).await, Receiver::start().await);
    subscribe(&stack, &receiver).await;
    let off = [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_SERVICE_NAME", "events")];
    Producer::of(&stack).send("events", &event("a", "monitor-app", ""), &[traceparent('a', "01")]).await;
    Producer::of(&stack).send("events", &event("b", "monitor-app", ""), &[]).await;
    let daemon = stack.daemon("events?trust=any", &off).await;
    let sender = sender(&stack, &off).await;
    let (trace_id, span_id) = ids('a');
    assert_eq!(context(&request(&stack, &receiver, "a").await), (trace_id, span_id, "01".to_owned()));
    assert!(!request(&stack, &receiver, "b").await.headers.contains_key("traceparent"));
    stack.at_rest(&stack.queue("events").await).await;
    assert_eq!((sender.stop().await, daemon.stop().await), (0, 0));
    assert_eq!(collector.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_hangs_or_refuses_costs_no_event_anything() {
    let (hanging, refusing) = (Collector::start(Answer::Never).await, Collector::start(Answer::Unavailable).await);
    for (url, problem) in [
        ("http://127.0.0.1:1", "Connection refused"),
        (hanging.url.as_str(), "it did not answer within 200ms"),
        (refusing.url.as_str(), "status code: 503"),
    ] {
        let stack = Stack::start(&["events"]).await;
        let queue = stack.queue("events").await;
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "200")];
        let daemon = stack.daemon("events?trust=any", &variables).await;
        daemon.ready().await;
        send(&queue, events(300)).await;
        stack.at_rest(&queue).await;
        assert_each_stored_once(&stack.database, 300).await;
        let dropped = async || (daemon.metric("event_processor_spans_dropped_total", "").await > 0.0).then_some(());
        eventually("spans are dropped and counted", dropped).await;
        assert_eq!(daemon.get("/readyz").await.0, 200, "{url}");
        let lines = || daemon.log().lines().filter(|line| line.contains("spans")).map(str::to_owned).collect::<Vec<_>>();
        eventually("it is told why", async || (!lines().is_empty()).then_some(())).await;
        let told: Value = serde_json::from_str(&lines()[0]).expect("JSON");
        assert!(told["problem"].as_str().expect("a problem").contains(problem), "{told}");
        assert_eq!(lines().len(), 1, "{:#?}", lines());
        assert_eq!(daemon.stop().await, 0, "{url}");
    }
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_keep_a_drain_from_ending_in_time() {
    let collector = Collector::start(Answer::Never).await;
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let receiver = Receiver::start().await;
    subscribe(&stack, &receiver).await;
    let daemon = stack.daemon("events?trust=any", &variables).await;
    let sender = sender(&stack, &variables).await;
    send(&queue, events(50)).await;
    stack.at_rest(&queue).await;
    eventually("all are delivered", async || (receiver.requests("/").len() == 50).then_some(())).await;
    eventually("the collector is asked by both", async || (collector.requests().len() >= 2).then_some(())).await;
    assert_eq!((daemon.stop().await, sender.stop().await), (0, 0));
}

#[tokio::test]
async fn a_wrong_variable_of_opentelemetry_is_named_before_anything_begins() {
    let nowhere = "postgres://someone:s3cret@127.0.0.1:1/events";
    let port = "write http/protobuf, and the collector's port for it (usually 4318) into the endpoint; no other one is built in";
    let samplers =
        "write one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio";
    for (variables, sentence) in [
        (
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")],
            "OTEL_EXPORTER_OTLP_ENDPOINT is \"localhost:4318\": write the URL of a collector's HTTP receiver, as http://localhost:4318"
                .to_owned(),
        ),
        (vec![("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER is \"zipkin\": write one of otlp, none".to_owned()),
        (vec![("OTEL_SDK_DISABLED", "yes")], "OTEL_SDK_DISABLED is \"yes\": write one of true, false".to_owned()),
        (
            vec![("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            format!("OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\": {port}"),
        ),
        (
            vec![("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
            "OTEL_EXPORTER_OTLP_COMPRESSION is \"gzip\": write none, or unset it; no compression is built in".to_owned(),
        ),
        (vec![("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "xray")], format!("OTEL_TRACES_SAMPLER is \"xray\": {samplers}")),
        (
            vec![("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1%")],
            "OTEL_TRACES_SAMPLER_ARG is \"1%\": write a share from 0 to 1, as 0.01".to_owned(),
        ),
        (
            vec![("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")],
            "OTEL_EXPORTER_OTLP_TIMEOUT is \"10s\": write milliseconds, a whole number from 1 to 600000".to_owned(),
        ),
        (
            vec![("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_RESOURCE_ATTRIBUTES", "a")],
            "OTEL_RESOURCE_ATTRIBUTES is \"a\": write attributes as name=value, comma-separated".to_owned(),
        ),
    ] {
        let mut environment =
            vec![("DATABASE_URL", nowhere.to_owned()), ("QUEUES", "events".to_owned()), ("AWS_REGION", "us-east-1".to_owned())];
        environment.extend(variables.into_iter().map(|(name, value)| (name, value.to_owned())));
        for (program, arguments) in [(PROCESSOR, &["run"][..]), (SENDER, &[])] {
            let (status, _, errors) = command(program, arguments, &environment).await;
            assert_eq!((status, errors.trim_end()), (78, format!("the value of {sentence}").as_str()), "{program}");
        }
    }
}
