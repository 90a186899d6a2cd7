//! Which argument vectors a provider may run.
//!
//! A pattern is a line of words. Each word of a command is matched by one word of the pattern, from the first to the last; nothing is
//! split, joined, expanded or given to a shell.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `lvs`, `--yes` | that word |
//! | `{name}` | the name of a backing object ([`BackingName`]) |
//! | `{place}` | the pool's place, exactly |
//! | `{group}` | the pool's place up to its first `/` (a volume group, the root of a dataset) |
//! | `{number}` | 1 to 20 digits |
//! | `{text}` | 1 to 1024 printable ASCII characters without space, the first not `-` |
//! | `{device}` | a path in a granted folder of devices |
//! | `{path}` | a path in a granted folder, or in the pool's place |
//! | `{words:KEY}` | the words of the pool's property KEY, none if it is not set; the whole word of the pattern |
//! | `[` … `]` | the words between may be missing; not nested |
//! | a word with `...` at its end | once or more |
//!
//! Words may mix text and placeholders: `--size={number}k`, `{group}/{name}`.

use crate::{BackingName, Pool};

/// Most words of a command.
const WORDS_MAX: usize = 4096;
/// Longest word of a command.
const WORD_MAX: usize = 4096;

/// Most placeholders of a word: how often a word is read again grows with their number.
const HOLES_MAX: usize = 3;

/// A pattern of argument vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    One(Vec<Piece>),
    More(Vec<Piece>),
    Maybe(Vec<Self>),
    Property(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(Hole),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    Name,
    Place,
    Group,
    Number,
    Text,
    Device,
    Path,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}': {why}")]
pub struct BadPattern {
    /// The pattern, cut at 200 characters.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The pool of the call.
    pub pool: &'a Pool,
    /// Granted folders of devices.
    pub devices: &'a [String],
    /// Other granted folders.
    pub paths: &'a [String],
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`BadPattern`]: it is empty, its first word is not a plain word (a command is called by its name, without a path), a placeholder
    /// is not known, a group is not closed or is nested.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let bad = |why: String| BadPattern { pattern: text.chars().take(200).collect(), why };
        let mut items = Vec::new();
        let mut group: Option<Vec<Item>> = None;
        for word in text.split_ascii_whitespace() {
            match word {
                "[" if group.is_some() => return Err(bad("a group is in a group".into())),
                "[" => group = Some(Vec::new()),
                "]" => items.push(Item::Maybe(group.take().ok_or_else(|| bad("a group ends that did not begin".into()))?)),
                word => group.as_mut().unwrap_or(&mut items).push(item(word).map_err(bad)?),
            }
        }
        if group.is_some() {
            return Err(bad("a group does not end".into()));
        }
        match items.first() {
            Some(Item::One(pieces)) => match pieces.as_slice() {
                [Piece::Text(program)] if !program.contains('/') => Ok(Self { items }),
                _ => Err(bad("its first word is not the plain name of a command".into())),
            },
            _ => Err(bad("its first word is not the plain name of a command".into())),
        }
    }

    /// The command's name.
    #[must_use]
    pub fn program(&self) -> &str {
        match self.items.first() {
            Some(Item::One(pieces)) => match pieces.first() {
                Some(Piece::Text(program)) => program,
                Some(Piece::Hole(_)) | None => "",
            },
            Some(Item::More(_) | Item::Maybe(_) | Item::Property(_)) | None => "",
        }
    }

    /// Whether a command is one of those meant. At most 4096 words of at most 4096 bytes are.
    #[must_use]
    pub fn matches(&self, argv: &[&str], scope: Scope<'_>) -> bool {
        if argv.len() > WORDS_MAX || argv.iter().any(|word| word.len() > WORD_MAX || word.contains('\0')) {
            return false;
        }
        all(&self.items, argv, vec![0], scope).contains(&argv.len())
    }
}

fn item(word: &str) -> Result<Item, String> {
    if let Some(key) = word.strip_prefix("{words:") {
        return key
            .strip_suffix('}')
            .filter(|key| !key.is_empty())
            .map(|key| Item::Property(key.to_owned()))
            .ok_or_else(|| format!("'{word}' is not '{{words:KEY}}'"));
    }
    match word.strip_suffix("...") {
        Some(word) => Ok(Item::More(pieces(word)?)),
        None => Ok(Item::One(pieces(word)?)),
    }
}

fn pieces(word: &str) -> Result<Vec<Piece>, String> {
    let mut all: Vec<Piece> = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        match rest.split_once('{') {
            None => {
                all.push(Piece::Text(rest.to_owned()));
                rest = "";
            }
            Some((text, more)) => {
                if !text.is_empty() {
                    all.push(Piece::Text(text.to_owned()));
                }
                let (name, after) = more.split_once('}').ok_or_else(|| format!("'{{' of '{word}' has no '}}'"))?;
                let hole = match name {
                    "name" => Hole::Name,
                    "place" => Hole::Place,
                    "group" => Hole::Group,
                    "number" => Hole::Number,
                    "text" => Hole::Text,
                    "device" => Hole::Device,
                    "path" => Hole::Path,
                    other => return Err(format!("'{{{other}}}' is not a placeholder")),
                };
                if matches!(all.last(), Some(Piece::Hole(_))) {
                    return Err(format!("two placeholders of '{word}' have nothing between them"));
                }
                all.push(Piece::Hole(hole));
                rest = after;
            }
        }
    }
    let holes = all.iter().filter(|piece| matches!(piece, Piece::Hole(_))).count();
    match holes {
        _ if all.is_empty() => Err("'...' stands alone".into()),
        0..=HOLES_MAX => Ok(all),
        _ => Err(format!("'{word}' has more than {HOLES_MAX} placeholders")),
    }
}

/// Where in `argv` one can be after `items`, begun at `starts`; each place once, so that no pattern and no command costs more than
/// their product.
fn all(items: &[Item], argv: &[&str], starts: Vec<usize>, scope: Scope<'_>) -> Vec<usize> {
    let mut at = starts;
    for item in items {
        let one = |at: usize, pieces: &[Piece]| argv.get(at).is_some_and(|word| whole(pieces, word, scope));
        let mut next: Vec<usize> = match item {
            Item::One(pieces) => at.iter().filter(|at| one(**at, pieces)).map(|at| at.saturating_add(1)).collect(),
            Item::More(pieces) => {
                let runs = at.iter().flat_map(|start| {
                    (*start..argv.len()).take_while(|at| one(*at, pieces)).map(|at| at.saturating_add(1)).collect::<Vec<_>>()
                });
                runs.collect()
            }
            Item::Maybe(inner) => at.iter().copied().chain(all(inner, argv, at.clone(), scope)).collect(),
            Item::Property(key) => {
                let words: Vec<&str> = scope.pool.props.get(key).map(|text| text.split_whitespace().collect()).unwrap_or_default();
                let fits = |at: &&usize| argv.get(**at..).is_some_and(|rest| rest.starts_with(&words));
                at.iter().filter(fits).map(|at| at.saturating_add(words.len())).collect()
            }
        };
        next.sort_unstable();
        next.dedup();
        at = next;
        if at.is_empty() {
            break;
        }
    }
    at
}

/// Whether all of `word` is matched.
fn whole(pieces: &[Piece], word: &str, scope: Scope<'_>) -> bool {
    match pieces.split_first() {
        None => word.is_empty(),
        Some((Piece::Text(text), rest)) => word.strip_prefix(text.as_str()).is_some_and(|word| whole(rest, word, scope)),
        Some((Piece::Hole(hole), rest)) => match rest.split_first() {
            None => hole.takes(word, scope),
            // A hole is followed by text: wherever that text is, the hole could end.
            Some((Piece::Text(text), after)) => word.match_indices(text.as_str()).any(|(at, _)| {
                let (head, tail) = word.split_at(at);
                hole.takes(head, scope) && tail.strip_prefix(text.as_str()).is_some_and(|tail| whole(after, tail, scope))
            }),
            Some((Piece::Hole(_), _)) => false,
        },
    }
}

impl Hole {
    fn takes(self, text: &str, scope: Scope<'_>) -> bool {
        let place = scope.pool.place.as_str();
        match self {
            Self::Name => BackingName::parse(text).is_ok(),
            Self::Place => !place.is_empty() && text == place,
            Self::Group => !place.starts_with('/') && place.split('/').next().is_some_and(|group| !group.is_empty() && text == group),
            Self::Number => (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
            Self::Text => (1..=1024).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic()),
            Self::Device => scope.devices.iter().any(|folder| inside(folder, text)),
            Self::Path => {
                scope.paths.iter().any(|folder| inside(folder, text))
                    || (place.starts_with('/') && inside(&format!("{}/", place.trim_end_matches('/')), text))
            }
        }
    }
}

/// Whether `path` lies in `folder` (which ends with `/`), by its words alone.
#[must_use]
pub(crate) fn inside(folder: &str, path: &str) -> bool {
    let plain = |rest: &str| !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    path.bytes().all(|b| b.is_ascii_graphic()) && path.strip_prefix(folder).is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool() -> Pool {
        let props = [("StorDriver/LvcreateOptions".to_owned(), "-i 2 --type raid1".to_owned())];
        Pool { name: "p".into(), kind: "LVM_THIN".into(), place: "vg0/thin".into(), props: props.into() }
    }

    fn matches(pattern: &str, argv: &str) -> bool {
        let pool = pool();
        let scope = Scope { pool: &pool, devices: &["/dev/vg0/".into()], paths: &["/var/lib/x/".into()] };
        let words: Vec<&str> = argv.split(' ').collect();
        Pattern::parse(pattern).unwrap().matches(&words, scope)
    }

    #[test]
    fn each_word_is_matched_by_one_word() {
        for (pattern, good, bad) in [
            ("lvs", vec!["lvs"], vec!["", "lvs -a", "lvs ", "/sbin/lvs", "Lvs"]),
            ("lvcreate --size {number}k", vec!["lvcreate --size 4096k"], vec!["lvcreate --size k", "lvcreate --size -1k", "lvcreate"]),
            ("lvremove {group}/{name}", vec!["lvremove vg0/web_00000"], vec!["lvremove vg1/web", "lvremove vg0/-f", "lvremove vg0/a/b"]),
            ("a {place}", vec!["a vg0/thin"], vec!["a vg0", "a vg0/thin/x"]),
            ("a [ -y ] {name}", vec!["a x", "a -y x"], vec!["a -y", "a -n x", "a -y -y x"]),
            ("a {name}...", vec!["a x", "a x y z"], vec!["a", "a x -y"]),
            ("a [ {name}... ] -z", vec!["a -z", "a x y -z"], vec!["a x", "a"]),
            (
                "a {device}",
                vec!["a /dev/vg0/web"],
                vec!["a /dev/sda", "a /dev/vg0/", "a /dev/vg0/../sda", "a /dev/vg0//x", "a /dev/vg0/./x"],
            ),
            ("a of={path}", vec!["a of=/var/lib/x/y"], vec!["a of=/var/lib/x", "a of=/etc/passwd", "a of=/var/lib/x/../y"]),
            ("a --tag {text}", vec!["a --tag berth1:v:x"], vec!["a --tag -x", "a --tag", "a --tag é"]),
            (
                "c {words:StorDriver/LvcreateOptions} {name}",
                vec!["c -i 2 --type raid1 web"],
                vec!["c web", "c -i 2 web", "c -i 3 --type raid1 web"],
            ),
            ("c {words:StorDriver/Unset} {name}", vec!["c web"], vec!["c -i web"]),
        ] {
            good.iter().for_each(|argv| assert!(matches(pattern, argv), "{pattern} should take {argv}"));
            bad.iter().for_each(|argv| assert!(!matches(pattern, argv), "{pattern} should not take {argv}"));
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_says_why() {
        for (text, why) in [
            ("", "first word"),
            ("{name}", "first word"),
            ("/bin/sh", "first word"),
            ("[ lvs ]", "first word"),
            ("a {x}", "{x}"),
            ("a {name", "no '}'"),
            ("a [ b", "does not end"),
            ("a ]", "did not begin"),
            ("a [ b [ c ] ]", "in a group"),
            ("a {name}{number}", "between"),
            ("a ...", "alone"),
            ("a {words:}", "KEY"),
            ("a {text},{text},{text},{text}", "more than 3"),
        ] {
            let error = Pattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_word_that_never_ends_costs_little() {
        let long = "x".repeat(WORD_MAX);
        let pattern = "a {number}x{number}x{number}y";
        let pool = pool();
        let scope = Scope { pool: &pool, devices: &[], paths: &[] };
        assert!(!Pattern::parse(pattern).unwrap().matches(&["a", &long[..200]], scope));
        assert!(!Pattern::parse("a").unwrap().matches(&["a", &format!("{long}x")], scope));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_shell_word_gets_through(pattern in "\\PC{0,60}", argv in prop::collection::vec("\\PC{0,20}", 0..6)) {
            let pool = pool();
            let scope = Scope { pool: &pool, devices: &["/dev/vg0/".into()], paths: &[] };
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.matches(&words, scope);
            }
            // Whatever it is given, a placeholder of a name takes no option, path or separator.
            let word = argv.concat();
            if Pattern::parse("a {name}").unwrap().matches(&["a", &word], scope) {
                prop_assert!(!word.starts_with('-') && !word.contains(['/', ';', ' ', '$']));
            }
        }
    }
}
