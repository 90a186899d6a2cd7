//! Small parts from which the grammar is put together, and the ways to read what was typed.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

/// The arguments fit the grammar of words and options, but not the command: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUsage(pub String);

impl BadUsage {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A command that has sub-commands and does nothing itself.
pub fn object(name: &'static str, aliases: &[&'static str], about: &'static str) -> Command {
    Command::new(name)
        .visible_aliases(aliases.iter().copied())
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

/// A command that does something; `example` is shown under its help, without the program's name.
pub fn leaf(name: &'static str, aliases: &[&'static str], about: &'static str, example: &'static str) -> Command {
    Command::new(name).visible_aliases(aliases.iter().copied()).about(about).after_help(format!("Example:\n  linstor {example}"))
}

/// A command word that is known but has no effect yet; takes anything.
pub fn later(name: &'static str, aliases: &[&'static str], about: &'static str) -> Command {
    Command::new(name)
        .visible_aliases(aliases.iter().copied())
        .about(format!("{about} (not supported yet by this version)"))
        .after_help(LATER_NOTE)
        .arg(Arg::new(LATER).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true).hide(true))
}

/// Marks the commands made by [`later`].
pub const LATER: &str = "later";
const LATER_NOTE: &str = "The command is known, but this version does not carry it out: it changes nothing and ends with exit code 4.";

/// A positional argument that must be there.
pub fn need(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).help(help).required(true)
}

/// A positional argument that may be left out.
pub fn maybe(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).help(help)
}

/// Positional words that the command takes apart itself, because a list comes before single names.
pub fn words(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).help(help).num_args(0..)
}

/// `--long VALUE`.
pub fn opt(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).num_args(1).value_name("VALUE").help(help)
}

/// `--long VALUE…`; may be repeated, values may also be joined by commas.
pub fn many(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).num_args(1..).action(ArgAction::Append).value_name("VALUE").help(help)
}

/// `--long`.
pub fn flag(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).action(ArgAction::SetTrue).help(help)
}

/// Options that older scripts give to writing commands and that change nothing here.
pub fn quiet(command: Command) -> Command {
    command
        .arg(Arg::new("quiet").short('q').long("quiet").action(ArgAction::SetTrue).hide(true))
        .arg(Arg::new("async").long("async").action(ArgAction::SetTrue).hide(true))
}

/// The one value of an argument.
pub fn one<'m>(matches: &'m ArgMatches, id: &str) -> Option<&'m str> {
    matches.try_get_one::<String>(id).ok().flatten().map(String::as_str)
}

/// The value of an argument made by [`need`]; empty only if the grammar does not have it.
pub fn must<'m>(matches: &'m ArgMatches, id: &str) -> &'m str {
    one(matches, id).unwrap_or_default()
}

/// Whether a flag was given.
pub fn set(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
}

/// All values of an argument as typed; `None` if it was not given.
pub fn all(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    matches.try_get_many::<String>(id).ok().flatten().map(|values| values.cloned().collect())
}

/// All values of an argument, split at commas, without empty ones; `None` if it was not given, so `-s ''` is an empty list.
pub fn list(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    all(matches, id).map(|values| split(&values))
}

fn split(values: &[String]) -> Vec<String> {
    values.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Takes positional words and the values of an option that swallows words, and gives words back to the positions until there are `wanted`.
/// So `-s POOL NODE RD` and `-s POOL1 POOL2 --other NODE RD` both mean what they say. The option keeps at least one value.
pub fn settle(matches: &ArgMatches, positional: &str, option: &str, wanted: usize) -> (Vec<String>, Option<Vec<String>>) {
    let mut words = all(matches, positional).unwrap_or_default();
    let mut values = all(matches, option);
    if let Some(values) = &mut values {
        while words.len() < wanted && values.len() > 1 {
            words.insert(0, values.pop().unwrap_or_default());
        }
    }
    (words, values.map(|values| split(&values)))
}

/// A number of an option, within `range`.
pub fn number(matches: &ArgMatches, id: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, BadUsage> {
    one(matches, id).map(|text| to_number(text, id, range)).transpose()
}

/// A number within `range`; `what` names it in the error.
pub fn to_number(text: &str, what: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, BadUsage> {
    match text.parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(BadUsage::new(format!("{what}: '{text}' is no number from {} to {}", range.start(), range.end()))),
    }
}

/// `true`/`yes`/… or `false`/`no`/…
pub fn to_bool(text: &str, what: &str) -> Result<bool, BadUsage> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(BadUsage::new(format!("{what}: '{text}' is neither true nor false"))),
    }
}

/// Adds a member to a JSON object if there is a value.
pub fn put(body: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.into());
    }
}

/// The body of a property change: only the members that have something in them.
pub fn prop_change(set: &[(String, String)], delete: &[String]) -> Value {
    let mut body = Map::new();
    if !set.is_empty() {
        let map: Map<String, Value> = set.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        body.insert("override_props".to_owned(), Value::Object(map));
    }
    if !delete.is_empty() {
        body.insert("delete_props".to_owned(), json!(delete));
    }
    Value::Object(body)
}
