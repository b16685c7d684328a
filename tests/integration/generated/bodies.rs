//! The generator: events of the type that takes any payload, odd within the limits, most of them then damaged.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use crate::corpus::TENANT;

/// Values that a reader may trip over, JSON within the limits.
const ODD: [&str; 28] = [
    "0",
    "-0",
    "-0.0e-0",
    "1E+2",
    "1.0",
    "0e999999999",
    "1.7976931348623157e308",
    "5e-324",
    "18446744073709551616",
    "9007199254740993",
    "0.10000000000000000000000000000000000000000000000000000000000001",
    "1234567890123456789012345678901234567890123456789012345678901234",
    "true",
    "false",
    "null",
    r#""""#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u0041\u00e9\uFFFF\u2028""#,
    r#""\ud83d\ude00 \uDBFF\uDFFF""#,
    r#""\\u0000 \\ud800""#,
    "\"\u{7f}\u{80}\u{feff}\u{2028}\u{fffd}\u{10ffff}\"",
    "\"e\u{301} \u{e9} \u{1f468}\u{200d}\u{1f469}\"",
    r#""{\"a\":1}""#,
    "[]",
    "{}",
    "[ \t\r\n]",
    r#"{"":{"":""}}"#,
    r#"{"__proto__":1,"$ref":"x","\u0061":2}"#,
];

/// Values that are no JSON, or beyond a limit.
const BAD: [&str; 24] = [
    "+1",
    "01",
    "1.",
    ".5",
    "-",
    "1e",
    "0x1",
    "NaN",
    "-Infinity",
    "1e309",
    "-1e999999999999999999999",
    "12345678901234567890123456789012345678901234567890123456789012345",
    "tru",
    "True",
    "undefined",
    "'a'",
    r#""\x""#,
    r#""\u00g0""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    "\"a\nb\"",
    r#"{"a":1,"\u0061":2}"#,
    "[1,]",
];

/// What mutations put in, all of it carried by SQS.
const CHARACTERS: &str = "{}[]\",:\\/ \t\n\r0019eE+-.tfnulasx\u{7f}\u{85}\u{a0}\u{e9}\u{2028}\u{feff}\u{fffd}\u{1f600}\u{10ffff}";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}; give a number")))
}

/// How many bodies a test wants: as many as `GENERATED_BODIES` says.
pub fn count() -> usize {
    usize::try_from(number("GENERATED_BODIES", 10_000)).expect("a number of bodies")
}

/// Bodies without end, the same ones for the same `GENERATED_SEED`.
pub fn bodies() -> impl Iterator<Item = String> {
    let seed = number("GENERATED_SEED", 3);
    println!("GENERATED_BODIES={} GENERATED_SEED={seed}", count());
    let mut random = StdRng::seed_from_u64(seed);
    (0..).map(move |index| body(&mut random, index))
}

/// An event of the type that takes any payload; four of five are then damaged.
fn body(random: &mut StdRng, index: u64) -> String {
    let mut fields = vec![
        format!(r#""tenant_id":"{TENANT}""#),
        r#""event_type":"any""#.to_owned(),
        format!(r#""event_id":"generated {index}""#),
        format!(r#""{}":{}"#, pick(random, &["payload", "message", r"pay\u006coad"]), value(random, 4)),
    ];
    let optional = match random.random_range(0..8) {
        0 => r#""schema_version":1.0e0"#.to_owned(),
        1 => r#""occurred_at":"2026-11-30T12:00:00.5+01:00""#.to_owned(),
        2 => r#""source":"\u00e9","subject":null"#.to_owned(),
        3 => format!(r#""{}":{}"#, pick(random, &["schema_version", "source", "subject", "occurred_at", "client_id"]), value(random, 0)),
        4 => format!(r#""{}":{}"#, pick(random, &["x", r"\u00e9", r"event_i\u0064", ""]), value(random, 2)),
        _ => r#""traceparent":null"#.to_owned(),
    };
    fields.push(optional);
    fields.shuffle(random);
    let mut text: Vec<char> = format!("{{{}}}", fields.join(", ")).chars().collect();
    if random.random_ratio(4, 5) {
        for _ in 0..random.random_range(1..=3) {
            mutate(random, &mut text);
        }
    }
    text.into_iter().collect()
}

/// A value, nested at most so deep; now and then at the limit of nesting or just beyond.
fn value(random: &mut StdRng, depth: usize) -> String {
    match random.random_range(0..100) {
        0 => pick(random, &BAD).to_owned(),
        1 => {
            let levels = random.random_range(60..=66);
            format!("{}{}", "[".repeat(levels), "]".repeat(levels))
        }
        2..50 if depth > 0 => {
            let items: Vec<_> = (0..random.random_range(0..4)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", items.join(" ,"))
        }
        50..90 if depth > 0 => {
            let names = ["a", "b", "c", r"\n", "\u{1f600}", r"\ud83d\ude01"].choose_multiple(random, 3);
            let members: Vec<_> = names.map(|name| (name, random.random_range(0..depth))).collect();
            let members: Vec<_> = members.into_iter().map(|(name, depth)| format!("\"{name}\" :{}", value(random, depth))).collect();
            format!("{{{}}}", members.join(",\n"))
        }
        _ => pick(random, &ODD).to_owned(),
    }
}

fn pick<'a>(random: &mut StdRng, texts: &[&'a str]) -> &'a str {
    texts.choose(random).expect("one of several")
}

/// Damages a text: cut off, a character lost, added or replaced, a part repeated, another nesting put in.
fn mutate(random: &mut StdRng, text: &mut Vec<char>) {
    if text.is_empty() {
        return;
    }
    let position = random.random_range(0..text.len());
    let character = CHARACTERS.chars().collect::<Vec<_>>().choose(random).copied().expect("one of several");
    match random.random_range(0..12) {
        0 => text.truncate(position),
        1..4 => drop(text.remove(position)),
        4..7 => text.insert(position, character),
        7..10 => text[position] = character,
        10 => {
            let end = text.len().min(position + random.random_range(1..40));
            text.extend_from_within(position..end);
            text[position..].rotate_right(end - position);
        }
        _ => drop(text.splice(position..position, pick(random, &["[[[[[[[[", "{\"a\":{\"a\":", "]]", "}}"]).chars())),
    }
}
