//! Replies to a request: REST API v1's `ApiCallRc` entries as values.

use std::collections::BTreeMap;

use crate::codes::{Code, ObjectMask, Operation, Severity};
use crate::time::Timestamp;

/// One entry of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// How bad it is and what happened, see [`crate::codes`].
    pub code: Code,
    /// The operation; `None`: that of the request.
    pub operation: Option<Operation>,
    /// The kind of object; `None`: that of the request.
    pub object: Option<ObjectMask>,
    /// What happened, one sentence.
    pub message: String,
    /// Why; empty: nothing to add.
    pub cause: String,
    /// More; empty: nothing to add.
    pub details: String,
    /// What to do; begins with a verb; empty: nothing to do.
    pub correction: String,
    /// The objects concerned, e.g. `RscDfn` → name.
    pub refs: BTreeMap<String, String>,
    /// Ids of error reports that hold more.
    pub reports: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// It says its whole context itself: nothing of the request's (operation, kind of object, objects) is added.
    pub alone: bool,
}

impl Reply {
    /// An entry with a code and a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            operation: None,
            object: None,
            message: message.into(),
            cause: String::new(),
            details: String::new(),
            correction: String::new(),
            refs: BTreeMap::new(),
            reports: Vec::new(),
            created: Timestamp::default(),
            alone: false,
        }
    }

    /// Adds why.
    #[must_use]
    pub fn cause(mut self, text: impl Into<String>) -> Self {
        self.cause = text.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn correction(mut self, text: impl Into<String>) -> Self {
        self.correction = text.into();
        self
    }

    /// Adds more.
    #[must_use]
    pub fn details(mut self, text: impl Into<String>) -> Self {
        self.details = text.into();
        self
    }

    /// Names an object concerned.
    #[must_use]
    pub fn refer(mut self, key: &str, value: impl ToString) -> Self {
        self.refs.insert(key.to_owned(), value.to_string());
        self
    }

    /// Says of which operation and kind of object it speaks, where that is not the request's.
    #[must_use]
    pub fn of(mut self, operation: Operation, object: ObjectMask) -> Self {
        self.operation = Some(operation);
        self.object = Some(object);
        self
    }

    /// Keeps the request's context away from it (see [`Reply::alone`]).
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether the request failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }

    /// The 64 bits of `ret_code`, signed as on the wire.
    #[must_use]
    pub fn ret_code(&self) -> i64 {
        let bits = self.severity().bits()
            | self.operation.map_or(0, Operation::bits)
            | self.object.map_or(0, ObjectMask::bits)
            | self.code.number();
        bits.cast_signed()
    }
}
