//! Why a call failed, for people and for the host.

use serde::{Deserialize, Serialize};

/// What a fault means to whoever must decide what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// Somebody uses the device.
    InUse,
    /// The pool is full.
    NoSpace,
    /// The machine, the pool or the grant does not allow this.
    Unsupported,
    /// Something is in the way that is not marked as the named object.
    Foreign,
    /// An object that should be there is missing.
    Lost,
    /// The pool's place is missing or unusable.
    Pool,
    /// A command or a request failed or answered nonsense.
    Tool,
    /// It took too long.
    Timeout,
    /// A defect of the provider or the host.
    Bug,
}

/// Why a call failed: what, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What it means.
    pub kind: FaultKind,
    /// What went wrong, one sentence.
    pub message: String,
    /// Why; empty: unknown.
    pub cause: String,
    /// What to do about it; begins with a verb. Empty: nothing known.
    pub correction: String,
    /// Command line, exit code and output; empty: none.
    pub details: String,
}

impl Fault {
    /// A fault with a message only.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: String::new(), correction: String::new(), details: String::new() }
    }

    /// The same with its cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn correction(mut self, correction: impl Into<String>) -> Self {
        self.correction = correction.into();
        self
    }

    /// The same with details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }
}
