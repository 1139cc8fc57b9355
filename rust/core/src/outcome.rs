//! What became of a call to a provider, in the two channels that are kept apart.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Approved,
    /// The issuer said no, but may say yes elsewhere or later.
    IssuerDeclinedSoft,
    /// The issuer said no for good (stolen, closed, forbidden).
    IssuerDeclinedHard,
    /// Not sent, refused, broken answer, 429, 5xx: the account did not do its work.
    TechnicalError,
    /// No answer in time: what became of it is unknown.
    Timeout,
    /// We gave the call up for reasons of our own; it says nothing about the account.
    Abandoned,
}

impl Outcome {
    /// What the issuer said, where it was heard at all.
    #[must_use]
    pub const fn issuer_approved(self) -> Option<bool> {
        match self {
            Self::Approved => Some(true),
            Self::IssuerDeclinedSoft | Self::IssuerDeclinedHard => Some(false),
            Self::TechnicalError | Self::Timeout | Self::Abandoned => None,
        }
    }

    /// Whether the account failed technically; an issuer's decline is a call that worked.
    #[must_use]
    pub const fn technical_failure(self) -> Option<bool> {
        match self {
            Self::Approved | Self::IssuerDeclinedSoft | Self::IssuerDeclinedHard => Some(false),
            Self::TechnicalError | Self::Timeout => Some(true),
            Self::Abandoned => None,
        }
    }

    /// The word used across the border.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "approved" => Self::Approved,
            "issuer_declined_soft" => Self::IssuerDeclinedSoft,
            "issuer_declined_hard" => Self::IssuerDeclinedHard,
            "technical_error" => Self::TechnicalError,
            "timeout" => Self::Timeout,
            "abandoned" => Self::Abandoned,
            _ => return None,
        })
    }
}
