//! Names of logical volumes.

use berth_plugin_sdk::{BackingName, Fault, FaultKind};

/// End of the name of a volume that is being made.
pub const BEGUN: &str = "+begun";
/// End of the name of a volume that a rollback replaces.
pub const OLD: &str = "+old";

/// What LVM keeps for itself inside of names, and names that it keeps whole.
const RESERVED: [&str; 12] =
    ["_cdata", "_cmeta", "_corig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vorigin", "_vdata"];

/// The logical volume of a backing object. LVM knows letters, digits, `_`, `-`, `.` and `+`, and keeps some words for itself; so a `+` in
/// our names begins two digits that stand for a character.
///
/// # Errors
/// `Unsupported`: the name gets too long by that.
pub fn lv(name: &BackingName) -> Result<String, Fault> {
    let mut text = name.as_str().replace('+', "+2").replace('@', "+4");
    for word in RESERVED {
        // The first character of the word is written as a code.
        text = text.replace(word, &format!("+5{}", word.strip_prefix('_').unwrap_or(word)));
    }
    if matches!(text.as_str(), "snapshot" | "pvmove") {
        text = format!("+0{text}");
    }
    let longest = BackingName::LENGTH_MAX.saturating_sub(BEGUN.len());
    if text.len() > longest {
        return Err(Fault::new(FaultKind::Unsupported, format!("The name '{name}' is too long for a logical volume"))
            .cause(format!("It would have {} characters, and LVM takes {longest} beside what a copy needs", text.len()))
            .correction("Give the resource a shorter name"));
    }
    Ok(text)
}

/// The backing object of a logical volume; `None`: its name is of no such object.
pub fn backing(lv: &str) -> Option<BackingName> {
    let text = lv.strip_prefix("+0").unwrap_or(lv);
    let mut name = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        name.push(match c {
            '+' => match rest.next()? {
                '2' => '+',
                '4' => '@',
                '5' => '_',
                _ => return None,
            },
            c => c,
        });
    }
    BackingName::parse(&name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_volume() {
        for text in ["web_00000", "web.meta_00000", "a+b@c", "x_tdata", "x_tmeta_y_rimage", "snapshot", "pvmove", "snapshot1", "0", "a--b"]
        {
            let name = BackingName::parse(text).unwrap();
            let lv = lv(&name).unwrap();
            assert_eq!(backing(&lv), Some(name), "{lv}");
            assert!(!RESERVED.iter().any(|word| lv.contains(word)) && !["snapshot", "pvmove"].contains(&&*lv), "{lv}");
            assert!(lv.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+".contains(c)), "{lv}");
            assert_eq!(backing(&format!("{lv}{BEGUN}")), None);
            assert_eq!(backing(&format!("{lv}{OLD}")), None);
        }
        assert_eq!(lv(&BackingName::parse(&"x".repeat(127)).unwrap()).unwrap_err().kind, FaultKind::Unsupported);
    }
}
