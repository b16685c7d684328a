//! Many queues share one window, and none starves another.
//!
//! `IDLE_QUEUES=300` sets so many idle queues beside a busy one.

use tokio::time::Instant;

use crate::endpoint::{Answer, Endpoint};
use crate::load::{counted, event, send, send_many};
use crate::stack::{Stack, eventually};

const FLOOD: usize = 1_000;
const FEW: usize = 20;

#[tokio::test]
async fn a_flooded_queue_does_not_keep_another_waiting() {
    let stack = Stack::start(&["flooded", "calm"]).await;
    let (flooded, calm) = (stack.queue("flooded").await, stack.queue("calm").await);
    send_many(&flooded, &(0..FLOOD).map(|number| event(&format!("flood-{number}"))).collect::<Vec<_>>()).await;
    let daemon = stack.daemon("flooded?trust=any,calm?trust=any", &[("IN_FLIGHT_EVENTS_MAX", "20")]).await;
    eventually("the flood is under way", async || (stack.database.count("select count(*) from message").await >= 100).then_some(())).await;
    send_many(&calm, &(0..FEW).map(|number| event(&format!("calm-{number}"))).collect::<Vec<_>>()).await;
    stack.at_rest(&calm).await;
    stack.at_rest(&flooded).await;
    let stored = "select count(*) from message where queue";
    assert_eq!(stack.database.count(&format!("{stored} = 'flooded'")).await, i64::try_from(FLOOD).expect("a number"));
    assert_eq!(stack.database.count(&format!("{stored} = 'calm'")).await, i64::try_from(FEW).expect("a number"));
    let before = stack
        .database
        .count(&format!("{stored} = 'flooded' and received_at <= (select max(received_at) from message where queue = 'calm')"))
        .await;
    println!("of {FLOOD} events of the flooded queue {before} were stored when the last of the calm one's was");
    assert!(before < i64::try_from(FLOOD / 2).expect("a number"), "{before} of {FLOOD}");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn idle_queues_do_not_hold_the_room_of_a_busy_one() {
    let idle = std::env::var("IDLE_QUEUES").map_or(50, |text| text.parse::<usize>().expect("IDLE_QUEUES is a number"));
    let names: Vec<String> = (0..idle).map(|number| format!("idle-{number}")).chain(["busy".to_owned()]).collect();
    let stack = Stack::start(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let busy = stack.queue("busy").await;
    let events: Vec<String> = (0..500).map(|number| event(&format!("event-{number}"))).collect();
    // Room for each idle poll's one message, of 64 KiB, and for ten of the busy queue's. Did idle polls hold more, the busy queue would wait
    // for some of them to end before each poll of its own, for seconds.
    let (window, bytes) = ((idle + 10).to_string(), format!("{}MiB", idle.div_ceil(16) + 10));
    let list: Vec<String> = names.iter().map(|name| format!("{name}?trust=any")).collect();
    let settings = [("IN_FLIGHT_EVENTS_MAX", window.as_str()), ("IN_FLIGHT_BYTES_MAX", &bytes), ("DRAIN_TIMEOUT", "8")];
    let daemon = stack.daemon(&list.join(","), &settings).await;
    daemon.ready().await;
    let began = Instant::now();
    send_many(&busy, &events).await;
    stack.at_rest(&busy).await;
    let received = async |queue: &str| counted(&daemon, "sqs_requests_total", &format!(r#"operation="receive",queue="{queue}"#)).await;
    let rounds = received("idle-").await / i64::try_from(idle).expect("a number");
    println!(
        "500 events beside {idle} idle queues: {:.1?}, {rounds} rounds of idle polls, {} busy ones",
        began.elapsed(),
        received("busy").await
    );
    assert_eq!(stack.database.count("select count(*) from message").await, 500);
}

#[tokio::test]
async fn an_idle_queue_keeps_one_connection_open() {
    const QUEUES: usize = 20;
    // Those who count messages have one between them, or a few.
    const OTHERS_MAX: usize = 5;
    let names: Vec<String> = (0..QUEUES).map(|number| format!("idle-{number}")).collect();
    let stack = Stack::start(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let list: Vec<String> = names.iter().map(|name| format!("{name}?trust=any")).collect();
    // Were messages counted for all queues at once, by answers that take a while, each would find its connection again before it is closed.
    endpoint.always("GetQueueAttributes", Answer::Drip);
    let settings = [("AWS_ENDPOINT_URL", endpoint.url.as_str()), ("FAILPOINTS", "depth_interval=return(2000);idle_time_max=return(2500)")];
    let daemon = stack.daemon(&list.join(","), &settings).await;
    daemon.ready().await;
    for name in &names {
        send(&stack.queue(name).await, [event(name)]).await;
    }
    eventually("all is stored", async || (stack.database.count("select count(*) from message").await == 20).then_some(())).await;
    let busy = endpoint.connections();
    eventually("the idle queues have a connection each", async || {
        let is_left = (QUEUES..=QUEUES + OTHERS_MAX).contains(&endpoint.connections());
        is_left.then_some(())
    })
    .await;
    println!("{busy} connections while {QUEUES} queues had an event each, {} when they were idle", endpoint.connections());
    assert_eq!(daemon.stop().await, 0);
}
