//! The one place where a library is opened.

#![allow(unsafe_code, reason = "opening a library runs its initialisers, and a symbol has the type that one says it has")]

use std::path::Path;

use abi_stable::library::{AbiHeaderRef, LibraryError, RootModule};
use berth_plugin_sdk::CONTRACT;
use libloading::os::unix::{Library as Open, RTLD_LOCAL, RTLD_NOW};

use crate::{LoadError, check};

/// Newest major number of a contract that is looked for, to say that a library is newer than this host.
const NEWEST: u32 = 9;

/// The root module of a library, which stays open for the life of the process. `symbol` ends with `_v` and a major number.
pub(crate) fn root_module<M: RootModule>(path: &Path, what: &'static str, symbol: &'static str) -> Result<M, LoadError> {
    // Not the path as it was given: the system's loader looks for a name without folder elsewhere, and links may change.
    let whole = check::file(path)?;
    let failed = |error: libloading::Error| LoadError::Open { path: path.to_owned(), why: plain(&error) };
    // Every symbol is bound now: one that is missing is an error here, not a death later. Its names are not for other libraries.
    // SAFETY: its initialisers run; the file is one that only root or this user can have put there.
    let library = unsafe { Open::open(Some(&whole), RTLD_NOW | RTLD_LOCAL) }.map_err(failed)?;
    // SAFETY: a symbol of this name is a `LibHeader`, which begins with an `AbiHeader`; that it is one of a compatible `abi_stable` is
    // looked at by `upgrade`.
    let header = unsafe { library.get::<AbiHeaderRef>(symbol.as_bytes()) }.map(|symbol| *symbol);
    let header = match header {
        Ok(header) => header,
        Err(_) => {
            let stem = symbol.trim_end_matches(|c: char| c.is_ascii_digit());
            let known = symbol.trim_start_matches(stem).parse::<u32>().unwrap_or(0);
            let newer = (known.saturating_add(1)..=NEWEST).find(|major| {
                // SAFETY: only whether it is there is asked.
                unsafe { library.get::<*const ()>(format!("{stem}{major}").as_bytes()) }.is_ok()
            });
            return Err(match newer {
                Some(written) => LoadError::Newer { path: path.to_owned(), written, known: CONTRACT },
                None => LoadError::Missing { path: path.to_owned(), what, symbol },
            });
        }
    };
    // What is handed out points into the library: it is never closed.
    std::mem::forget(library);
    header.upgrade().and_then(|header| header.init_root_module::<M>()).map_err(|error| layout(path, &error))
}

fn layout(path: &Path, error: &LibraryError) -> LoadError {
    let details = error.to_string();
    let first = details.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing").chars().take(300).collect();
    LoadError::Layout { path: path.to_owned(), first, details: details.chars().take(64 * 1024).collect() }
}

/// What the system's loader said, on one line.
fn plain(error: &libloading::Error) -> String {
    use std::error::Error;
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
