//! As whom the programs work in Postgres.

/// A role that `processor migrate` makes, with the rights of one program. A session takes it where its user is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The daemon's.
    Writer,
    /// The commands'.
    Operator,
    /// The sender's.
    Sender,
}

impl Role {
    /// Its name in Postgres.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Writer => "event_processor_writer",
            Self::Operator => "event_processor_operator",
            Self::Sender => "event_processor_sender",
        }
    }
}
