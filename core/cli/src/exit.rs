//! Exit codes. They are those of LINSTOR's client; scripts test them.

/// It worked.
pub const OK: u8 = 0;
/// The arguments fit no command.
pub const USAGE: u8 = 2;
/// What was asked for is not there.
pub const NOT_FOUND: u8 = 3;
/// Known, but this version cannot do it.
pub const UNSUPPORTED: u8 = 4;
/// The controller answered with an error.
pub const API: u8 = 10;
/// No controller could be reached or used.
pub const CONNECTION: u8 = 20;
/// It took too long.
pub const TIMEOUT: u8 = 21;
/// Something answered that is no controller.
pub const UNEXPECTED: u8 = 22;
