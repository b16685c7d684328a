//! Numbers as the validator sees them: by their text, exactly.

use std::borrow::Cow;

use jsonschema::json::JsonNumber;
use serde_json::Number;

use super::keywords::escape;
use crate::json::{Node, canonical};

/// The numbers of a file that are others once they are integers of 64 bits or doubles, which is how schemas are kept: where they stand, and
/// how they were written. `0.1` is none of them: it is how the double next to it is written.
pub(super) fn inexact(file: &Node<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    add_inexact(file, &mut String::new(), &mut found);
    found
}

fn add_inexact(node: &Node<'_>, pointer: &mut String, found: &mut Vec<(String, String)>) {
    let length = pointer.len();
    let mut within = |name: &str, value: &Node<'_>| {
        pointer.push('/');
        pointer.push_str(name);
        add_inexact(value, pointer, found);
        pointer.truncate(length);
    };
    match node {
        Node::Number(text) => {
            let kept = serde_json::from_str::<Number>(text).map(|number| number.to_string());
            if kept.is_ok_and(|kept| kept != **text && canonical(&Node::Number(&kept)) != canonical(node)) {
                found.push((pointer.clone(), (*text).to_owned()));
            }
        }
        Node::Array(items) => items.iter().enumerate().for_each(|(index, item)| within(&index.to_string(), item)),
        Node::Object(members) => members.iter().for_each(|member| within(&escape(&member.name), &member.value)),
        Node::Null | Node::Boolean(_) | Node::String(_) => {}
    }
}

/// A number as it was written.
pub(super) struct Text<'a>(pub(super) &'a str);

impl JsonNumber for Text<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, Number> {
        let whole = self.as_u64().map(Number::from).or_else(|| self.as_i64().map(Number::from));
        let number = whole.or_else(|| self.as_f64().and_then(Number::from_f64));
        // The reader let pass only numbers that a finite double is near.
        Cow::Owned(number.unwrap_or_else(|| Number::from(0)))
    }

    /// By exact decimal value: `1e30` and `2.0` are integers, `9007199254740993.5` is none.
    fn is_integer(&self) -> bool {
        let (mantissa, exponent) = self.0.split_once(['e', 'E']).unwrap_or((self.0, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().unwrap_or(0);
        let digits = fraction.trim_end_matches('0').len();
        let zeros = whole.len() - whole.trim_end_matches('0').len();
        let is_zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'-' | b'.'));
        let locations = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        is_zero || if digits > 0 { exponent >= locations(digits) } else { exponent >= -locations(zeros) }
    }
}
