//! The one error of this crate. `Code` is what programs look at, `message` what people read.
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The configuration is wrong; the message names the key.
    InvalidConfig,
    /// A fact of the payment cannot be read; the message names it.
    InvalidFacts,
    UnknownProfile,
    UnknownAccount,
    /// The permit was finished before, or belongs to another router.
    UnknownPermit,
    /// A saved state or a decision record is damaged or of another version.
    CorruptState,
    CorruptRecord,
    /// The record was made from another configuration than this router holds.
    OtherSnapshot,
    /// A defect of this crate, caught at the border.
    Internal,
}

impl Code {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid_config",
            Self::InvalidFacts => "invalid_facts",
            Self::UnknownProfile => "unknown_profile",
            Self::UnknownAccount => "unknown_account",
            Self::UnknownPermit => "unknown_permit",
            Self::CorruptState => "corrupt_state",
            Self::CorruptRecord => "corrupt_record",
            Self::OtherSnapshot => "other_snapshot",
            Self::Internal => "internal",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn config(key: &str, what: impl fmt::Display) -> Self {
        Self::new(Code::InvalidConfig, format!("{key}: {what}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}
