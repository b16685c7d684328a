//! Regular expressions as ECMA 262 has them, in the words of the engine that answers in linear time. The validator translates `\d`, `\w`, `\s`
//! and `.`; this is the rest.

use std::iter::Peekable;
use std::str::Chars;

/// An expression whose parts mean to the engine what they mean in ECMA 262: boundaries of words and their characters in ASCII, `[^]`, `\0`,
/// and escapes that are others' anchors. What ECMA 262 does not have stays as it is.
pub(super) fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut is_in_class = false;
    while let Some(character) = rest.next() {
        match character {
            '\\' => escape(&mut rest, is_in_class, &mut translated),
            '[' if !is_in_class => match class(&mut rest) {
                Some(whole) => translated.push_str(whole),
                None => {
                    is_in_class = true;
                    translated.push('[');
                }
            },
            ']' => {
                is_in_class = false;
                translated.push(']');
            }
            '{' if !is_in_class && !is_quantifier(rest.clone()) => translated.push_str("\\{"),
            _ => translated.push(character),
        }
    }
    translated
}

/// A class of everything, or of nothing, which the engine writes otherwise.
fn class(rest: &mut Peekable<Chars<'_>>) -> Option<&'static str> {
    let ahead: String = rest.clone().take(2).collect();
    let (length, whole) = match ahead.as_str() {
        "^]" => (2, r"[\s\S]"),
        _ if ahead.starts_with(']') => (1, r"[^\s\S]"),
        _ => return None,
    };
    rest.nth(length - 1);
    Some(whole)
}

/// What follows a backslash.
fn escape(rest: &mut Peekable<Chars<'_>>, is_in_class: bool, translated: &mut String) {
    let Some(escaped) = rest.next() else { return translated.push('\\') };
    match escaped {
        'b' if is_in_class => translated.push_str(r"\x08"),
        'b' => translated.push_str(r"(?-u:\b)"),
        'B' if !is_in_class => translated.push_str(r"(?-u:\B)"),
        '0' if !rest.peek().is_some_and(char::is_ascii_digit) => translated.push_str(r"\x00"),
        // To the engine they are the start and the end of a word.
        '<' | '>' => translated.push(escaped),
        'u' => match surrogates(rest.clone()) {
            Some(character) => {
                rest.nth(9);
                translated.extend(character.escape_unicode());
            }
            None => braces(escaped, rest, translated),
        },
        'p' | 'P' | 'x' => braces(escaped, rest, translated),
        _ => translated.extend(['\\', escaped]),
    }
}

/// An escape with what it has in braces, which is no quantifier.
fn braces(escaped: char, rest: &mut Peekable<Chars<'_>>, translated: &mut String) {
    translated.extend(['\\', escaped]);
    if rest.peek() == Some(&'{') {
        let is_inside = |character: &char| *character != '}';
        translated.extend(std::iter::from_fn(|| rest.next_if(is_inside)));
    }
}

/// The one character that two escapes stand for, where `rest` begins behind the first `\u`.
fn surrogates(rest: Peekable<Chars<'_>>) -> Option<char> {
    let text: String = rest.take(10).collect();
    let unit = |digits: Option<&str>| u16::from_str_radix(digits?, 16).ok();
    let units = [unit(text.get(..4))?, unit(text.get(4..)?.strip_prefix("\\u"))?];
    let mut characters = char::decode_utf16(units);
    characters.next()?.ok().filter(|character| character.len_utf16() == 2)
}

/// Whether what follows a brace makes it a quantifier.
fn is_quantifier(rest: Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.take_while(|character| *character != '}').take(16).collect();
    let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}
