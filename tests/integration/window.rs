//! The window: what is reserved, held, given back and counted.

use std::sync::Arc;
use std::time::Duration;

use event_processor::candidate::{Candidate, QueueBinding};
use event_processor::metrics::{Metrics, Outcome};
use event_processor::queue::{Lease, ReceivedMessage};
use event_processor::settings::Format;
use event_processor::window::Window;

fn window(events_max: usize, bytes_max: usize) -> (Arc<Window>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    (Window::new(events_max, bytes_max, Arc::clone(&metrics)), metrics)
}

fn messages(count: usize, bytes: usize) -> Vec<ReceivedMessage> {
    let binding = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format: Format::Native };
    let candidate = || Arc::new(Candidate::of_body(binding.clone(), vec![b' '; bytes]));
    (0..count).map(|_| ReceivedMessage { candidate: candidate(), lease: Lease::new(String::new(), None) }).collect()
}

const MIB: usize = 1 << 20;

/// How many messages of up to 1 MiB a poll of one more queue may ask for; none where it has to wait for the first.
async fn room(window: &Arc<Window>) -> Option<usize> {
    let reservation = tokio::time::timeout(Duration::from_millis(200), window.share("events").reserve(10, MIB)).await.ok()?;
    Some(reservation.messages())
}

#[tokio::test]
async fn a_poll_asks_for_what_there_is_room_for_by_number_and_by_bytes() {
    assert_eq!(room(&window(3, 64 * MIB).0).await, Some(3));
    assert_eq!(room(&window(100, 4 * MIB).0).await, Some(4));
    assert_eq!(room(&window(100, 64 * MIB).0).await, Some(10));
}

#[tokio::test]
async fn what_is_in_flight_takes_room_until_it_is_dropped() {
    let (window, metrics) = window(4, 4 * MIB);
    let mut in_flight = window.share("events").reserve(10, MIB).await.fill(messages(3, 1000));
    assert_eq!((metrics.in_flight_events.get(), metrics.in_flight_bytes.get()), (3, 3000));
    // Three messages of 1 KB are in flight; a fourth of up to 1 MiB fits.
    assert_eq!(room(&window).await, Some(1));
    let more = window.share("events").reserve(10, MIB).await.fill(messages(1, 1000));
    assert_eq!(room(&window).await, None);
    drop(more);
    in_flight.truncate(1);
    assert_eq!(room(&window).await, Some(3));
}

#[tokio::test]
async fn an_idle_poll_holds_room_for_one_message_and_may_overshoot() {
    let (window, metrics) = window(1, MIB);
    let reservation = window.share("events").reserve_idle(10, 64 << 10).await;
    assert_eq!(reservation.messages(), 10);
    let in_flight = reservation.fill(messages(10, 200_000));
    assert_eq!(metrics.in_flight_events.get(), 10);
    assert_eq!(room(&window).await, None, "the window is overshot, and nothing more is received");
    drop(in_flight);
    assert_eq!(room(&window).await, Some(1));
    assert_eq!((metrics.in_flight_events.get(), metrics.in_flight_bytes.get()), (0, 0));
}

#[tokio::test]
async fn what_is_larger_than_what_was_reserved_is_held_and_the_next_polls_wait_for_it() {
    let (window, _) = window(100, 4 * MIB);
    let in_flight = window.share("events").reserve(10, 1_000).await.fill(messages(10, MIB));
    assert_eq!(room(&window).await, None, "6 MiB too much are held");
    let mut rest = in_flight;
    rest.truncate(4);
    assert_eq!(room(&window).await, None, "the room is full");
    rest.truncate(2);
    assert_eq!(room(&window).await, Some(2));
}

#[tokio::test]
async fn a_poll_that_waits_for_messages_leaves_its_room_to_others_but_for_one_message() {
    let (window, _) = window(10, 10 * MIB);
    let mut waiting = window.share("events").reserve(10, MIB).await;
    assert!(!waiting.has_waited);
    assert_eq!(room(&window).await, None);
    waiting.shrink();
    assert_eq!(room(&window).await, Some(9));
    drop(waiting);
    assert_eq!(room(&window).await, Some(10));
}

#[tokio::test]
async fn a_queue_leaves_a_fourth_of_the_room_to_others() {
    let (window, _) = window(1_000, 40 * MIB);
    let share = window.share("events");
    let mut in_flight = Vec::new();
    while let Ok(reservation) = tokio::time::timeout(Duration::from_millis(200), share.reserve(10, MIB)).await {
        in_flight.extend(reservation.fill(messages(1, MIB)));
    }
    assert_eq!(in_flight.len(), 30);
    assert_eq!(room(&window).await, Some(10), "another one does not wait");
    in_flight.truncate(29);
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), share.reserve(10, MIB)).await.expect("room").messages(), 4);
}

#[tokio::test]
async fn an_event_that_is_stuck_leaves_a_queue_the_rest_of_a_small_window() {
    let (window, _) = window(2, 4 * MIB);
    let share = window.share("events");
    let _stuck = share.reserve(1, MIB).await.fill(messages(1, 1000));
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), share.reserve(10, MIB)).await.expect("room").messages(), 1);
}

#[tokio::test]
async fn each_copy_gets_exactly_one_outcome_and_one_that_is_dropped_was_released() {
    let (window, metrics) = window(10, 10 << 20);
    let mut in_flight = window.share("events").reserve(10, MIB).await.fill(messages(2, 10));
    in_flight[0].permit.record("shop", Outcome::Stored);
    in_flight[0].permit.record("shop", Outcome::Duplicate);
    assert_eq!(metrics.in_flight_events.get(), 1);
    drop(in_flight);
    let outcome = |tenant, outcome| metrics.events.with_label_values(&["events", tenant, outcome]).get();
    assert_eq!((outcome("shop", "stored"), outcome("shop", "duplicate"), outcome("unknown", "released")), (1, 0, 1));
    assert_eq!(metrics.messages_received.with_label_values(&["events"]).get(), 2);
}
