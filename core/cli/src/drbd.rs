//! The options of DRBD that commands offer as flags.
//!
//! The table is data (`data/drbd-options.tsv`), so that the grammar works without a controller.
//! Values are checked here, as LINSTOR's client does; what a controller knows beyond the table is set with `set-property`.

use berth_model::props::{self, Owner};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::words::{self, BadUsage};

const TABLE: &str = include_str!("../data/drbd-options.tsv");

/// On what kind of object options are set; this decides which exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Controller, resource group, resource definition: everything.
    All,
    /// Volume group and volume definition: what a disk has.
    Volume,
    /// Between two nodes: what a connection has.
    Peer,
}

/// What the values of an option look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Yes or no.
    Boolean,
    /// One of the words of the hint.
    Symbol,
    /// A number within the range of the hint.
    Range,
    /// One of the words of the hint, or a number within its range.
    Numeric,
    /// Any text.
    Text,
}

/// One option of the table.
#[derive(Debug, Clone, Copy)]
pub struct DrbdOption {
    /// DRBD's name of it, also the long option.
    pub name: &'static str,
    section: &'static str,
    kind: Kind,
    unit: &'static str,
    hint: &'static str,
    /// What it is for, one sentence without an end.
    pub help: &'static str,
}

impl DrbdOption {
    /// The property that holds it: `DrbdOptions/<section>/<name>`.
    pub fn key(&self) -> String {
        format!("DrbdOptions/{}/{}", self.section, self.name)
    }

    /// The words that a value may be; none where it is a number or any text.
    pub fn words(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Boolean | Kind::Symbol => self.hint.split('|').collect(),
            Kind::Numeric => self.hint.split('|').filter(|part| !part.contains('-')).collect(),
            Kind::Range | Kind::Text => Vec::new(),
        }
    }

    fn fits(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Volume => self.section == "Disk" || self.name == "bitmap",
            Scope::Peer => matches!(self.section, "Net" | "PeerDevice"),
        }
    }

    fn range(&self) -> Option<(u64, u64)> {
        let part = self.hint.split('|').next_back()?;
        let (from, to) = part.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()?))
    }

    /// The value as the property holds it: words in the spelling of the table, numbers in the unit that the property counts in (`10M`
    /// becomes 10240 where it counts KiB).
    ///
    /// # Errors
    /// Words and numbers that the option does not take.
    fn value(&self, text: &str) -> Result<String, BadUsage> {
        let bad = |wanted: String| BadUsage::new(format!("--{}: '{text}' is not possible; {wanted}", self.name));
        let word = || self.words().into_iter().find(|word| word.eq_ignore_ascii_case(text)).map(str::to_owned);
        let number = || {
            let number = self.number(text)?;
            let (from, to) = self.range()?;
            (from..=to).contains(&number).then(|| number.to_string())
        };
        let between = || self.range().map_or_else(String::new, |(from, to)| format!("a number from {from} to {to}{}", self.counted()));
        match self.kind {
            Kind::Text => Ok(text.to_owned()),
            Kind::Boolean => words::to_bool(text, self.name).map(|yes| if yes { "yes" } else { "no" }.to_owned()),
            Kind::Symbol => word().ok_or_else(|| bad(format!("it is one of {}", self.words().join(", ")))),
            Kind::Range => number().ok_or_else(|| bad(format!("it is {}", between()))),
            Kind::Numeric => {
                word().or_else(number).ok_or_else(|| bad(format!("it is one of {}, or {}", self.words().join(", "), between())))
            }
        }
    }

    /// Bytes in one of what the property counts; `None` where it does not count bytes.
    fn each(&self) -> Option<u64> {
        match self.unit {
            "1" => Some(1),
            "s" => Some(512),
            "k" => Some(1024),
            _ => None,
        }
    }

    fn counted(&self) -> &'static str {
        match self.unit {
            "s" => " (sectors of 512 bytes; K, M and G are understood)",
            "k" => " (KiB; K, M and G are understood)",
            _ => "",
        }
    }

    fn number(&self, text: &str) -> Option<u64> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(end);
        let number: u64 = digits.parse().ok()?;
        let scale: u64 = match suffix.to_ascii_lowercase().as_str() {
            "" => return Some(number),
            "s" => 512,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            _ => return None,
        };
        Some(number.checked_mul(scale)? / self.each()?)
    }

    /// The help of its option: what it is for, and what holds where it is not set.
    fn about(&self) -> String {
        let key = self.key();
        let unset = props::infos(Owner::Controller).find(|info| info.key == key).and_then(|info| info.dflt);
        match unset.map(|text| text.to_ascii_lowercase()).as_deref() {
            None => self.help.to_owned(),
            Some("true") => format!("{} [default: yes]", self.help),
            Some("false") => format!("{} [default: no]", self.help),
            Some(other) => format!("{} [default: {other}]", self.help),
        }
    }
}

/// All options of the table that `scope` has.
pub fn options(scope: Scope) -> impl Iterator<Item = DrbdOption> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).filter(move |option| option.fits(scope))
}

fn parse_line(line: &'static str) -> Option<DrbdOption> {
    let mut fields = line.split('\t');
    let (name, section, kind, unit, hint, help) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let kind = match kind {
        "boolean" => Kind::Boolean,
        "symbol" => Kind::Symbol,
        "range" => Kind::Range,
        "numeric" => Kind::Numeric,
        "string" => Kind::Text,
        _ => return None,
    };
    Some(DrbdOption { name, section, kind, unit, hint, help })
}

/// Adds `--<option> VALUE` and `--unset-<option>` for each option of `scope`.
pub fn with_options(command: Command, scope: Scope) -> Command {
    // The long help is shown instead of the short one, and not behind it.
    let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    options(scope)
        .fold(command, |command, option| {
            let hint = if option.hint == "-" { "VALUE" } else { option.hint };
            command
                .arg(
                    Arg::new(id(option.name))
                        .long(option.name)
                        .num_args(1)
                        .value_name(hint)
                        .help(option.about())
                        .help_heading("DRBD options"),
                )
                .arg(Arg::new(unset_id(option.name)).long(unset_id(option.name)).action(ArgAction::SetTrue).hide(true))
        })
        .after_long_help(format!("{example}\n\nEach option has a form --unset-<option>, which removes it from this object."))
}

/// Properties to set, and keys to delete.
pub type Changes = (Vec<(String, String)>, Vec<String>);

/// What the flags of [`with_options`] ask for.
///
/// # Errors
/// A value that its option does not take.
pub fn changes(matches: &ArgMatches, scope: Scope) -> Result<Changes, BadUsage> {
    let (mut set, mut delete) = (Vec::new(), Vec::new());
    for option in options(scope) {
        if let Some(value) = matches.get_one::<String>(&id(option.name)) {
            set.push((option.key(), option.value(value)?));
        }
        if matches.get_flag(&unset_id(option.name)) {
            delete.push(option.key());
        }
    }
    Ok((set, delete))
}

fn id(name: &str) -> String {
    format!("drbd:{name}")
}

fn unset_id(name: &str) -> String {
    format!("unset-{name}")
}

#[cfg(test)]
mod tests {
    use super::{Kind, Scope, options};

    #[test]
    fn the_table_is_whole() {
        assert_eq!(options(Scope::All).count(), 91);
        assert_eq!(options(Scope::Volume).count(), 18);
        assert_eq!(options(Scope::Peer).count(), 47);
    }

    #[test]
    fn units_are_converted() {
        let find = |name: &str| options(Scope::All).find(|option| option.name == name).expect("in the table");
        let value = |name: &str, text: &str| find(name).value(text).ok();
        for (name, text, held) in [
            ("c-max-rate", "10M", "10240"),
            ("c-max-rate", "4096", "4096"),
            ("c-fill-target", "1M", "2048"),
            ("max-buffers", "8k", "8192"),
            ("verify-alg", "sha1", "sha1"),
            ("protocol", "a", "A"),
            ("quorum", "Majority", "majority"),
            ("quorum", "3", "3"),
            ("auto-promote", "False", "no"),
        ] {
            assert_eq!(value(name, text).as_deref(), Some(held), "{name} {text}");
        }
        assert_eq!(find("max-buffers").key(), "DrbdOptions/Net/max-buffers");
    }

    #[test]
    fn every_option_refuses_what_it_does_not_take() {
        for option in options(Scope::All) {
            let refused = option.value("no-such-value").is_err();
            assert_eq!(refused, option.kind != Kind::Text, "{}", option.name);
            if let (Kind::Range | Kind::Numeric, Some((from, to))) = (option.kind, option.range()) {
                assert!(option.value(&to.to_string()).is_ok() && option.value(&from.to_string()).is_ok(), "{}", option.name);
                assert!(option.value(&(to + 1).to_string()).is_err(), "{}", option.name);
                assert!(from == 0 || option.value(&(from - 1).to_string()).is_err(), "{}", option.name);
            } else {
                assert!(matches!(option.kind, Kind::Boolean | Kind::Symbol | Kind::Text), "{} has no range", option.name);
            }
            assert!(!option.help.is_empty() && !option.help.ends_with('.'), "{}", option.name);
        }
    }
}
