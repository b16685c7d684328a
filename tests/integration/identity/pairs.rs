//! The pairs: what differs between two events, and whether they are one.

/// What two events are to each other.
#[derive(Clone, Copy)]
pub enum Expect {
    /// One event: the second is a duplicate.
    Duplicate,
    /// As long as the first is not stored the second is rejected for another reason; from then on it is a duplicate.
    DuplicateOnceStored,
    /// Two events under one id: the second is a dead letter.
    Conflict,
    /// Two events, both stored.
    Two,
}

/// Two bodies.
pub struct Pair {
    pub name: &'static str,
    pub first: String,
    pub second: String,
    pub expect: Expect,
}

/// A body of its members' text.
fn event(members: &str) -> String {
    format!("{{{members}}}")
}

/// Events that differ in nothing but their payloads' text.
fn payloads((name, first, second, expect): (&'static str, &str, &str, Expect)) -> Pair {
    let of = |payload: &str| event(&format!(r#""tenant_id":"acme","event_type":"note","event_id":"{name}","payload":{payload}"#));
    Pair { name, first: of(first), second: of(second), expect }
}

/// What most envelopes have; `%` is the pair's name, which no other pair has as its id.
const NOTE: &str = r#""tenant_id":"acme","event_type":"note","event_id":"%","payload":1"#;

/// Events whose envelopes differ.
fn envelopes((name, first, second, expect): (&'static str, &str, &str, Expect)) -> Pair {
    let of = |members: &str| event(&members.replace("NOTE", NOTE).replace('%', name));
    Pair { name, first: of(first), second: of(second), expect }
}

/// Events whose ids differ in nothing but this.
fn ids((name, first, second, expect): (&'static str, &str, &str, Expect)) -> Pair {
    let of = |rest: &str| event(&NOTE.replace('%', &format!("{name} {rest}")));
    Pair { name, first: of(first), second: of(second), expect }
}

/// All pairs.
pub fn pairs() -> Vec<Pair> {
    use Expect::{Conflict, Duplicate, Two};
    let of_payloads = [
        ("equal", r#"{"a":1}"#, r#"{"a":1}"#, Duplicate),
        ("white space", r#"{"a":[1,2]}"#, "{ \"a\" :\n[ 1,\t2 ] }", Duplicate),
        ("key order", r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{"b":{"d":3,"c":2},"a":1}"#, Duplicate),
        ("escapes", r#"{"a":"\u00e9\/\ud83d\ude00"}"#, r#"{"\u0061":"é/😀"}"#, Duplicate),
        ("1 and 1.0", "[1]", "[1.0]", Duplicate),
        ("1 and 1e0", "[1]", "[1e0]", Duplicate),
        ("100 and 1E+2", "[100]", "[1E+2]", Duplicate),
        ("0 and -0.0", "[0]", "[-0.0]", Duplicate),
        ("2^64 and 2^64+1", "[18446744073709551616]", "[18446744073709551617]", Conflict),
        ("0.1 and nearly", "[0.1]", "[0.10000000000000000001]", Conflict),
        ("item order", "[1,2]", "[2,1]", Conflict),
        ("text and number", "[1]", r#"["1"]"#, Conflict),
        ("null and absent", r#"{"a":null}"#, "{}", Conflict),
        ("composed", r#"["é"]"#, "[\"e\u{301}\"]", Conflict),
        ("other payload", r#"{"a":1}"#, r#"{"a":2}"#, Conflict),
    ];
    let of_envelopes = [
        ("other type", "NOTE", r#""event_type":"memo","tenant_id":"acme","event_id":"%","payload":1"#, Conflict),
        ("other version", r#"NOTE,"schema_version":1"#, r#"NOTE,"schema_version":2"#, Duplicate),
        ("other client", r#"NOTE,"client_id":"client-1""#, r#"NOTE,"client_id":"client-2""#, Conflict),
        ("client and none", r#"NOTE,"client_id":"client-1""#, "NOTE", Conflict),
        ("other tenant", "NOTE", r#""tenant_id":"another","event_type":"note","event_id":"%","payload":1"#, Two),
        ("other source", r#"NOTE,"source":"a""#, r#"NOTE,"source":"b""#, Two),
        ("source in capitals", r#"NOTE,"source":"a""#, r#"NOTE,"source":"A""#, Two),
        ("absent and empty source", "NOTE", r#"NOTE,"source":"""#, Duplicate),
        (
            "other surroundings",
            r#"NOTE,"subject":"a","occurred_at":"2026-11-30T12:00:00Z""#,
            r#"NOTE,"subject":"b","more":true"#,
            Duplicate,
        ),
        ("old name", "NOTE", r#""tenant_id":"acme","event_type":"note","event_id":"%","message":1"#, Duplicate),
        ("no id", r#""tenant_id":"acme","event_type":"note","payload":1"#, r#""tenant_id":"acme","event_type":"note","payload":1"#, Two),
    ];
    let of_ids = [
        ("composed id", "é", "e\u{301}", Two),
        ("escaped id", "é", r"\u00e9", Duplicate),
        ("id in capitals", "id", "ID", Two),
        ("id with a space", "id", "id ", Two),
    ];
    let others = of_envelopes.into_iter().map(envelopes).chain(of_ids.into_iter().map(ids));
    of_payloads.into_iter().map(payloads).chain(others).chain([stricter()]).collect()
}

/// The second copy names a version that forbids what the payload has.
fn stricter() -> Pair {
    let of = |rest: &str| event(&format!(r#""tenant_id":"acme","event_type":"note","event_id":"stricter version","payload":{rest}"#));
    let (first, second) = (of(r#"{"old":1}"#), of(r#"{"old":1.0},"schema_version":2"#));
    Pair { name: "stricter version", first, second, expect: Expect::DuplicateOnceStored }
}
