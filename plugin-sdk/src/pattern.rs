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

/// Most placeholders of a word: what people can read.
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
        let mut begin = vec![false; argv.len().saturating_add(1)];
        begin[0] = true;
        all(&self.items, argv, begin, scope).last() == Some(&true)
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

/// Where in `argv` one can be after `items`, begun at `starts`: `at[n]` says whether before word `n`. Each word is read once for each item,
/// whatever the pattern, so no pattern and no command costs more than their product.
fn all(items: &[Item], argv: &[&str], starts: Vec<bool>, scope: Scope<'_>) -> Vec<bool> {
    let mut at = starts;
    for item in items {
        let mut next = vec![false; at.len()];
        match item {
            Item::One(pieces) => {
                for ((word, here), after) in argv.iter().zip(&at).zip(next.iter_mut().skip(1)) {
                    *after = *here && whole(pieces, word, scope);
                }
            }
            Item::More(pieces) => {
                let mut going = false;
                for ((word, here), after) in argv.iter().zip(&at).zip(next.iter_mut().skip(1)) {
                    going = (going || *here) && whole(pieces, word, scope);
                    *after = going;
                }
            }
            Item::Maybe(inner) => {
                next = all(inner, argv, at.clone(), scope);
                next.iter_mut().zip(&at).for_each(|(next, at)| *next |= *at);
            }
            Item::Property(key) => {
                let words: Vec<&str> = scope.pool.props.get(key).map(|text| text.split_whitespace().collect()).unwrap_or_default();
                for (start, _) in at.iter().enumerate().filter(|(_, here)| **here) {
                    if argv.get(start..).is_some_and(|rest| rest.starts_with(&words))
                        && let Some(after) = next.get_mut(start.saturating_add(words.len()))
                    {
                        *after = true;
                    }
                }
            }
        }
        at = next;
        if !at.contains(&true) {
            break;
        }
    }
    at
}

/// Whether all of `word` is matched. Each piece looks at each byte a few times at most, wherever the pieces before it can end.
fn whole(pieces: &[Piece], word: &str, scope: Scope<'_>) -> bool {
    let bytes = word.as_bytes();
    // Most words are refused by how they begin.
    if let Some(Piece::Text(text)) = pieces.first()
        && !word.starts_with(text.as_str())
    {
        return false;
    }
    let mut at = vec![false; bytes.len().saturating_add(1)];
    at[0] = true;
    for piece in pieces {
        at = match piece {
            Piece::Text(text) => after_text(text.as_bytes(), bytes, &at),
            Piece::Hole(hole) => hole.after(bytes, &at, scope),
        };
        if !at.contains(&true) {
            return false;
        }
    }
    at.last() == Some(&true)
}

/// Where one can be after `text`.
fn after_text(text: &[u8], word: &[u8], at: &[bool]) -> Vec<bool> {
    let mut next = vec![false; at.len()];
    for (start, _) in at.iter().enumerate().filter(|(_, here)| **here) {
        if word.get(start..).is_some_and(|rest| rest.starts_with(text))
            && let Some(after) = next.get_mut(start.saturating_add(text.len()))
        {
            *after = true;
        }
    }
    next
}

impl Hole {
    /// Where in `word` one can be after this placeholder, begun at `at`.
    fn after(self, word: &[u8], at: &[bool], scope: Scope<'_>) -> Vec<bool> {
        let in_name = |byte: u8| BackingName::takes(byte);
        let place = scope.pool.place.as_str();
        match self {
            Self::Name => run(word, at, BackingName::LENGTH_MAX, BackingName::begins, in_name),
            Self::Number => run(word, at, 20, |_| true, |byte| byte.is_ascii_digit()),
            Self::Text => run(word, at, 1024, |byte| byte != b'-', |byte| byte.is_ascii_graphic()),
            Self::Place if place.is_empty() => vec![false; at.len()],
            Self::Place => after_text(place.as_bytes(), word, at),
            Self::Group => match group(scope.pool) {
                Some(group) => after_text(group.as_bytes(), word, at),
                None => vec![false; at.len()],
            },
            Self::Device => paths(scope.devices.iter().map(String::as_str), word, at),
            Self::Path => {
                let own = place.starts_with('/').then(|| format!("{}/", place.trim_end_matches('/')));
                paths(scope.paths.iter().map(String::as_str).chain(own.as_deref()), word, at)
            }
        }
    }
}

/// The pool's place up to its first `/`; `None`: it is a path.
pub(crate) fn group(pool: &Pool) -> Option<&str> {
    pool.place.split('/').next().filter(|group| !group.is_empty())
}

/// After a run of 1 to `most` bytes that `takes` takes, the first one also `begins`.
fn run(word: &[u8], at: &[bool], most: usize, begins: impl Fn(u8) -> bool, takes: impl Fn(u8) -> bool) -> Vec<bool> {
    // How long the run is that begins at each byte, from the last one on.
    let mut long = vec![0usize; at.len()];
    for (start, byte) in word.iter().enumerate().rev() {
        let after = long.get(start.saturating_add(1)).copied().unwrap_or(0);
        if takes(*byte) {
            long[start] = after.saturating_add(1);
        }
    }
    let mut next = vec![false; at.len()];
    // Where the run that reaches farthest ends, of those that have begun.
    let mut far = 0usize;
    for (start, byte) in word.iter().enumerate() {
        if at[start] && begins(*byte) {
            far = far.max(start.saturating_add(long[start].min(most)));
        }
        next[start.saturating_add(1)] = far > start;
    }
    next
}

/// After a path in one of these folders (which end with `/`): absolute, its parts plain.
fn paths<'a>(folders: impl Iterator<Item = &'a str>, word: &[u8], at: &[bool]) -> Vec<bool> {
    let mut next = vec![false; at.len()];
    for folder in folders {
        for (start, _) in at.iter().enumerate().filter(|(_, here)| **here) {
            let Some(rest) = word.get(start..).and_then(|rest| rest.strip_prefix(folder.as_bytes())) else { continue };
            if !folder.bytes().all(|byte| byte.is_ascii_graphic()) {
                continue;
            }
            let begin = start.saturating_add(folder.len());
            let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
            let mut part = 0usize;
            for (end, byte) in rest.iter().enumerate() {
                if !byte.is_ascii_graphic() || (*byte == b'/' && !plain(&rest[part..end])) {
                    break;
                }
                if *byte == b'/' {
                    part = end.saturating_add(1);
                } else if plain(&rest[part..=end]) {
                    next[begin.saturating_add(end).saturating_add(1)] = true;
                }
            }
        }
    }
    next
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

    /// What [`Pattern::matches`] finds, in the plainest words: every way is tried.
    fn slowly(items: &[Item], argv: &[&str], scope: Scope<'_>) -> bool {
        let Some((item, rest)) = items.split_first() else { return argv.is_empty() };
        let one = |pieces: &[Piece]| argv.first().is_some_and(|word| word_slowly(pieces, word, scope));
        match item {
            Item::One(pieces) => one(pieces) && slowly(rest, &argv[1..], scope),
            Item::More(pieces) => one(pieces) && (slowly(rest, &argv[1..], scope) || slowly(items, &argv[1..], scope)),
            Item::Maybe(inner) => slowly(rest, argv, scope) || slowly(&[inner.as_slice(), rest].concat(), argv, scope),
            Item::Property(key) => {
                let words: Vec<&str> = scope.pool.props.get(key).map(|text| text.split_whitespace().collect()).unwrap_or_default();
                argv.strip_prefix(words.as_slice()).is_some_and(|argv| slowly(rest, argv, scope))
            }
        }
    }

    fn word_slowly(pieces: &[Piece], word: &str, scope: Scope<'_>) -> bool {
        let Some((piece, rest)) = pieces.split_first() else { return word.is_empty() };
        match piece {
            Piece::Text(text) => word.strip_prefix(text.as_str()).is_some_and(|word| word_slowly(rest, word, scope)),
            Piece::Hole(hole) => (0..=word.len()).filter(|at| word.is_char_boundary(*at)).any(|at| {
                let (head, tail) = word.split_at(at);
                takes(*hole, head, scope) && word_slowly(rest, tail, scope)
            }),
        }
    }

    fn takes(hole: Hole, text: &str, scope: Scope<'_>) -> bool {
        let place = scope.pool.place.as_str();
        match hole {
            Hole::Name => BackingName::parse(text).is_ok(),
            Hole::Place => !place.is_empty() && text == place,
            Hole::Group => group(scope.pool) == Some(text),
            Hole::Number => (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
            Hole::Text => (1..=1024).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic()),
            Hole::Device => scope.devices.iter().any(|folder| inside(folder, text)),
            Hole::Path => {
                scope.paths.iter().any(|folder| inside(folder, text))
                    || (place.starts_with('/') && inside(&format!("{}/", place.trim_end_matches('/')), text))
            }
        }
    }

    #[test]
    fn many_repeated_words_in_a_row_cost_no_more_than_their_product() {
        let pool = pool();
        let scope = Scope { pool: &pool, devices: &[], paths: &[] };
        let pattern = format!("a {} end", "{text}... ".repeat(200));
        let words: Vec<&str> = std::iter::once("a").chain(std::iter::repeat_n("x", WORDS_MAX - 1)).collect();
        assert!(!Pattern::parse(&pattern).unwrap().matches(&words, scope));
        let long = "a".repeat(WORD_MAX);
        let pattern = format!("a {}", "{text}a{text}aa{text}b ".repeat(10));
        assert!(!Pattern::parse(&pattern).unwrap().matches(&["a", &long], scope));
    }

    proptest! {
        #[test]
        fn what_is_matched_is_what_trying_every_way_finds(
            pattern in prop::collection::vec(
                prop_oneof![
                    Just("["), Just("]"), Just("a"), Just("a..."), Just("{name}"), Just("{name}..."), Just("{number}a{text}"), Just("{text}..."),
                    Just("-{text}aa{name}"), Just("{place}"), Just("{group}/{name}"), Just("{device}"), Just("a{path}/a"), Just("{device}a{number}"),
                    Just("{words:StorDriver/LvcreateOptions}"), Just("{words:StorDriver/Unset}"),
                ],
                0..6,
            ),
            argv in prop::collection::vec(
                prop_oneof![
                    "[a1-]{0,6}".boxed(), "a?/d/[a./1]{0,5}".boxed(), "vg0/?[a.@]{0,3}".boxed(), Just("-i".to_owned()).boxed(),
                    Just("2".to_owned()).boxed(), "\\PC{0,3}".boxed(),
                ],
                0..7,
            ),
            place in prop_oneof![Just("vg0/thin"), Just("/d"), Just("vg0"), Just("")],
        ) {
            let props = [("StorDriver/LvcreateOptions".to_owned(), "-i 2".to_owned())];
            let pool = Pool { name: "p".into(), kind: "X".into(), place: place.into(), props: props.into() };
            let scope = Scope { pool: &pool, devices: &["/d/".into(), "/d/a/".into()], paths: &["/d/".into()] };
            let words: Vec<&str> = std::iter::once("a").chain(argv.iter().map(String::as_str)).collect();
            if let Ok(pattern) = Pattern::parse(&format!("a {}", pattern.join(" "))) {
                prop_assert_eq!(pattern.matches(&words, scope), slowly(&pattern.items, &words, scope), "{:?} {:?}", pattern, words);
            }
        }
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
