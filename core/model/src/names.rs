//! Names: newtypes with one fallible door each.
//!
//! A name keeps the spelling it was made with; comparing, ordering and hashing ignore ASCII case
//! (LINSTOR identifies objects by the upper-cased name and lists them in that order).
//! Source of the rules: REST API v1, object names; `docs/api.md` lists them.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Too short or too long.
    #[error("{kind} name '{text}' has {length} characters; {min} to {max} are allowed")]
    Length {
        /// What kind of name was wanted.
        kind: &'static str,
        /// The text, cut to 64 characters.
        text: String,
        /// Its length in characters.
        length: usize,
        /// Shortest allowed.
        min: usize,
        /// Longest allowed.
        max: usize,
    },
    /// A character that the kind does not allow, or not at this place.
    #[error("{kind} name '{text}' has a character that is not allowed at position {at}: '{found}'")]
    Character {
        /// What kind of name was wanted.
        kind: &'static str,
        /// The text, cut to 64 characters.
        text: String,
        /// Position of the character, counted from 1.
        at: usize,
        /// The character.
        found: char,
    },
    /// A word that is kept for another use.
    #[error("'{text}' is a reserved {kind} name")]
    Reserved {
        /// What kind of name was wanted.
        kind: &'static str,
        /// The text.
        text: String,
    },
    /// No letter at all.
    #[error("{kind} name '{text}' needs at least one letter")]
    NoLetter {
        /// What kind of name was wanted.
        kind: &'static str,
        /// The text.
        text: String,
    },
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

fn check_length(kind: &'static str, text: &str, min: usize, max: usize) -> Result<(), BadName> {
    let length = text.chars().count();
    if (min..=max).contains(&length) { Ok(()) } else { Err(BadName::Length { kind, text: shorten(text), length, min, max }) }
}

/// First character a letter or `_` (also a digit where `digit_first`); the rest letters, digits, `_`, `-`; at least one letter.
fn check_word(kind: &'static str, text: &str, digit_first: bool) -> Result<(), BadName> {
    for (at, found) in text.chars().enumerate() {
        let fits =
            found.is_ascii_alphabetic() || found == '_' || (found.is_ascii_digit() && (at > 0 || digit_first)) || (found == '-' && at > 0);
        if !fits {
            return Err(BadName::Character { kind, text: shorten(text), at: at + 1, found });
        }
    }
    if text.chars().any(|c| c.is_ascii_alphabetic()) { Ok(()) } else { Err(BadName::NoLetter { kind, text: shorten(text) }) }
}

/// Labels of at most 63 letters, digits and `-`, joined by `.`; not starting with `.` or `-`, not ending with `-`.
fn check_host(kind: &'static str, text: &str) -> Result<(), BadName> {
    let bad = |at: usize, found: char| BadName::Character { kind, text: shorten(text), at, found };
    let last = text.chars().count();
    let mut label = 0;
    let mut before = '.';
    for (index, found) in text.chars().enumerate() {
        let at = index + 1;
        match found {
            '.' if before == '.' || before == '-' => return Err(bad(at, found)),
            '-' if before == '.' || at == last => return Err(bad(at, found)),
            '.' => label = 0,
            '-' => label += 1,
            c if c.is_ascii_alphanumeric() => label += 1,
            c => return Err(bad(at, c)),
        }
        if label > 63 {
            return Err(bad(at, found));
        }
        before = found;
    }
    if before == '.' { Err(bad(last, '.')) } else { Ok(()) }
}

/// Compares as names do: without regard to ASCII case. Every look into a map of the cluster does this some dozen times, nearly always with names
/// that begin alike: what is alike is passed over in words.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    if std::ptr::eq(a, b) {
        return Ordering::Equal;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let ((words_a, _), (words_b, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let alike = words_a.iter().zip(words_b).take_while(|(a, b)| a == b).count() * 8;
    for (a, b) in a.iter().zip(b).skip(alike) {
        let order = a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase());
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Names that compare as equal have one hash.
fn hash_folded<H: Hasher>(text: &str, state: &mut H) {
    for part in text.as_bytes().chunks(32) {
        let mut folded = [0u8; 32];
        for (to, from) in folded.iter_mut().zip(part) {
            *to = from.to_ascii_uppercase();
        }
        state.write(folded.get(..part.len()).unwrap_or_default());
    }
    state.write_u8(0xff);
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Takes `text` as a name.
            ///
            /// # Errors
            /// [`BadName`] says which rule of the type's description is broken.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> Result<(), BadName> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The spelling it was made with.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }
        impl Eq for $type {}
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                hash_folded(&self.0, state);
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::parse(&text)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.to_string()
            }
        }
    };
}

name!(
    /// Name of a node: 2 to 255 characters, a host name (labels of at most 63 letters, digits, `-`, joined by `.`).
    NodeName,
    |t| {
        check_length("node", t, 2, 255)?;
        check_host("node", t)
    }
);
name!(
    /// Name of a resource definition and its resources: 2 to 48 characters; `all` and `proxy` are reserved.
    ResourceName,
    |t| {
        check_length("resource", t, 2, 48)?;
        check_word("resource", t, false)?;
        if t.eq_ignore_ascii_case("all") || t.eq_ignore_ascii_case("proxy") {
            return Err(BadName::Reserved { kind: "resource", text: t.into() });
        }
        Ok(())
    }
);
name!(
    /// Name of a resource group: 2 to 48 characters.
    ResourceGroupName,
    |t| {
        check_length("resource group", t, 2, 48)?;
        check_word("resource group", t, false)
    }
);
name!(
    /// Name of a snapshot: 2 to 48 characters.
    SnapshotName,
    |t| {
        check_length("snapshot", t, 2, 48)?;
        check_word("snapshot", t, false)
    }
);
name!(
    /// Name of a storage pool and its definition: 3 to 48 characters.
    StorPoolName,
    |t| {
        check_length("storage pool", t, 3, 48)?;
        check_word("storage pool", t, false)
    }
);
name!(
    /// Name of a net interface: 3 to 32 characters; may begin with a digit (the user's guide has `10G_nic`).
    NetIfName,
    |t| {
        check_length("net interface", t, 3, 32)?;
        check_word("net interface", t, true)
    }
);
name!(
    /// Name of a key-value store: 2 to 48 characters.
    KvsName,
    |t| {
        check_length("key-value store", t, 2, 48)?;
        check_word("key-value store", t, false)
    }
);
name!(
    /// Name of a space that several pools share: 1 to 48 letters, digits, `_`, `-`, `.`; first a letter, a digit or `_`.
    SharedSpaceName,
    |t| {
        check_length("shared space", t, 1, 48)?;
        for (at, found) in t.chars().enumerate() {
            if !(found.is_ascii_alphanumeric() || found == '_' || (at > 0 && (found == '-' || found == '.'))) {
                return Err(BadName::Character { kind: "shared space", text: shorten(t), at: at + 1, found });
            }
        }
        Ok(())
    }
);

name!(
    /// Path of an external file: absolute, 2 to 1024 printable ASCII characters, no `//`, no `.` or `..` component, no `/` at the end.
    FilePath,
    |t| {
        check_length("file", t, 2, 1024)?;
        let bad = |at: usize, found: char| BadName::Character { kind: "file", text: shorten(t), at: at + 1, found };
        for (at, found) in t.chars().enumerate() {
            if (at == 0 && found != '/') || !(found == ' ' || found.is_ascii_graphic()) {
                return Err(bad(at, found));
            }
        }
        let mut at = 1;
        for part in t.split('/').skip(1) {
            if matches!(part, "" | "." | "..") {
                return Err(bad(at - 1, '/'));
            }
            at += part.len() + 1;
        }
        Ok(())
    }
);

/// The storage pool of diskless replicas; every node has one, nobody may delete it.
pub const DISKLESS_POOL: &str = "DfltDisklessStorPool";
/// The storage pool that is used where none is named.
pub const DEFAULT_POOL: &str = "DfltStorPool";
/// The resource group of definitions that name none.
pub const DEFAULT_GROUP: &str = "DfltRscGrp";

/// Number of a volume inside its resource: 0 to 65534.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeNumber(u16);

impl VolumeNumber {
    /// Largest volume number of REST API v1.
    pub const MAX: u16 = 65534;

    /// Takes `number` if it lies in 0 to 65534.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u16::try_from(number).ok().filter(|n| *n <= Self::MAX).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for VolumeNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Order, equality and hash are those of the upper-cased names.
        #[test]
        fn names_are_compared_without_case(a in "[a-cA-C]{0,40}", b in "[a-cA-C]{0,40}", same in any::<bool>(), upper in any::<bool>()) {
            let b = match (same, upper) {
                (true, true) => a.to_ascii_uppercase(),
                (true, false) => format!("{a}{b}"),
                (false, _) => b,
            };
            prop_assert_eq!(compare(&a, &b), a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase()));
            let hash = |text: &str| {
                let mut state = std::hash::DefaultHasher::new();
                hash_folded(text, &mut state);
                state.finish()
            };
            prop_assert_eq!(hash(&a) == hash(&b), a.eq_ignore_ascii_case(&b));
        }
    }

    fn check<T>(parse: fn(&str) -> Result<T, BadName>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "{text:?} should be a name");
        }
        for text in bad {
            assert!(parse(text).is_err(), "{text:?} should not be a name");
        }
    }

    #[test]
    fn names_follow_their_rules() {
        let long = "a".repeat(49);
        check(ResourceName::parse, &["r1", "_x", "a-b_c", &long[..48]], &["r", "1a", "-a", "a b", "ä1", "all", "Proxy", "__", &long, ""]);
        check(NodeName::parse, &["n1", "a.b", "1a", "10"], &["n", ".a", "-a", "a-", "a..b", "a.", "a_b", &"x".repeat(64)]);
        check(StorPoolName::parse, &["abc"], &["ab", "1ab"]);
        check(NetIfName::parse, &["10G_nic", "default"], &["ab", "123"]);
        check(
            FilePath::parse,
            &["/a", "/etc/x y.conf", "/a/.b/c..d"],
            &["a", "/", "/a/", "//a", "/a//b", "/a/../b", "/.", "/\u{e4}", "/a\n"],
        );
        check(SharedSpaceName::parse, &["a", "1", "x.y"], &["", "n;p", "-x"]);
    }

    #[test]
    fn names_compare_without_case_and_keep_their_spelling() {
        let (a, b) = (NodeName::parse("Alpha").unwrap(), NodeName::parse("ALPHA").unwrap());
        assert_eq!(a, b);
        assert_eq!(a.as_str(), "Alpha");
        assert!(NodeName::parse("alpha").unwrap() < NodeName::parse("BRAVO").unwrap());
    }
}
