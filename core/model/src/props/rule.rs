//! What a value must look like, and its one spelling in the store.

use std::ops::RangeInclusive;
use std::sync::OnceLock;

use regex::Regex;

/// Largest DRBD device minor (20 bits).
const MINOR_MAX: u32 = (1 << 20) - 1;

/// Form of a value.
#[derive(Debug)]
pub(super) enum Rule {
    /// Anything.
    Text,
    /// A whole number of 64 bits.
    Long,
    /// `yes` or `no` in any case; stored in lower case.
    YesNo,
    /// `true`, `false`, `yes` or `no` in any case; stored as `true` or `false`.
    TrueFalse,
    /// A whole number, both ends included.
    Range(RangeInclusive<i64>),
    /// A decimal number, both ends included.
    Float(RangeInclusive<f64>),
    /// One of these words, exact in case.
    Symbol(Vec<&'static str>),
    /// A whole number in the range, or one of the words.
    NumberOrSymbol(RangeInclusive<i64>, Vec<&'static str>),
    /// A text that the pattern matches from its begin to its end.
    Pattern(&'static str, OnceLock<Regex>),
    /// Volume group, zpool or folder: printable, no `..` component. Shown to clients with the narrower pattern that they know.
    PoolPath(&'static str),
    /// TCP ports `from-to`, from not above to.
    Ports(&'static str),
    /// Device minors `from-to`, from not above to.
    Minors(&'static str),
    /// TCP ports and `from-to` ranges, separated by commas or blanks.
    PortList(&'static str),
}

/// Which rule a value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not of the form; the text says which.
    Form(String),
    /// Of the form, but no range of TCP ports.
    Ports(String),
    /// Of the form, but no range of minors.
    Minors(String),
}

impl Rule {
    /// Reads the columns `type` and `rule` of the table.
    pub(super) fn parse(kind: &'static str, text: &'static str) -> Result<Self, String> {
        let bad = || format!("bad rule '{kind}' '{text}'");
        Ok(match kind {
            "string" => Self::Text,
            "long" => Self::Long,
            "boolean" => Self::YesNo,
            "boolean_true_false" => Self::TrueFalse,
            "range" => Self::Range(parse_ends(text).ok_or_else(bad)?),
            "range-float" => Self::Float(parse_ends(text).ok_or_else(bad)?),
            "symbol" => Self::Symbol(text.split('|').collect()),
            "numeric-or-symbol" => {
                let (ends, words) = text.split_once('|').ok_or_else(bad)?;
                Self::NumberOrSymbol(parse_ends(ends).ok_or_else(bad)?, words.split('|').collect())
            }
            "regex" => Self::Pattern(text, OnceLock::new()),
            "pool-path" => Self::PoolPath(text),
            "port-range" => Self::Ports(text),
            "minor-range" => Self::Minors(text),
            "port-list" => Self::PortList(text),
            _ => return Err(bad()),
        })
    }

    /// Name of the form, as `prop_type` in the lists of properties.
    pub(super) fn prop_type(&self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Long => "long",
            Self::YesNo => "boolean",
            Self::TrueFalse => "boolean_true_false",
            Self::Range(_) => "range",
            Self::Float(_) => "range_float",
            Self::NumberOrSymbol(..) => "numeric_or_symbol",
            Self::Symbol(_) | Self::Pattern(..) | Self::PoolPath(_) | Self::Ports(_) | Self::Minors(_) | Self::PortList(_) => "regex",
        }
    }

    /// The form as a text, as `value` in the lists of properties.
    pub(super) fn value(&self) -> Option<String> {
        match self {
            Self::Text | Self::Long => None,
            Self::YesNo => Some("(?i)(?:yes|no)".to_owned()),
            Self::TrueFalse => Some("(?i)(?:true|false|yes|no)".to_owned()),
            Self::Range(ends) => Some(format!("({} - {})", ends.start(), ends.end())),
            Self::Float(ends) => Some(format!("({:?} - {:?})", ends.start(), ends.end())),
            Self::Symbol(words) => Some(format!("(?:{})", words.join("|"))),
            Self::NumberOrSymbol(ends, words) => Some(format!("({} - {}) or (?:{})", ends.start(), ends.end(), words.join("|"))),
            Self::Pattern(text, _) | Self::PoolPath(text) | Self::Ports(text) | Self::Minors(text) | Self::PortList(text) => {
                Some((*text).to_owned())
            }
        }
    }

    /// The form in words, for an error.
    fn words(&self) -> String {
        match self {
            Self::Text => "any text without control characters".to_owned(),
            Self::Long => "a whole number".to_owned(),
            Self::YesNo => "yes or no".to_owned(),
            Self::TrueFalse => "true or false".to_owned(),
            Self::Range(ends) => format!("a whole number from {} to {}", ends.start(), ends.end()),
            Self::Float(ends) => format!("a number from {} to {}", ends.start(), ends.end()),
            Self::Symbol(words) => format!("one of: {}", words.join(", ")),
            Self::NumberOrSymbol(ends, words) => {
                format!("a whole number from {} to {}, or one of: {}", ends.start(), ends.end(), words.join(", "))
            }
            Self::Pattern(text, _) => format!("a text that matches {text}"),
            Self::PoolPath(_) => "the name of a volume group or zpool, or a folder, without a '..' in the path".to_owned(),
            Self::Ports(_) => "a range of TCP ports, such as 7000-7999".to_owned(),
            Self::Minors(_) => "a range of device minors, such as 1000-1999".to_owned(),
            Self::PortList(_) => "TCP ports and ranges of them, such as 7000,7010-7019".to_owned(),
        }
    }

    /// The pattern, compiled at its first use.
    fn pattern<'a>(text: &str, cell: &'a OnceLock<Regex>) -> &'a Regex {
        cell.get_or_init(|| Regex::new(&format!(r"\A(?:{text})\z")).expect("a test compiles each pattern of the built-in table"))
    }

    /// The one spelling of `value`, or what is wrong with it. Doing it twice changes nothing.
    pub(super) fn normalise(&self, value: &str) -> Result<String, Broken> {
        let form = || Broken::Form(self.words());
        let as_is = |fits: bool| if fits { Ok(value.to_owned()) } else { Err(form()) };
        match self {
            Self::Text => as_is(true),
            Self::Long => as_is(parse_long(value).is_some()),
            Self::YesNo => match value.to_ascii_lowercase() {
                lower if lower == "yes" || lower == "no" => Ok(lower),
                _ => Err(form()),
            },
            Self::TrueFalse => parse_bool(value).map(|yes| yes.to_string()).ok_or_else(form),
            Self::Range(ends) => as_is(parse_long(value).is_some_and(|number| ends.contains(&number))),
            Self::Float(ends) => as_is(value.parse().is_ok_and(|number: f64| number.is_finite() && ends.contains(&number))),
            Self::Symbol(words) => as_is(words.contains(&value)),
            Self::NumberOrSymbol(ends, words) => {
                as_is(words.contains(&value) || parse_long(value).is_some_and(|number| ends.contains(&number)))
            }
            Self::Pattern(text, cell) => as_is(Self::pattern(text, cell).is_match(value)),
            Self::PoolPath(_) => {
                as_is(!value.trim().is_empty() && !value.chars().any(char::is_control) && value.split('/').all(|part| part != ".."))
            }
            Self::Ports(_) => match parse_from_to(value) {
                None => Err(form()),
                Some(ends) if is_range(&ends, 1, u32::from(u16::MAX)) => Ok(value.to_owned()),
                Some(_) => Err(Broken::Ports(self.words())),
            },
            Self::Minors(_) => match parse_from_to(value) {
                None => Err(form()),
                Some(ends) if is_range(&ends, 0, MINOR_MAX) => Ok(value.to_owned()),
                Some(_) => Err(Broken::Minors(self.words())),
            },
            Self::PortList(_) => match parse_ranges(value) {
                None => Err(form()),
                Some(list) if list.iter().all(|ends| is_range(ends, 1, u32::from(u16::MAX))) => Ok(value.to_owned()),
                Some(_) => Err(Broken::Ports(self.words())),
            },
        }
    }
}

fn parse_ends<T: std::str::FromStr>(text: &str) -> Option<RangeInclusive<T>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..=to.parse().ok()?)
}

/// Digits with an optional `-`: a `+`, which Rust takes, means nothing to the tools that get the value.
fn parse_long(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn parse_number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Too many digits are of the form, and out of every range.
    Some(text.parse().unwrap_or(u32::MAX))
}

fn parse_from_to(text: &str) -> Option<RangeInclusive<u32>> {
    let (from, to) = text.split_once('-')?;
    Some(parse_number(from)?..=parse_number(to)?)
}

fn is_range(ends: &RangeInclusive<u32>, min: u32, max: u32) -> bool {
    min <= *ends.start() && ends.start() <= ends.end() && *ends.end() <= max
}

/// Yes or no in any spelling that clients use: `true`, `yes`, `false`, `no`, in any case.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") || text.eq_ignore_ascii_case("no") {
        Some(false)
    } else {
        None
    }
}

/// A range `from-to`, both ends included, from not above to; the form of [`TCP_PORT_RANGE`](super::TCP_PORT_RANGE).
#[must_use]
pub fn parse_range(text: &str) -> Option<RangeInclusive<u32>> {
    parse_from_to(text).filter(|ends| ends.start() <= ends.end())
}

/// Numbers and ranges separated by commas or blanks; the form of [`TCP_PORTS_BLOCKED`](super::TCP_PORTS_BLOCKED).
///
/// `None` where one part is neither, or where there is no part at all. A range may be empty (`9-5`).
#[must_use]
pub fn parse_ranges(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let list: Option<Vec<_>> = parts.map(|part| parse_number(part).map(|one| one..=one).or_else(|| parse_from_to(part))).collect();
    list.filter(|list| !list.is_empty())
}
