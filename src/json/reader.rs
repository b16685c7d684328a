//! The reader: recursive descent, at most [`DEPTH_MAX`] deep, each byte looked at once.

use std::borrow::Cow;

use super::names::Names;
use super::{DEPTH_MAX, Defect, DefectKind, Member, NUMBER_DIGITS_MAX, NUMBER_EXPONENTS, Node};

/// Reads one JSON value that fills the whole text, white space aside.
///
/// # Errors
/// The first [`Defect`] that a reader from left to right meets.
pub fn read(bytes: &[u8]) -> Result<Node<'_>, Defect> {
    // What stands before the first byte that is not UTF-8 is read all the same: an earlier defect comes first.
    let (text, is_cut) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, false),
        Err(error) => {
            let valid = &bytes[..error.valid_up_to()];
            (std::str::from_utf8(valid).unwrap_or_default(), true)
        }
    };
    let mut reader = Reader { text, bytes: text.as_bytes(), position: 0, depth: 0 };
    reader.skip_white_space();
    let node = reader.value()?;
    reader.skip_white_space();
    if is_cut {
        return Err(reader.defect(DefectKind::Malformed("bytes that are not UTF-8")));
    }
    if reader.position < text.len() {
        return Err(reader.defect(DefectKind::Malformed("more after the end of the value")));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn defect(&self, kind: DefectKind) -> Defect {
        Defect { kind, position: self.position }
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, Defect> {
        Err(self.defect(DefectKind::Malformed(what)))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    fn value(&mut self) -> Result<Node<'a>, Defect> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Node::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Node::Number(self.number()?)),
            Some(b't') => self.literal("true", Node::Boolean(true)),
            Some(b'f') => self.literal("false", Node::Boolean(false)),
            Some(b'n') => self.literal("null", Node::Null),
            Some(_) => self.malformed("no JSON value begins with this character"),
            None => self.malformed("the text ends where a value is expected"),
        }
    }

    fn literal(&mut self, word: &'static str, node: Node<'a>) -> Result<Node<'a>, Defect> {
        if self.bytes[self.position..].starts_with(word.as_bytes()) {
            self.position += word.len();
            return Ok(node);
        }
        self.malformed("an unknown word; strings stand in double quotes")
    }

    fn nested(&mut self, inside: fn(&mut Self) -> Result<Node<'a>, Defect>) -> Result<Node<'a>, Defect> {
        if self.depth == DEPTH_MAX {
            return Err(self.defect(DefectKind::TooDeep));
        }
        self.depth += 1;
        self.position += 1;
        self.skip_white_space();
        let node = inside(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn array(&mut self) -> Result<Node<'a>, Defect> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.position += 1;
            return Ok(Node::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.ends(b']', "a comma or ] is expected")? {
                return Ok(Node::Array(items));
            }
        }
    }

    fn object(&mut self) -> Result<Node<'a>, Defect> {
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut names = Names::default();
        if self.peek() == Some(b'}') {
            self.position += 1;
            return Ok(Node::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.malformed("a name in double quotes is expected");
            }
            let name = self.string()?;
            if names.has(&name, &members) {
                return Err(self.defect(DefectKind::DuplicateKey));
            }
            self.skip_white_space();
            if self.peek() != Some(b':') {
                return self.malformed("a colon is expected");
            }
            self.position += 1;
            self.skip_white_space();
            let start = self.position;
            let value = self.value()?;
            members.push(Member { name, value, span: start..self.position });
            if self.ends(b'}', "a comma or } is expected")? {
                return Ok(Node::Object(members));
            }
        }
    }

    /// After an element: true at the closing bracket, false at a comma.
    fn ends(&mut self, close: u8, expected: &'static str) -> Result<bool, Defect> {
        self.skip_white_space();
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                self.skip_white_space();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.position += 1;
                Ok(true)
            }
            _ => self.malformed(expected),
        }
    }

    fn number(&mut self) -> Result<&'a str, Defect> {
        let start = self.position;
        let mut digits = 0;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
            digits += 1;
        } else {
            self.digits(&mut digits)?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits(&mut digits)?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.digits(&mut digits)?;
        }
        let text = &self.text[start..self.position];
        // Without an exponent 64 digits are always within a double's range.
        if has_exponent && !is_within_range(text) {
            return Err(self.defect(DefectKind::NumberOutOfRange));
        }
        Ok(text)
    }

    fn digits(&mut self, count: &mut usize) -> Result<(), Defect> {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            *count += 1;
            if *count > NUMBER_DIGITS_MAX {
                return Err(self.defect(DefectKind::NumberOutOfRange));
            }
            self.position += 1;
        }
        if self.position == start {
            return self.malformed("a digit is expected");
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Defect> {
        self.position += 1;
        let mut start = self.position;
        let mut unescaped: Option<String> = None;
        loop {
            match self.peek() {
                None => return self.malformed("the text ends inside a string"),
                Some(b'"') => {
                    let rest = &self.text[start..self.position];
                    self.position += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(rest),
                        Some(mut string) => {
                            string.push_str(rest);
                            Cow::Owned(string)
                        }
                    });
                }
                Some(b'\\') => {
                    let string = unescaped.get_or_insert_default();
                    string.push_str(&self.text[start..self.position]);
                    string.push(self.escape()?);
                    start = self.position;
                }
                Some(0..0x20) => return self.malformed("a control character in a string; write it as an escape"),
                Some(_) => self.position += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Defect> {
        self.position += 1;
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.position += 1;
                return self.unicode_escape();
            }
            _ => return self.malformed("an unknown escape in a string"),
        };
        self.position += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, Defect> {
        let first = self.four_hex_digits()?;
        let code = match first {
            0 => return Err(self.defect(DefectKind::Unstorable)),
            0xD800..=0xDBFF if self.bytes[self.position..].starts_with(b"\\u") => {
                self.position += 2;
                let second = self.four_hex_digits()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.defect(DefectKind::Unstorable));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            other => other,
        };
        // What is left without a character is a surrogate that stands alone.
        char::from_u32(code).ok_or_else(|| self.defect(DefectKind::Unstorable))
    }

    fn four_hex_digits(&mut self) -> Result<u32, Defect> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.malformed("four hexadecimal digits are expected after \\u");
            };
            code = code * 16 + digit;
            self.position += 1;
        }
        Ok(code)
    }
}

/// Whether a number with an exponent is a finite double, and its exponent one that every reader can take.
fn is_within_range(text: &str) -> bool {
    let exponent = text.split(['e', 'E']).nth(1).and_then(|exponent| exponent.parse::<i64>().ok());
    let is_readable = exponent.is_some_and(|exponent| NUMBER_EXPONENTS.contains(&exponent));
    is_readable && text.parse::<f64>().is_ok_and(f64::is_finite)
}
