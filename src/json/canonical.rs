//! One text for all ways to write a value: what makes two events with the same identity equal, and a schema the same schema.

use std::fmt::Write as _;

use super::{Node, read};

/// Writes a value so that two values have the same text exactly when they are equal: names sorted, no white space, one way to escape,
/// numbers by their exact decimal value (1 = 1.0 = 1e0).
pub fn canonical(node: &Node<'_>) -> String {
    let mut text = String::new();
    write_node(node, &mut text);
    text
}

/// Whether two texts are equal as JSON values; false where one of them is none.
pub fn is_equal(left: &str, right: &str) -> bool {
    match (read(left.as_bytes()), read(right.as_bytes())) {
        (Ok(left), Ok(right)) => canonical(&left) == canonical(&right),
        _ => false,
    }
}

/// The number as an integer, where it is one and fits.
pub fn integer(number: &str) -> Option<i64> {
    let decimal = Decimal::of(number);
    let zeros = usize::try_from(decimal.exponent).ok().filter(|zeros| *zeros <= 18)?;
    format!("{}{}{}", decimal.sign, decimal.digits, "0".repeat(zeros)).parse().ok()
}

fn write_node(node: &Node<'_>, text: &mut String) {
    match node {
        Node::Null => text.push_str("null"),
        Node::Boolean(boolean) => text.push_str(if *boolean { "true" } else { "false" }),
        Node::Number(number) => {
            let Decimal { sign, digits, exponent } = Decimal::of(number);
            text.push_str(sign);
            text.push_str(&digits);
            if exponent != 0 {
                text.push('e');
                text.push_str(&exponent.to_string());
            }
        }
        Node::String(string) => write_string(string, text),
        Node::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_node(item, text);
            }
            text.push(']');
        }
        Node::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|left, right| left.name.cmp(&right.name));
            text.push('{');
            for (index, member) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(&member.name, text);
                text.push(':');
                write_node(&member.value, text);
            }
            text.push('}');
        }
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// `sign digits * 10^exponent`, with neither leading nor trailing zeros in the digits; zero is `0` without a sign.
struct Decimal {
    sign: &'static str,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(number: &str) -> Self {
        let (sign, unsigned) = match number.strip_prefix('-') {
            Some(unsigned) => ("-", unsigned),
            None => ("", number),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let without_leading = all.trim_start_matches('0');
        let digits = without_leading.trim_end_matches('0');
        if digits.is_empty() {
            return Self { sign: "", digits: "0".to_owned(), exponent: 0 };
        }
        let trailing_zeros = without_leading.len() - digits.len();
        // The reader lets pass no exponent that does not fit.
        let exponent = exponent.parse().unwrap_or(0_i64) + to_i64(trailing_zeros) - to_i64(fraction.len());
        Self { sign, digits: digits.to_owned(), exponent }
    }
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, equal: bool) {
        assert_eq!(is_equal(left, right), equal, "{left} and {right}");
    }

    #[test]
    fn values_are_equal_by_meaning_and_numbers_by_exact_decimal_value() {
        check(r#"{"a":1,"b":[2]}"#, "{ \"b\" : [2.0], \"a\" : 1e0 }", true);
        check(r#""\u0041\n""#, "\"A\\u000a\"", true);
        check("[100, -0, 0.10, 1E+2]", "[1e2, 0, 1e-1, 100.0]", true);
        check("18446744073709551616", "18446744073709551617", false);
        check("0.1", "0.10000000000000000000000001", false);
        check("[1,2]", "[2,1]", false);
        check(r#""1""#, "1", false);
        check("null", r#""""#, false);
    }

    #[test]
    fn integers_are_recognised_in_every_spelling() {
        for (number, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("2e3", Some(2000)),
            ("-7", Some(-7)),
            ("0e999", Some(0)),
            ("1e-400", None),
            ("2.5", None),
            ("9223372036854775808", None),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("1e40", None),
        ] {
            assert_eq!(integer(number), expected, "{number}");
        }
    }
}
