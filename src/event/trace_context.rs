//! To which trace an event belongs, as its producer says.

use std::fmt;

/// A trace and the span in it that something comes from, by W3C's Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Of all that has one cause; not zero.
    pub trace_id: u128,
    /// Of the span that caused it; not zero.
    pub span_id: u64,
    /// The lowest bit: whether the trace is recorded.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent`: `00-<trace id>-<span id>-<flags>`, all of it in small hexadecimal digits. Of a later version the same fields are read.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let is_hexadecimal = |text: &&str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = traceparent.splitn(5, '-');
        let mut part = |digits: usize| parts.next().filter(|text| text.len() == digits).filter(is_hexadecimal);
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Self::new(u128::from_str_radix(trace_id, 16).ok()?, u64::from_str_radix(span_id, 16).ok()?, flags)
    }

    /// Reads the header of AWS X-Ray, `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`; nothing where it names no parent.
    pub fn parse_xray(header: &str) -> Option<Self> {
        let field = |name: &str| header.split(';').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        let (time, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        let flags = u8::from(field("Sampled") == Some("1"));
        Self::parse(&format!("00-{time}{unique}-{}-{flags:02x}", field("Parent")?).to_ascii_lowercase())
    }

    fn new(trace_id: u128, span_id: u64, flags: u8) -> Option<Self> {
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags })
    }

    /// Whether whoever began the trace, or the span, has it recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_context_is_none_and_what_is_one_comes_out_as_it_went_in() {
        for (text, expected) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02", Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02")),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more-yet",
                Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("", None),
        ] {
            assert_eq!(TraceContext::parse(text).map(|context| context.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_header_of_xray_is_the_same_trace_in_another_form() {
        for (header, expected) in [
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"),
            ),
            (
                "Self=1-0-0; Root=1-5759E988-bd862e3fe1be46a994272793; Parent=53995c3f42cd8ad8",
                Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00"),
            ),
            ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", None),
            ("Root=1-5759e988;Parent=53995c3f42cd8ad8;Sampled=1", None),
            ("", None),
        ] {
            assert_eq!(TraceContext::parse_xray(header).map(|context| context.to_string()).as_deref(), expected, "{header}");
        }
    }
}
