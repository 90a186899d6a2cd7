//! Reply entries: the list that every write and every failed read answers with.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How bad an entry is. Ordered from harmless to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It was done.
    Success,
    /// Something worth knowing.
    Info,
    /// Done, but something needs attention.
    Warning,
    /// Not done.
    Error,
}

const MASK_ERROR: u64 = 0xC000_0000_0000_0000;
const MASK_WARN: u64 = 0x8000_0000_0000_0000;
const MASK_INFO: u64 = 0x4000_0000_0000_0000;
/// Bits of a code that tell severity and number; the rest says on what it was done.
const MASK_CODE: u64 = MASK_ERROR | 0x7FFF;

/// One entry of a reply. Unknown members are ignored, missing ones are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Reply {
    /// Severity, operation, object and number in one signed 64-bit number.
    pub ret_code: i64,
    /// What happened, one sentence.
    #[serde(default)]
    pub message: Option<String>,
    /// Why.
    #[serde(default)]
    pub cause: Option<String>,
    /// More about it.
    #[serde(default)]
    pub details: Option<String>,
    /// What to do.
    #[serde(default)]
    pub correction: Option<String>,
    /// Ids of error reports that the controller keeps.
    #[serde(default)]
    pub error_report_ids: Option<Vec<String>>,
    /// Kind of object → its name.
    #[serde(default)]
    pub obj_refs: Option<BTreeMap<String, String>>,
}

impl Reply {
    /// The severity bits, tested in the order that they contain each other.
    pub fn severity(&self) -> Severity {
        let bits = self.ret_code as u64;
        if bits & MASK_ERROR == MASK_ERROR {
            Severity::Error
        } else if bits & MASK_WARN == MASK_WARN {
            Severity::Warning
        } else if bits & MASK_INFO == MASK_INFO {
            Severity::Info
        } else {
            Severity::Success
        }
    }

    /// The number of the code (0–32767), without severity, operation and object.
    pub fn number(&self) -> u16 {
        (self.ret_code as u64 & 0x7FFF) as u16
    }

    /// Whether severity and number are these, whatever it was done on.
    pub fn is(&self, severity: Severity, number: u16) -> bool {
        let mask = match severity {
            Severity::Success => 0,
            Severity::Info => MASK_INFO,
            Severity::Warning => MASK_WARN,
            Severity::Error => MASK_ERROR,
        };
        self.ret_code as u64 & MASK_CODE == mask | u64::from(number)
    }
}

/// Reads a reply list out of a body; `None` if the body is something else (a document, nothing, not JSON).
/// An empty list is an empty reply.
pub fn parse_replies(body: &[u8]) -> Option<Vec<Reply>> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::{Reply, Severity, parse_replies};

    #[test]
    fn severities_of_real_codes() {
        let of = |ret_code| Reply { ret_code, ..Reply::default() };
        assert_eq!(of(20_709_377).severity(), Severity::Success);
        assert_eq!(of(4_611_686_018_427_397_904).severity(), Severity::Info);
        assert_eq!(of(-9_223_372_036_854_772_808).severity(), Severity::Warning);
        assert!(of(-9_223_372_036_854_772_808).is(Severity::Warning, 3000));
        assert!(of(-4_611_686_018_427_386_908).is(Severity::Error, 996));
        assert_eq!(of(53_739_522).number(), 2);
    }

    #[test]
    fn a_document_is_no_reply() {
        assert!(parse_replies(br#"[{"name":"n1"}]"#).is_none());
        assert!(parse_replies(b"").is_none());
        assert_eq!(parse_replies(br#"[{"ret_code":1,"message":"m","created_at":"x"}]"#).expect("a reply").len(), 1);
    }
}
