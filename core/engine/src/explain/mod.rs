//! What would happen, and why: decisions and states told in words. Pure; nothing here changes anything.
//!
//! [`preview`](mod@preview) says what a command would commit and [`rehearsal`] what would follow on the nodes; [`decision`] is what
//! the log keeps of the reasons, [`subject`] finds the records of a story, [`differ`] compares intent with what was seen.

pub mod decision;
pub mod differ;
pub mod fields;
pub mod preview;
pub mod rehearsal;
pub mod subject;
mod words;

#[cfg(test)]
mod tests;

pub use fields::FieldChange;
pub use preview::{FRESH_AT, Op, Preview, RecordChange, foresee, preview};
pub use rehearsal::Step;

#[cfg(test)]
pub(crate) use tests::settled_for_tests;
