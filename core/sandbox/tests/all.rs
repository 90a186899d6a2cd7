//! Components in the sandbox: a good one, and one that misbehaves in every way we know.

#![allow(clippy::unwrap_used)]

#[path = "all/cache.rs"]
mod cache;
#[path = "all/conforms.rs"]
mod conforms;
#[path = "all/file.rs"]
mod file;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/in_c.rs"]
mod in_c;
#[path = "all/kept.rs"]
mod kept;
#[path = "all/load.rs"]
mod load;
#[path = "all/machine.rs"]
mod machine;
