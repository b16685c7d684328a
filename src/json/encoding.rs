//! Texts that are no JSON for how they are encoded alone, as programs and editors of all kinds do it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DefectKind, read};

/// What to say of a text that is malformed, where it would be JSON in another encoding: what that is, and what to do.
pub fn encoding(text: &[u8]) -> Option<&'static str> {
    match text {
        [0xEF, 0xBB, 0xBF, ..] => Some("this begins with a byte-order mark: leave that out"),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] | [1..=0xFF, 0, 0, 0, ..] | [0, 0, 0, 1..=0xFF, ..] => {
            Some("this is UTF-32: encode it as UTF-8")
        }
        // JSON begins with an ASCII character, which has a zero beside it.
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [1..=0xFF, 0, ..] | [0, 1..=0xFF, ..] => Some("this is UTF-16: encode it as UTF-8"),
        _ if is_latin_1(text) => Some("this is Latin-1 or Windows-1252: encode it as UTF-8"),
        _ if is_base64(text) => Some("this is base64 of JSON, as celery and kombu send it: send the JSON itself"),
        _ => None,
    }
}

/// UTF-8 that is broken somewhere has whole characters in other places; Latin-1 has none.
fn is_latin_1(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err()
        && text.utf8_chunks().all(|chunk| chunk.valid().is_ascii())
        && is_json(text.iter().copied().map(char::from).collect::<String>().as_bytes())
}

fn is_base64(text: &[u8]) -> bool {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    // Of an object or an array: a word may well decode to a number.
    STANDARD.decode(text).is_ok_and(|json| matches!(json.trim_ascii_start().first(), Some(b'{' | b'[')) && is_json(&json))
}

fn is_json(text: &[u8]) -> bool {
    !read(text).is_err_and(|defect| matches!(defect.kind, DefectKind::Malformed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_another_encoding_is_told_from_what_is_no_json_in_any() {
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let utf_32 = |text: &str, bytes: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(bytes).collect::<Vec<u8>>();
        for text in ["{\"a\":\"\u{e9}\"}", "\u{feff}[1]", "\"\u{4e16}\"", "7 "] {
            for encoded in [utf_16(text, u16::to_le_bytes), utf_16(text, u16::to_be_bytes)] {
                assert_eq!(encoding(&encoded), Some("this is UTF-16: encode it as UTF-8"), "{text}");
            }
            for encoded in [utf_32(text, u32::to_le_bytes), utf_32(text, u32::to_be_bytes)] {
                assert_eq!(encoding(&encoded), Some("this is UTF-32: encode it as UTF-8"), "{text}");
            }
        }
        for (text, expected) in [
            (&b"\xEF\xBB\xBF{}"[..], Some("this begins with a byte-order mark: leave that out")),
            (b"{\"name\":\"Jos\xE9 \x96 M\xFCller\"}", Some("this is Latin-1 or Windows-1252: encode it as UTF-8")),
            (b"{\"a\":\"\xE9\",\"a\":1}", Some("this is Latin-1 or Windows-1252: encode it as UTF-8")),
            (b"eyJ0YXNrIjoiYSJ9\n", Some("this is base64 of JSON, as celery and kombu send it: send the JSON itself")),
            (b"WzEs\r\nMl0=", Some("this is base64 of JSON, as celery and kombu send it: send the JSON itself")),
            // Whole characters, and one that was cut.
            ("{\"a\":\"\u{e9}\u{e9}\u{e9}".as_bytes().split_at(10).0, None),
            (b"{\"a\":\"\xC3\xA9\xE9\"}", None),
            // Latin-1, yet no JSON.
            (b"Jos\xE9", None),
            // Base64 of a number, of text, and of nothing.
            (b"MTIz", None),
            (b"SGVsbG8gV29ybGQ=", None),
            (b"Hello World", None),
            (b"", None),
            (b"\0", None),
            (b"\0\0", None),
        ] {
            assert_eq!(encoding(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
