//! Many schemas in use at once, and room for some of them.

use crate::isolation::drain;
use crate::load::send_many;
use crate::stack::{Directory, Stack};

const EVENT_TYPES: usize = 5;

/// How many tenants there are, `COMPILED_SCHEMAS_TENANTS`; 1,000 weigh well over 20 MiB.
fn tenants() -> usize {
    std::env::var("COMPILED_SCHEMAS_TENANTS").map_or(60, |text| text.parse().expect("COMPILED_SCHEMAS_TENANTS is a number"))
}

/// A schema that no other tenant or event type has.
fn schema(tenant: usize, event_type: usize) -> String {
    format!(
        r#"{{"type": "object", "required": ["note"], "properties": {{"note": {{"type": "string", "maxLength": {}}},
        "amount": {{"type": "integer", "minimum": {event_type}}}, "tags": {{"type": "array", "items": {{"type": "string"}}}}}}}}"#,
        100 + tenant
    )
}

/// An event of each type of each tenant, so many times over; those of one schema as far from each other as can be.
fn events(batch: &str, rounds: usize) -> Vec<String> {
    let all = (0..rounds * EVENT_TYPES * tenants()).map(|number| {
        let (tenant, event_type) = (number % tenants(), number / tenants() % EVENT_TYPES);
        format!(
            r#"{{"tenant_id":"t{tenant}","event_id":"{batch}-{number}","event_type":"type{event_type}","payload":{{"note":"hello","amount":7}}}}"#
        )
    });
    all.collect()
}

#[tokio::test]
async fn schemas_that_do_not_all_fit_are_compiled_again_and_their_events_are_stored() {
    let (stack, rounds) = (Stack::start_without_catalog(&["events"]).await, 4);
    let catalog = Directory::create();
    for tenant in 0..tenants() {
        catalog.write(&format!("t{tenant}/tenant.toml"), "");
        for event_type in 0..EVENT_TYPES {
            catalog.write(&format!("t{tenant}/type{event_type}/1.json"), &schema(tenant, event_type));
        }
    }
    stack.database.apply(&catalog.0).await;
    let bound = if tenants() < 1_000 { "1MiB" } else { "20MiB" };
    for (batch, room) in [("unbounded", "64GiB"), ("bounded", bound)] {
        let events = events(batch, rounds);
        send_many(&stack.queue("events").await, &events).await;
        let (daemon, time) = drain(&stack, &[("COMPILED_SCHEMAS_BYTES_MAX", room)]).await;
        let stored = stack.database.count(&format!("select count(*) from message where event_id like '{batch}-%'")).await;
        assert_eq!(usize::try_from(stored).ok(), Some(events.len()));
        let gauge = async |name: &str| daemon.metric(name, "").await;
        let (compiled, weight) =
            (gauge("event_processor_compiled_schemas").await, gauge("event_processor_compiled_schemas_weight_bytes").await);
        let memory = gauge("process_resident_memory_bytes").await / 1024.0 / 1024.0;
        println!(
            "{room}: {} events took {time:.1?}; {compiled} schemas that weigh {weight} bytes are compiled; {memory:.0} MiB",
            events.len()
        );
        let all = f64::from(u32::try_from(EVENT_TYPES * tenants()).expect("a small number"));
        assert!(compiled > 0.0 && compiled <= all, "{compiled}");
        assert_eq!(compiled < all, batch == "bounded", "{compiled} of {all}");
        assert_eq!(daemon.stop().await, 0);
    }
}
