//! JSON as the processor needs it: read once from left to right, every limit checked on the way, numbers kept as they were written.
//!
//! A tree of our own, because the usual ones lose what the contracts speak of: duplicate keys, the digits of a number, the place of a
//! value in the text, and which of two defects comes first.

mod canonical;
mod encoding;
mod names;
mod reader;

use std::borrow::Cow;
use std::ops::Range;

pub use canonical::{canonical, integer, is_equal};
pub use encoding::encoding;
pub use reader::read;

/// How deep values may nest; the outermost array or object is level 1.
pub const DEPTH_MAX: usize = 64;

/// How many digits a number may be written with, those of its exponent included.
pub const NUMBER_DIGITS_MAX: usize = 64;

/// The exponents with which a number may be written: those that `jsonb` can read. Beyond them a number is no finite double, or zero.
pub const NUMBER_EXPONENTS: std::ops::RangeInclusive<i64> = -16_383..=999_999_999;

/// A JSON value that kept every limit. Text without escapes is borrowed from the input.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Node<'a> {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object, in the order of the text; no name comes twice.
    Object(Vec<Member<'a>>),
}

/// A name and its value in an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Node<'a>,
    /// Where the value stands in the input, in bytes, without surrounding white space.
    pub span: Range<usize>,
}

impl Node<'_> {
    /// The JSON Schema name of the value's type: what may be told of a value that must not be shown.
    pub fn type_name(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Boolean(_) => "boolean",
            Node::Number(_) => "number",
            Node::String(_) => "string",
            Node::Array(_) => "array",
            Node::Object(_) => "object",
        }
    }
}

/// The first thing, from left to right, for which a text is not a JSON value within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {position}")]
pub struct Defect {
    /// What is wrong.
    pub kind: DefectKind,
    /// Bytes before the place where it was met.
    pub position: usize,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DefectKind {
    /// The text breaks the grammar of RFC 8259 or is not UTF-8.
    #[error("{0}")]
    Malformed(&'static str),
    /// Nesting above [`DEPTH_MAX`].
    #[error("more than 64 levels of nesting")]
    TooDeep,
    /// A key twice in one object: readers disagree on which one counts.
    #[error("a key that its object already has")]
    DuplicateKey,
    /// More than [`NUMBER_DIGITS_MAX`] digits, no finite double, or an exponent outside [`NUMBER_EXPONENTS`].
    #[error("a number of more than 64 digits or beyond the range of a double")]
    NumberOutOfRange,
    /// `\u0000` or half a surrogate pair: no text in Postgres can hold it.
    #[error("\\u0000 or a lone surrogate")]
    Unstorable,
}
