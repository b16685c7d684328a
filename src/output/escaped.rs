//! Text of strangers for a terminal: it shows what it is, and moves nothing.

use std::fmt::{self, Write as _};

/// A line of text in which characters that could forge lines, colours or the order of reading are shown as escapes: control characters (C0
/// and C1), line separators, those without a width, and Unicode's bidirectional controls (UAX #9).
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.contains(is_deceptive) {
            return formatter.pad(self.0);
        }
        let mut text = String::with_capacity(self.0.len());
        for character in self.0.chars() {
            if is_deceptive(character) { text.extend(character.escape_default()) } else { text.push(character) }
        }
        formatter.pad(&text)
    }
}

fn is_deceptive(character: char) -> bool {
    let is_bidirectional = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // Not U+200C and U+200D, without which Persian and many emoji cannot be written.
    let is_invisible = matches!(character, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}');
    character.is_control() || is_bidirectional || is_invisible
}

/// JSON with the same value and, but for its newlines and tabs, without such characters.
pub(super) fn of_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            // In JSON these are only ever white space: strings have to escape them.
            '\n' | '\t' => text.push(character),
            '\r' => text.push(' '),
            character if is_deceptive(character) => {
                // Writing to a string cannot fail, and none of them is beyond the basic plane.
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            character => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_terminal_is_shown_as_an_escape_and_all_else_as_it_is() {
        for (text, expected) in [
            ("plain, Größe, 日本語, 👩\u{200d}👧", "plain, Größe, 日本語, 👩\u{200d}👧"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\u{0}"),
            ("\u{7f}\u{80}\u{9b}31m\u{9f}", "\\u{7f}\\u{80}\\u{9b}31m\\u{9f}"),
            ("\u{202e}\u{2066}x\u{2069}\u{200e}\u{200f}\u{61c}", "\\u{202e}\\u{2066}x\\u{2069}\\u{200e}\\u{200f}\\u{61c}"),
            ("\u{2028}\u{2029}\u{feff}\u{200b}\u{2060}", "\\u{2028}\\u{2029}\\u{feff}\\u{200b}\\u{2060}"),
        ] {
            assert_eq!(Escaped(text).to_string(), expected);
        }
        assert_eq!(format!("{:<8}|", Escaped("a\n")), "a\\n     |");
    }

    #[test]
    fn json_keeps_its_value() {
        let json = "{\r\n\t\"a\u{202e}\u{9b}\": \"\u{7f}\\u001b\u{feff}é\"\n}";
        let text = of_json(json);
        assert_eq!(text, "{ \n\t\"a\\u202e\\u009b\": \"\\u007f\\u001b\\ufeffé\"\n}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&text), read(json));
    }
}
