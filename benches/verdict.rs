//! Body to verdict: how long one event takes, beside what its parts take. Compare the rows of one run with each other; the machine's
//! noise is the spread between the least and the middle of many rounds.

#![expect(clippy::print_stdout, reason = "whoever measures reads it")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use event_processor::candidate::{Candidate, QueueBinding};
use event_processor::catalog::directory;
use event_processor::decode::decode;
use event_processor::json;
use event_processor::schema::{Bundle, Compiled};
use event_processor::settings::Format;

const ROUNDS: usize = 200;
const EVENTS_PER_ROUND: u32 = 200;

fn main() {
    let (schema, payload) = sample();
    let body = format!(r#"{{"tenant_id":"shop","source":"bench","event_id":"0199","event_type":"order.created","payload":{payload}}}"#);
    let candidate = Arc::new(candidate(body));
    println!("shop/order.created, body of {} bytes; nanoseconds an event, least and middle of {ROUNDS} rounds", candidate.body.len());
    let whole = measure("body to verdict", || {
        let decoded = decode(Arc::clone(&candidate), 1 << 20).map_err(|rejection| rejection.reason);
        schema.is_valid(decoded.expect("a good envelope").payload())
    });
    let read = measure("read alone", || json::read(&candidate.body).is_ok());
    let decoded = decode(Arc::clone(&candidate), 1 << 20).map_err(|rejection| rejection.reason).expect("a good envelope");
    let validate = measure("validate alone", || schema.is_valid(decoded.payload()));
    let foreign = measure("serde_json to Value, for comparison", || serde_json::from_slice::<serde_json::Value>(&candidate.body).is_ok());
    println!("body to verdict / (read + validate) = {:.2}", whole / (read + validate));
    println!("read / serde_json = {:.2}", read / foreign);
}

/// The least and the middle of the rounds; the middle is returned.
fn measure(name: &str, mut work: impl FnMut() -> bool) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..EVENTS_PER_ROUND {
                assert!(black_box(work()));
            }
            began.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS_PER_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let (least, middle) = (rounds[0], rounds[ROUNDS / 2]);
    println!("{name:<36} {least:>8.0} {middle:>8.0}");
    middle
}

/// An event type of the sample catalog, and its first valid example.
fn sample() -> (Compiled, String) {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let declaration = directory::read(&catalog).expect("the sample catalog is good");
    let tenant = declaration.tenants.iter().find(|tenant| tenant.tenant_id.as_str() == "shop").expect("shop");
    let event_type = tenant.event_types.iter().find(|event_type| event_type.event_type == "order.created").expect("order.created");
    let bundle = Bundle::from_json(&event_type.schemas[0].bundle).expect("a bundle");
    let examples = catalog.join("shop/order.created/examples/valid");
    let mut files: Vec<_> = std::fs::read_dir(examples).expect("examples").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    (Compiled::compile(&bundle).expect("it compiles"), std::fs::read_to_string(&files[0]).expect("an example"))
}

fn candidate(body: String) -> Candidate {
    let binding = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format: Format::Native };
    Candidate { message_id: "bench".to_owned(), ..Candidate::of_body(binding, body.into_bytes()) }
}
