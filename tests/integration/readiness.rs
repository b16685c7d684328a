//! When the daemon is ready, and when it is not alive.

use crate::load::{counted, event, requests, send, visible};
use crate::stack::{Stack, eventually};

#[tokio::test]
async fn one_queue_of_two_is_enough_the_other_is_named_and_none_is_not() {
    let stack = Stack::start(&["events"]).await;
    let daemon = stack.daemon("events?trust=any,missing", &[]).await;
    let expected = (200, "ready\nqueue missing: does not exist; create it or correct QUEUES\n".to_owned());
    eventually("it is ready, and names the other queue", async || (daemon.get("/readyz").await == expected).then_some(())).await;
    assert_eq!(counted(&daemon, "queue_ready", r#"queue="events""#).await, 1);
    assert_eq!(counted(&daemon, "queue_ready", r#"queue="missing""#).await, 0);
    let queue = stack.queue("events").await;
    send(&queue, [event("1")]).await;
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);

    let daemon = stack.daemon("absent,missing", &[]).await;
    let problem = "does not exist; create it or correct QUEUES\n";
    let expected = (503, format!("queue absent: {problem}queue missing: {problem}"));
    eventually("neither is there", async || (daemon.get("/readyz").await == expected).then_some(())).await;
    assert_eq!(counted(&daemon, "queue_ready", "").await, 0);
    assert_eq!(daemon.get("/livez").await.0, 200);
    stack.clients.create_queue("absent", &[]).await.expect("a queue");
    daemon.ready().await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_role_that_may_only_read_is_found_before_anything_is_received() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, [event("1")]).await;
    let role = format!("reader_{}", uuid::Uuid::now_v7().simple());
    stack.database.execute(&format!("create role {role} login; grant select on all tables in schema public to {role}")).await;
    let mut url = url::Url::parse(&stack.database.url).expect("a URL");
    url.set_username(&role).expect("a user");
    let daemon = stack.daemon("events?trust=any", &[("DATABASE_URL", url.as_str())]).await;
    daemon.says("permission denied for table message (SQLSTATE 42501); run `processor migrate`").await;
    assert_eq!((daemon.get("/readyz").await.0, daemon.get("/livez").await.0), (503, 200));
    assert_eq!((requests(&daemon, "receive").await, visible(&queue).await), (0, 1));
    assert!(counted(&daemon, "store_errors_total", r#"class="permission""#).await > 0);
    assert_eq!(daemon.stop().await, 0);
    stack.database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn a_path_on_which_nothing_moves_is_not_alive() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let planted = "hung_writer=return;progress_interval=return(20)";
    let daemon = stack.daemon("events?trust=any", &[("FAILPOINTS", planted), ("DRAIN_TIMEOUT", "1")]).await;
    daemon.ready().await;
    assert_eq!(daemon.get("/livez").await, (200, "alive\n".to_owned()));
    send(&queue, [event("1")]).await;
    eventually("it is not alive", async || (daemon.get("/livez").await.0 == 503).then_some(())).await;
    assert!(daemon.get("/livez").await.1.starts_with("no event has come any further for two minutes"), "{:?}", daemon.get("/livez").await);
    assert_eq!(daemon.stop().await, 75);
}
