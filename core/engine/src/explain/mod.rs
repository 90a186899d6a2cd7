//! What would happen, and why: decisions and states told in words. Pure; nothing here changes anything.
//!
//! [`preview`](mod@preview) says what a command would commit and [`rehearsal`] what would follow on the nodes.

pub mod fields;
pub mod preview;
pub mod rehearsal;
mod words;

#[cfg(test)]
mod tests;

pub use fields::{FieldChange, HIDDEN};
pub use preview::{FRESH_AT, Op, Preview, RecordChange, foresee, preview};
pub use rehearsal::Step;
