//! The same JSON in other letters: keys in another order, white space, escapes. Equal by meaning, so still a duplicate.

use super::body::quote;
use crate::json::{self, Node};

/// Writes a JSON text anew; one that cannot be read stays as it is.
pub(super) fn reformat(text: &str) -> String {
    let Ok(node) = json::read(text.as_bytes()) else { return text.to_owned() };
    let mut written = String::with_capacity(text.len() * 2);
    write(&node, &mut written);
    written
}

fn write(node: &Node<'_>, text: &mut String) {
    match node {
        Node::Null => text.push_str("null"),
        Node::Boolean(boolean) => text.push_str(if *boolean { "true" } else { "false" }),
        Node::Number(number) => text.push_str(number),
        Node::String(string) => text.push_str(&escape_first(string)),
        Node::Array(items) => list(text, ['[', ']'], items.iter(), write),
        Node::Object(members) => list(text, ['{', '}'], members.iter().rev(), |member, text| {
            text.push_str(&quote(&member.name));
            text.push_str(" : ");
            write(&member.value, text);
        }),
    }
}

fn list<T>(text: &mut String, brackets: [char; 2], items: impl Iterator<Item = T>, mut write_item: impl FnMut(T, &mut String)) {
    text.push(brackets[0]);
    for (position, item) in items.enumerate() {
        text.push_str(if position == 0 { " " } else { " ,\n" });
        write_item(item, text);
    }
    text.push(' ');
    text.push(brackets[1]);
}

/// A string whose first character is written as an escape, where it is ASCII.
fn escape_first(string: &str) -> String {
    match string.chars().next().filter(char::is_ascii) {
        Some(first) => format!("\"\\u{:04x}{}", u32::from(first), &quote(&string[1..])[1..]),
        None => quote(string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reformatted_text_is_another_text_of_the_same_value() {
        for text in [r#"{"a":[1.50,"x\n\"",""],"é":{"b":null,"c":true}}"#, r#""hello 7""#, "[[],{}]", r#""\"é""#] {
            let other = reformat(text);
            assert!(json::is_equal(text, &other), "{text} and {other}");
            assert_ne!(text, other);
        }
        assert_eq!(reformat("Hello World"), "Hello World");
    }
}
