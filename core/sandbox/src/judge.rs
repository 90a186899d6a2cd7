//! Judges what a guest answered, before anybody acts on it. Each function says what breaks the contract, as a sentence.

use std::collections::BTreeSet;

use berth_plugin_sdk::{BackingName, Data, Device, Fault, Filled, Found, Kib, Marked, PoolAbilities, Stream};

use crate::bindings::berth::provider::types as w;
use crate::state::{TEXT_MAX, cut};

/// Most entries of a list.
const LIST_MAX: usize = 1_000_000;
/// Longest name of a file, in bytes.
const NAME_MAX: usize = 255;
/// Longest path, in bytes.
const PATH_MAX: usize = 4096;
/// Most words of a command.
const WORDS_MAX: usize = 4096;
/// Largest extent: 16 GiB.
const EXTENT_MAX: Kib = Kib(16 << 20);

type Judged<T> = Result<T, String>;

/// A fault of the guest, its texts cut to what one may have.
pub fn fault(of: w::Fault) -> Fault {
    let Fault { kind, message, cause, correction, details } = of.into();
    let [message, cause, correction, details] = [message, cause, correction, details].map(|text| cut(text, TEXT_MAX));
    Fault { kind, message, cause, correction, details }
}

fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_default).collect()
}

fn few<T>(what: &str, list: &[T]) -> Judged<()> {
    if list.len() > LIST_MAX { Err(format!("{what} has {} entries; {LIST_MAX} are allowed", list.len())) } else { Ok(()) }
}

fn one_line(what: &str, text: &str, most: usize) -> Judged<()> {
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(format!("{what} is not one line of 1 to {most} bytes: '{}'", shown(text)));
    }
    Ok(())
}

fn file_name(text: &str) -> Judged<()> {
    one_line("the name of a file", text, NAME_MAX)?;
    if text.contains('/') || text == "." || text == ".." {
        return Err(format!("'{}' is no name of a file in the pool's folder", shown(text)));
    }
    Ok(())
}

fn path(text: &str) -> Judged<()> {
    one_line("a path", text, PATH_MAX)?;
    if !text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return Err(format!("'{}' is no absolute path", shown(text)));
    }
    Ok(())
}

fn words(argv: &[String]) -> Judged<()> {
    if argv.is_empty() || argv.len() > WORDS_MAX {
        return Err(format!("a command has {} words; 1 to {WORDS_MAX} are allowed", argv.len()));
    }
    match argv.iter().find(|word| word.len() > TEXT_MAX || word.contains('\0')) {
        Some(word) => Err(format!("a word of a command is longer than {TEXT_MAX} bytes or holds a zero byte: '{}'", shown(word))),
        None => Ok(()),
    }
}

/// What a pool can do.
pub fn abilities(of: w::Abilities) -> Judged<PoolAbilities> {
    let extent = Kib(of.extent);
    if extent == Kib(0) || extent > EXTENT_MAX {
        return Err(format!("an extent of {extent} is not between 1 KiB and {EXTENT_MAX}"));
    }
    Ok(PoolAbilities { extent, no_snapshots: of.no_snapshots.map(fault), zeroes: of.zeroes })
}

/// Names of what was removed.
pub fn names(of: Vec<String>) -> Judged<Vec<String>> {
    few("the list", &of)?;
    of.iter().try_for_each(|name| one_line("a name", name, PATH_MAX))?;
    Ok(of)
}

/// A device.
pub fn device(of: w::Device) -> Judged<Device> {
    path(&of.path)?;
    Ok(of.into())
}

/// A found object.
fn found(of: w::Found) -> Judged<Found> {
    if let Some(device) = &of.device {
        path(&device.path)?;
    }
    let mut found = Found::try_from(of).map_err(|fault| if fault.cause.is_empty() { fault.message } else { fault.cause })?;
    found.marked = match found.marked {
        Marked::By(mark) if mark.name.len() > PATH_MAX => return Err("the name in a mark is too long".into()),
        Marked::By(mark) => Marked::By(mark),
        Marked::Unmarked => Marked::Unmarked,
        Marked::Foreign(why) => Marked::Foreign(cut(why, TEXT_MAX)),
    };
    Ok(found)
}

/// The object of a name, or none.
pub fn looked(of: Option<w::Found>, name: &BackingName) -> Judged<Option<Found>> {
    let found = of.map(found).transpose()?;
    match found {
        Some(other) if other.name != *name => Err(format!("asked for '{name}', it answered with '{}'", other.name)),
        found => Ok(found),
    }
}

/// Every object of a pool.
pub fn list(of: Vec<w::Found>) -> Judged<Vec<Found>> {
    few("the list", &of)?;
    let list: Vec<Found> = of.into_iter().map(found).collect::<Judged<_>>()?;
    let mut seen = BTreeSet::new();
    match list.iter().find(|found| !seen.insert(&found.name)) {
        Some(twice) => Err(format!("the list names '{}' twice", twice.name)),
        None => Ok(list),
    }
}

fn data(of: &Data) -> Judged<()> {
    match of {
        Data::File(name) => file_name(name),
        Data::Device(device) => path(device),
    }
}

/// How far a filling operation came.
pub fn filled(of: w::Filled) -> Judged<Filled> {
    let filled = Filled::from(of);
    match &filled {
        Filled::Done => {}
        Filled::Copy { from, to } => {
            data(from)?;
            data(to)?;
            if from == to {
                return Err("it wants data copied onto itself".into());
            }
        }
        Filled::Pipe { sender, receiver } => {
            words(sender)?;
            words(receiver)?;
        }
    }
    Ok(filled)
}

/// A command that sends or receives.
pub fn stream(of: w::DataStream) -> Judged<Stream> {
    one_line("the format of a stream", &of.format, 64)?;
    words(&of.argv)?;
    Ok(of.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str) -> w::Found {
        w::Found { name: name.into(), marked: w::Marked::Unmarked, size: 4, allocated: 0, device: None }
    }

    #[test]
    fn what_breaks_the_contract_is_told() {
        let name = BackingName::parse("a").unwrap();
        assert!(looked(Some(seen("a")), &name).unwrap().is_some());
        assert!(looked(Some(seen("b")), &name).unwrap_err().contains("answered with 'b'"));
        assert!(looked(Some(seen("../b")), &name).unwrap_err().contains("'../b'"));
        assert!(list(vec![seen("a"), seen("b"), seen("a")]).unwrap_err().contains("'a' twice"));
        assert!(abilities(w::Abilities { extent: 0, no_snapshots: None, zeroes: true }).is_err());
        assert!(abilities(w::Abilities { extent: u64::MAX, no_snapshots: None, zeroes: true }).is_err());
        for bad in ["", "dev/x", "/dev/../x", "/dev/\n", &"/x".repeat(PATH_MAX)] {
            assert!(device(w::Device { path: bad.into(), size: 4 }).is_err(), "{bad:.20}");
        }
        assert!(device(w::Device { path: "/dev/zd0".into(), size: 4 }).is_ok());
        let copy =
            |from: &str, to: &str| filled(w::Filled::Copy(w::CopyOrder { from: w::Data::File(from.into()), to: w::Data::File(to.into()) }));
        assert!(copy("a", "b").is_ok());
        for (from, to) in [("a", "a"), ("..", "b"), ("a/b", "b"), ("a", "")] {
            assert!(copy(from, to).is_err(), "{from} {to}");
        }
        let pipe = |sender: &[&str]| {
            let argv = |of: &[&str]| of.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            filled(w::Filled::Pipe(w::PipeOrder { sender: argv(sender), receiver: argv(&["cat"]) }))
        };
        assert!(pipe(&["zfs", "send"]).is_ok());
        assert!(pipe(&[]).is_err());
        assert!(pipe(&["a\0b"]).is_err());
        assert!(stream(w::DataStream { format: "z\n".into(), argv: vec!["zfs".into()] }).is_err());
        assert!(names(vec![String::new()]).is_err());
    }

    #[test]
    fn the_texts_of_a_fault_are_cut() {
        let text = "ä".repeat(TEXT_MAX);
        let of = w::Fault { kind: w::FaultKind::Tool, message: text.clone(), cause: text.clone(), correction: text.clone(), details: text };
        let fault = fault(of);
        for text in [&fault.message, &fault.cause, &fault.correction, &fault.details] {
            assert_eq!(text.len(), TEXT_MAX);
        }
    }
}
