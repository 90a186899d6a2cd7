//! Names of zvols and snapshots.

use berth_plugin_sdk::{BackingName, Fault, FaultKind};

/// End of the name of a volume that is being made; `:` is in no name of ours.
pub const BEGUN: &str = ":begun";
/// Longest path, `POOL/…/VOLUME@SNAPSHOT`.
pub const LONGEST: usize = 255;
/// Longest name of what is hidden, a volume or a snapshot (`call::hidden`).
pub const HIDDEN_LONGEST: usize = 70;

/// The object of a backing name: ZFS knows letters, digits, `_`, `-`, `.`, `:` and space; a `:` begins a code.
pub fn object(name: &BackingName) -> String {
    name.as_str().replace('@', ":4").replace('+', ":2")
}

fn too_long(name: &BackingName, place: &str, room: usize) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("The name '{name}' is too long for a dataset of '{place}'"))
        .cause(format!("A path has at most {LONGEST} characters, and of them {room} are left for this name"))
        .correction("Give the resource or the snapshot a shorter name, or make a storage pool of a dataset with a shorter path")
}

/// The object of a volume that is to be made below `place`: its snapshots can be hidden, too.
///
/// # Errors
/// `Unsupported`: its path would be too long.
pub fn volume(name: &BackingName, place: &str) -> Result<String, Fault> {
    let object = object(name);
    let room = LONGEST.saturating_sub(place.len()).saturating_sub("/@".len()).saturating_sub(HIDDEN_LONGEST);
    if object.len() > room { Err(too_long(name, place, room)) } else { Ok(object) }
}

/// The object of a snapshot that is to be taken of volume `volume` (an object): also when the volume is hidden.
///
/// # Errors
/// `Unsupported`: its path would be too long.
pub fn snapshot(name: &BackingName, volume: &str, place: &str) -> Result<String, Fault> {
    let object = object(name);
    let longest = volume.len().saturating_add(BEGUN.len()).max(HIDDEN_LONGEST);
    let room = LONGEST.saturating_sub(place.len()).saturating_sub("/@".len()).saturating_sub(longest);
    if object.len() > room { Err(too_long(name, place, room)) } else { Ok(object) }
}

/// Whether the names that every pool must take can be kept below a place.
pub fn has_room(place: &str) -> bool {
    let sure = BackingName::parse(&"x".repeat(BackingName::LENGTH_SURE));
    sure.is_ok_and(|sure| volume(&sure, place).and_then(|object| snapshot(&sure, &object, place)).is_ok())
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
    // One name, one object: `+` itself is no character of ZFS, but a stranger's code could be anything.
    BackingName::parse(&name).ok().filter(|name| self::object(name) == object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_object() {
        for text in ["web_00000", "web.meta_00000", "a+b@c", "0"] {
            let name = BackingName::parse(text).unwrap();
            let object = object(&name);
            assert_eq!(backing(&object), Some(name), "{object}");
            assert_eq!(backing(&format!("{object}{BEGUN}")), None);
        }
    }

    #[test]
    fn a_path_that_would_be_too_long_is_refused() {
        let name = |length: usize| BackingName::parse(&"x".repeat(length)).unwrap();
        let place = "p".repeat(83);
        assert!(volume(&name(100), &place).is_ok());
        let fault = volume(&name(101), &place).unwrap_err();
        assert!(fault.kind == FaultKind::Unsupported && fault.cause.contains("100"), "{fault:?}");
        // 83 + 1 + 100 + 6 + 1 leave 64.
        assert!(snapshot(&name(64), &"x".repeat(100), &place).is_ok() && snapshot(&name(65), &"x".repeat(100), &place).is_err());
        assert!(has_room(&"p".repeat(135)) && !has_room(&"p".repeat(136)));
    }
}
