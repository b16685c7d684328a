//! What is generated, without any queue.

use std::collections::BTreeSet;

use event_processor::candidate::QueueBinding;
use event_processor::catalog::directory;
use event_processor::producers::generation::{Draft, Expected, Generator, Mix};
use event_processor::producers::material;
use event_processor::settings::parse_queues;

use crate::stack::sample_catalog;

/// Events of the sample catalog for a queue.
fn drafts(queue: &str, mix: Mix, seed: u64, run: &str, count: usize) -> Vec<Draft> {
    let declaration = directory::read(&sample_catalog()).expect("the sample catalog");
    let kinds = material::of_catalog(&sample_catalog(), &declaration, &[], &[], mix.size).expect("examples");
    let binding = QueueBinding::from(&parse_queues(queue).expect("a queue")[0]);
    Generator::new(kinds, binding, mix, seed, run).expect("a generator").take(count).collect()
}

/// Bodies without what is theirs alone: the source and the event id.
fn bodies(seed: u64, run: &str) -> Vec<String> {
    let mix = Mix { invalid: 0.2, duplicates: 0.1, size: 200 };
    let drafts = drafts("events", mix, seed, run, 500);
    drafts.iter().map(|draft| draft.body.replace(&draft.event_id, "ID").replace(&draft.source, "SOURCE")).collect()
}

#[test]
fn the_same_seed_makes_the_same_bodies_but_for_their_ids() {
    assert_eq!(bodies(11, "one"), bodies(11, "two"));
    assert_ne!(bodies(11, "one"), bodies(12, "one"));
}

#[test]
fn wrong_events_take_turns_through_every_reason_that_a_producer_can_cause() {
    for (queue, tenant) in [("events", "unknown_tenant"), ("events=shop", "tenant_mismatch")] {
        let drafts = drafts(queue, Mix { invalid: 0.5, ..Mix::default() }, 1, "run", 200);
        let reasons: BTreeSet<&str> = drafts
            .iter()
            .filter_map(|draft| match draft.expected {
                Expected::Rejected(reason) => Some(reason.as_str()),
                _ => None,
            })
            .collect();
        let mut every = vec![
            "duplicate_key",
            "envelope_mismatch",
            "id_conflict",
            "invalid_envelope",
            "malformed_json",
            "number_out_of_range",
            "payload_by_reference",
            "schema_violation",
            "too_deep",
            "too_large",
            "unknown_client",
            "unknown_event_type",
            "unknown_schema_version",
            "unstorable",
            tenant,
        ];
        every.sort_unstable();
        assert_eq!(reasons.into_iter().collect::<Vec<_>>(), every, "{queue}");
    }
}

#[test]
fn shares_and_sizes_are_kept() {
    let mix = Mix { invalid: 0.11, duplicates: 0.05, size: 3000 };
    let drafts = drafts("events", mix, 5, "run", 4000);
    let count = |is_meant: fn(&&Draft) -> bool| drafts.iter().filter(is_meant).count();
    let invalid = count(|draft| matches!(draft.expected, Expected::Rejected(_)));
    let duplicates = count(|draft| draft.expected == Expected::Duplicate);
    assert!((360..=520).contains(&invalid) && (140..=260).contains(&duplicates), "{invalid} invalid, {duplicates} duplicates");
    let platform = |draft: &&Draft| draft.tenant_id == "platform" && draft.expected == Expected::Stored;
    assert!(drafts.iter().filter(platform).all(|draft| draft.payload.len() == 3000));
    let reformatted = |draft: &&Draft| draft.expected == Expected::Duplicate && draft.payload.contains("\\u00");
    let again = drafts.iter().filter(reformatted).count();
    assert!(again > 40 && again < duplicates, "{again} of {duplicates} duplicates are in other letters");
}

#[test]
fn an_event_type_without_examples_is_passed_over_and_ends_nothing() {
    let declaration = directory::read(&sample_catalog()).expect("the sample catalog");
    let mut kinds = material::of_catalog(&sample_catalog(), &declaration, &[], &[], 0).expect("examples");
    kinds[3].valid.clear();
    let (bare, others) = (kinds[3].event_type.clone(), kinds.len() - 1);
    let binding = QueueBinding::from(&parse_queues("events").expect("a queue")[0]);
    let drafts: Vec<Draft> = Generator::new(kinds, binding, Mix::default(), 1, "run").expect("a generator").take(50).collect();
    let types: BTreeSet<(&str, &str)> = drafts.iter().map(|draft| (draft.tenant_id.as_str(), draft.event_type.as_str())).collect();
    assert!(drafts.len() == 50 && types.len() == others, "{} events of {types:?}, without {bare}", drafts.len());
}
