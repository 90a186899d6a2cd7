//! How bad an entry of an answer is.

/// How bad an entry is (bits 63 and 62).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It worked.
    Success,
    /// Something to know.
    Info,
    /// It worked, but look at it.
    Warning,
    /// It did not work.
    Error,
}

impl Severity {
    /// The two bits in place.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Success => 0,
            Self::Info => 0x4000_0000_0000_0000,
            Self::Warning => 0x8000_0000_0000_0000,
            Self::Error => 0xC000_0000_0000_0000,
        }
    }
}
