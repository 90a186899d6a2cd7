//! Exit codes. They are those of LINSTOR's client; scripts test them.
//!
//! Two of its codes mean nothing here. 1 (unknown error) would be a defect, and the system has its own ways to say that a program broke.
//! 11 (no satellite connection) is the controller's to tell: it does in an entry of its answer, and any error in an answer is [`API`].

/// It worked.
pub const OK: u8 = 0;
/// The arguments fit no command.
pub const USAGE: u8 = 2;
/// What was asked for is not there.
pub const NOT_FOUND: u8 = 3;
/// Known, but this version cannot do it.
pub const UNSUPPORTED: u8 = 4;
/// It cannot be done now: the session is not in the state for it.
pub const STATE: u8 = 5;
/// The controller answered with an error.
pub const API: u8 = 10;
/// No controller could be reached or used.
pub const CONNECTION: u8 = 20;
/// It took too long.
pub const TIMEOUT: u8 = 21;
/// Something answered that is no controller.
pub const UNEXPECTED: u8 = 22;
