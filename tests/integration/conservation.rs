//! Each received copy of an event gets exactly one outcome.

use crate::endpoint::{Answer, Endpoint};
use crate::ledger::Ledger;
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";
const SCRAPES: usize = 50;

/// One scrape: received, with an outcome, in flight.
struct Scrape {
    received: f64,
    settled: f64,
    in_flight: f64,
}

impl Scrape {
    fn read(text: &str) -> Self {
        let sum = |name: &str| crate::daemon::sum(text, &format!("event_processor_{name}"), "");
        Self { received: sum("messages_received_total"), settled: sum("events_total"), in_flight: sum("in_flight_events") }
    }
}

#[tokio::test]
async fn what_was_received_is_what_has_an_outcome_and_what_is_in_flight() {
    let stack = Stack::start(&["events"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let daemon = stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", "2")]).await;
    daemon.ready().await;
    let ledger = Ledger::on(&stack);
    let mut producers = ledger.begin(QUEUES, "--events 3000 --rate 1500 --invalid 0.2 --duplicates 0.1 --seed 9", 1).await;
    let mut previous = 0.0;
    for number in 0..SCRAPES {
        match number {
            10 => endpoint.next("ReceiveMessage", &[Answer::Throttled, Answer::Twice, Answer::Twice]),
            20 => {
                let others = "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
                stack.database.execute(&format!("select pg_terminate_backend(pid) from {others}")).await;
            }
            30 => endpoint.next("DeleteMessageBatch", &[Answer::LoseReply, Answer::FailEntries]),
            _ => {}
        }
        // More is received between two scrapes, so that each sees another state.
        let scraped = async || Scrape::read(&daemon.get("/metrics").await.1);
        let before = eventually("more was received", async || {
            let scrape = scraped().await;
            (scrape.received > previous || producers_ended(&ledger)).then_some(scrape)
        })
        .await;
        let (now, after) = (scraped().await, scraped().await);
        previous = after.received;
        // A scrape reads its figures one after the other, and each of the daemon's six tasks may be between two of them.
        assert!(now.settled <= after.received, "scrape {number}: more outcomes than events");
        assert!(before.received - after.settled <= now.in_flight + 6.0, "scrape {number}: {} in flight are too few", now.in_flight);
        assert!(now.in_flight <= after.received - before.settled + 6.0, "scrape {number}: {} in flight are too many", now.in_flight);
    }
    assert!(producers.wait().await.expect("a status").success());
    let report = ledger.assert_clean().await;
    let at_rest = eventually("nothing is in flight", async || {
        let scrape = Scrape::read(&daemon.get("/metrics").await.1);
        (scrape.in_flight == 0.0).then_some(scrape)
    })
    .await;
    let (copies, messages) = endpoint.handed_out();
    println!("{copies} copies of {messages} messages handed out: {report}");
    assert_eq!((format!("{}", at_rest.received), at_rest.received - at_rest.settled), (copies.to_string(), 0.0));
    assert!(copies > messages, "nothing was handed out twice");
    assert_eq!(daemon.stop().await, 0);
}

/// Whether all was sent, so that nothing more need come.
fn producers_ended(ledger: &Ledger) -> bool {
    ledger.text().lines().count() >= 3000
}
