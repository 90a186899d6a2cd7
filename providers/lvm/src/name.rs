//! Names of logical volumes.

use berth_plugin_sdk::{BackingName, Fault, FaultKind};

/// End of the name of a volume that is being made.
pub const BEGUN: &str = "+begun";
/// End of the name of a volume that a rollback replaces.
pub const OLD: &str = "+old";
/// Longest name of a device of the kernel's device mapper, which is `GROUP-VOLUME` with each `-` of both written twice. A logical volume
/// of a longer one could be made, but not activated.
const LONGEST: usize = 127;

/// What LVM keeps for itself inside of names.
const RESERVED: [&str; 17] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata",
    "_tmeta", "_vdata", "_vorigin", "_wcorig",
];
/// Beginnings of names that it keeps for itself.
const BEGINNINGS: [&str; 2] = ["snapshot", "pvmove"];

/// The logical volume of a backing object. LVM knows letters, digits, `_`, `-`, `.` and `+`, and keeps some words for itself. So a `+` in
/// our names begins a code of two characters: `+2` is `+`, `+4` is `@`, and `+0` is nothing: it stands inside of what LVM would keep.
pub fn lv(name: &BackingName) -> String {
    let mut text = name.as_str().replace('+', "+2").replace('@', "+4");
    let split = |word: &str| word.split_at_checked(1).map(|(first, rest)| format!("{first}+0{rest}")).unwrap_or_default();
    for word in RESERVED {
        text = text.replace(word, &split(word));
    }
    for word in BEGINNINGS {
        if let Some(rest) = text.strip_prefix(word) {
            text = format!("{}{rest}", split(word));
        }
    }
    text
}

/// The same for a volume that is to be made in a group.
///
/// # Errors
/// `Unsupported`: it would be too long there.
pub fn lv_in(name: &BackingName, group: &str) -> Result<String, Fault> {
    let text = lv(name);
    let doubled = |text: &str| text.len().saturating_add(text.matches('-').count());
    let room = LONGEST.saturating_sub(1).saturating_sub(doubled(group)).saturating_sub(BEGUN.len());
    let long = doubled(&text);
    if long > room {
        return Err(Fault::new(FaultKind::Unsupported, format!("The name '{name}' is too long for a logical volume of '{group}'"))
            .cause(format!("It takes {long} characters there, each '-' counted twice, and {room} are left beside the group's name"))
            .correction("Give the resource or the snapshot a shorter name"));
    }
    Ok(text)
}

/// Whether the names that every pool must take can be kept in a group, also the longest that these can get.
pub fn has_room(group: &str) -> bool {
    let worst = "_tmeta".repeat(BackingName::LENGTH_SURE / "_tmeta".len());
    BackingName::parse(&worst).is_ok_and(|worst| lv_in(&worst, group).is_ok())
}

/// The backing object of a logical volume; `None`: its name is of no such object.
pub fn backing(lv: &str) -> Option<BackingName> {
    let mut name = String::with_capacity(lv.len());
    let mut rest = lv.chars();
    while let Some(c) = rest.next() {
        match c {
            '+' => match rest.next()? {
                '0' => {}
                '2' => name.push('+'),
                '4' => name.push('@'),
                _ => return None,
            },
            c => name.push(c),
        }
    }
    // One name, one volume: whoever wrote the same in another way is a stranger of another name.
    BackingName::parse(&name).ok().filter(|name| self::lv(name) == lv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_volume() {
        for text in [
            "web_00000",
            "web.meta_00000",
            "a+b@c",
            "x_tdata",
            "x_tmeta_y_rimage",
            "_tmeta_00000",
            "snapshot",
            "snapshot1_00000",
            "pvmove",
            "pvmove0",
            "mysnapshot",
            "x_cvol_cpool",
            "0",
            "a--b",
            "_",
        ] {
            let name = BackingName::parse(text).unwrap();
            let lv = lv(&name);
            assert_eq!(backing(&lv), Some(name), "{lv}");
            assert!(!RESERVED.iter().any(|word| lv.contains(word)) && !BEGINNINGS.iter().any(|word| lv.starts_with(word)), "{lv}");
            assert!(BackingName::parse(&lv).is_ok() && !lv.contains('@'), "the manifest's patterns take it: {lv}");
            assert_eq!(backing(&format!("{lv}{BEGUN}")), None);
            assert_eq!(backing(&format!("{lv}{OLD}")), None);
        }
        for stranger in ["a+0b", "web+", "web+x", "+2"] {
            assert_eq!(backing(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn a_name_that_could_not_be_activated_is_refused() {
        let lv_in = |length: usize, group: &str| lv_in(&BackingName::parse(&"x".repeat(length)).unwrap(), group);
        // `vg-NAME+begun` has 127 characters.
        assert!(lv_in(118, "vg").is_ok());
        let fault = lv_in(119, "vg").unwrap_err();
        assert!(fault.kind == FaultKind::Unsupported && fault.cause.contains("119") && fault.cause.contains("118"), "{fault:?}");
        assert!(lv_in(117, "v-g").is_err() && lv_in(116, "v-g").is_ok(), "the kernel's name has each '-' twice");
        assert!(has_room(&"g".repeat(56)) && !has_room(&"g".repeat(57)));
    }
}
