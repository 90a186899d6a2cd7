//! What many objects have alike: properties, list options, DRBD options.

use std::path::PathBuf;

use berth_client::Call;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::drbd::{self, Scope};
use crate::plan::{Look, Plan, View};
use crate::words::{self, BadUsage, list, one, set};

/// Prefix of the properties that belong to the user.
pub const AUX: &str = "Aux/";

/// The letter that `--show-props` has; lists that filter by storage pool use `-s` for that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ShortS {
    ShowProps,
    Taken,
}

/// Adds the options that all lists have.
pub fn list_options(command: Command, short_s: ShortS) -> Command {
    let show_props = words::many("show-props", "Show these properties as columns (KEY or KEY=Heading)").value_name("KEY[=Heading]");
    let show_props = if short_s == ShortS::ShowProps { show_props.short('s') } else { show_props };
    pastable(command)
        .arg(words::many("groupby", "Sort by these columns and write equal cells once").short('g').value_name("COLUMN"))
        .arg(show_props)
        .arg(words::opt("limit", "At most so many rows").value_name("ROWS"))
        .arg(words::opt("offset", "Leave out so many rows first; needs --limit").value_name("ROWS").requires("limit"))
        .arg(words::opt("from-file", "Read the document from a file instead of a controller").value_name("FILE"))
}

/// Adds `-p/--pastable`.
pub fn pastable(command: Command) -> Command {
    command.arg(Arg::new("pastable").short('p').long("pastable").action(ArgAction::SetTrue).help("Plain ASCII without colours"))
}

/// Filters by node, by resource and by property.
pub fn nodes_filter() -> Arg {
    words::many("nodes", "Only these nodes").short('n').value_name("NODE")
}

/// See [`nodes_filter`].
pub fn resources_filter() -> Arg {
    words::many("resources", "Only these resources").short('r').value_name("RESOURCE")
}

/// See [`nodes_filter`].
pub fn props_filter() -> Arg {
    words::many("props", "Only objects with these properties (KEY or KEY=VALUE)").value_name("KEY[=VALUE]")
}

/// Reads what [`list_options`] added.
pub fn look(matches: &ArgMatches) -> Look {
    let show_props = list(matches, "show-props").unwrap_or_default();
    Look {
        pastable: set(matches, "pastable"),
        group_by: list(matches, "groupby").unwrap_or_default(),
        show_props: show_props
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, heading)) => (key.to_owned(), heading.to_owned()),
                None => (text.clone(), text),
            })
            .collect(),
        from_file: one(matches, "from-file").map(PathBuf::from),
        all: set(matches, "all"),
        faulty: set(matches, "faulty"),
        ports: set(matches, "ports"),
        external: set(matches, "external"),
        aux: set(matches, "show-aux-props"),
        full: set(matches, "full"),
        wide: false,
        only: Vec::new(),
    }
}

/// `list-properties` of an object named by `names`.
pub fn list_properties(names: &[(&'static str, &'static str)], example: &'static str) -> Command {
    let command = words::leaf("list-properties", &["lp"], "List the properties set on this object", example);
    pastable(named(command, names))
}

/// `set-property` of an object named by `names`.
pub fn set_property(names: &[(&'static str, &'static str)], example: &'static str) -> Command {
    let command = words::leaf("set-property", &["sp"], "Set a property; without a value remove it", example);
    named(command, names)
        .arg(words::flag("aux", "The key is the user's own: put Aux/ before it"))
        .arg(words::need("KEY", "Property key"))
        .arg(words::maybe("VALUE", "Value; nothing or an empty text removes the property").allow_negative_numbers(true))
}

/// `rename` of an object named by `names`.
pub fn rename(names: &[(&'static str, &'static str)], example: &'static str) -> Command {
    let command = words::leaf("rename", &["rn"], "Give it another name while it is in use; an extension of Berth", example);
    words::quiet(named(command, names)).arg(words::need("NEW_NAME", "The name from now on"))
}

/// The body of [`rename`].
pub fn rename_body(matches: &ArgMatches) -> serde_json::Value {
    serde_json::json!({"new_name": words::must(matches, "NEW_NAME")})
}

/// `drbd-options` of an object named by `names`.
pub fn drbd_options(scope: Scope, names: &[(&'static str, &'static str)], example: &'static str) -> Command {
    let command = words::leaf("drbd-options", &["opt"], "Set or unset options of DRBD", example);
    drbd::with_options(named(command, names), scope)
}

/// Adds required positions.
pub fn named(command: Command, names: &[(&'static str, &'static str)]) -> Command {
    names.iter().fold(command, |command, (name, help)| command.arg(words::need(name, help)))
}

/// The plan of [`list_properties`]: `call` reads the object, `member` holds its properties.
pub fn show_properties(matches: &ArgMatches, call: Call, member: Option<&'static str>) -> Plan {
    Plan::show(call, View::Props(member), Look { pastable: set(matches, "pastable"), ..Look::default() })
}

/// The body of [`set_property`].
pub fn property_body(matches: &ArgMatches) -> serde_json::Value {
    let key = words::must(matches, "KEY");
    let key = if set(matches, "aux") { aux(key) } else { key.to_owned() };
    match one(matches, "VALUE") {
        Some(value) if !value.is_empty() => words::prop_change(&[(key, value.to_owned())], &[]),
        Some(_) | None => words::prop_change(&[], &[key]),
    }
}

/// The body of [`drbd_options`].
pub fn drbd_body(matches: &ArgMatches, scope: Scope) -> Result<serde_json::Value, BadUsage> {
    let (set, delete) = drbd::changes(matches, scope)?;
    if set.is_empty() && delete.is_empty() {
        return Err(BadUsage::new("name at least one option to set or unset; --help lists them"));
    }
    Ok(words::prop_change(&set, &delete))
}

/// Puts `Aux/` before a key that does not have it.
pub fn aux(key: &str) -> String {
    if key.starts_with(AUX) { key.to_owned() } else { format!("{AUX}{key}") }
}

/// The sub-command that was typed, by its full name. The grammar requires one, so it is there.
pub fn verb(matches: &ArgMatches) -> Result<(&str, &ArgMatches), BadUsage> {
    matches.subcommand().ok_or_else(|| BadUsage::new("a sub-command is missing; --help lists them"))
}

/// A verb that the grammar has and no plan: only if the two tables differ.
pub fn unknown(object: &str, verb: &str) -> BadUsage {
    BadUsage::new(format!("'{object} {verb}' is no command"))
}
