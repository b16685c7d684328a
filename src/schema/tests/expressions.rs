//! Regular expressions as ECMA 262 has them.

use serde_json::json;

use super::{ROOT, check, check_violation};

/// An expression, a text, and whether it matches.
const CASES: &[(&str, &str, bool)] = &[
    (r"^\d$", "1", true),
    (r"^\d$", "\u{0661}", false),
    (r"^\D$", "\u{0661}", true),
    (r"^\w$", "_", true),
    (r"^\w$", "é", false),
    (r"^[\w]$", "é", false),
    (r"^\W$", "é", true),
    (r"^[^\W]$", "é", false),
    (r"^\s$", "\u{feff}", true),
    (r"^\s$", "\u{0085}", false),
    (r"^\S$", "\u{0085}", true),
    (r"\bfoo\b", "a foo b", true),
    (r"\bfoo\b", "éfoo", true),
    (r"\bfoo\b", "xfoo", false),
    (r"\Boo", "éoo", false),
    (r"\Boo", "foo", true),
    (r"^é\b", "é", false),
    (r"^[\b]$", "\u{8}", true),
    (r"^[\b]$", "b", false),
    (r"^a$", "a\n", false),
    (r"^.$", "\u{2028}", false),
    (r"^.$", "\r", false),
    (r"^.$", "\u{1f600}", true),
    (r"^[^]$", "\n", true),
    (r"^[^]+x$", "a\nbx", true),
    (r"[]", "a", false),
    (r"^\0$", "\u{1}", false),
    (r"^\cJ$", "\n", true),
    (r"^\u0041\x42$", "AB", true),
    (r"^\u{1F600}$", "\u{1f600}", true),
    (r"^\uD83D\uDE00$", "\u{1f600}", true),
    (r"^[\uD83D\uDE00-\uD83D\uDE02]$", "\u{1f601}", true),
    (r"^\p{Letter}\p{Script=Greek}$", "aβ", true),
    (r"^[a-z&&[^b]]$", "b]", true),
    (r"^[[]$", "[", true),
    (r"^\<b\>$", "<b>", true),
    (r"^{a}$", "{a}", true),
    (r"^a{2}$", "aa", true),
    (r"^a{,2}$", "a{,2}", true),
    (r"^\/\-$", "/-", true),
    (r"^(?<year>\d{4})$", "2026", true),
    (r"^(?:a|b)*?$", "ab", true),
];

#[test]
fn an_expression_means_what_ecma_262_says() {
    for &(pattern, text, matches) in CASES {
        let payload = json!(text).to_string();
        check(&json!({"pattern": pattern}), &payload, matches);
        check(&json!({"propertyNames": {"pattern": pattern}}), &format!("{{{payload}: 1}}"), matches);
        check(&json!({"patternProperties": {pattern: false}}), &format!("{{{payload}: 1}}"), !matches);
        check(&json!({"patternProperties": {pattern: true}, "additionalProperties": false}), &format!("{{{payload}: 1}}"), matches);
    }
}

#[test]
fn a_violation_shows_the_expression_as_it_is_written() {
    let place = format!("{ROOT}#/pattern");
    check_violation(&json!({"pattern": r"\bé"}), "\"a\"", ["pattern", "", &place, r"text that matches \bé", "string"]);
    let place = format!("{ROOT}#/patternProperties/\\b~0~1/minimum");
    let names = json!({"patternProperties": {r"\b~/": {"minimum": 1}}});
    check_violation(&names, r#"{"a~/": 0}"#, ["minimum", "/a~0~1", &place, "at least 1", "number"]);
}
