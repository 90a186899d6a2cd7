//! Names of zvols and snapshots.

use berth_plugin_sdk::{BackingName, Fault, FaultKind};

/// End of the name of a volume that is being made; `:` is in no name of ours.
pub const BEGUN: &str = ":begun";
/// Longest name of a dataset with its path, in characters; ZFS takes 255.
const LONGEST: usize = 120;

/// The object of a backing name: ZFS knows letters, digits, `_`, `-`, `.`, `:` and space; a `:` begins a code.
///
/// # Errors
/// `Unsupported`: the name gets too long by that.
pub fn object(name: &BackingName) -> Result<String, Fault> {
    let text = name.as_str().replace('@', ":4").replace('+', ":2");
    if text.len() > LONGEST {
        return Err(Fault::new(FaultKind::Unsupported, format!("The name '{name}' is too long for a dataset"))
            .cause(format!("It has {} characters, and its path must fit into 255", text.len()))
            .correction("Give the resource a shorter name"));
    }
    Ok(text)
}

/// The backing name of an object; `None`: its name is of no such object.
pub fn backing(object: &str) -> Option<BackingName> {
    let mut name = String::with_capacity(object.len());
    let mut rest = object.chars();
    while let Some(c) = rest.next() {
        name.push(match c {
            ':' => match rest.next()? {
                '4' => '@',
                '2' => '+',
                _ => return None,
            },
            c => c,
        });
    }
    BackingName::parse(&name).ok()
}
