//! The options of DRBD that commands offer as flags.
//!
//! The table is data (`data/drbd-options.tsv`), so that the grammar works without a controller; the controller checks the values.

use clap::{Arg, ArgAction, ArgMatches, Command};

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

/// One option of the table.
#[derive(Debug, Clone, Copy)]
pub struct DrbdOption {
    /// DRBD's name of it, also the long option.
    pub name: &'static str,
    section: &'static str,
    unit: &'static str,
    hint: &'static str,
}

impl DrbdOption {
    /// The property that holds it: `DrbdOptions/<section>/<name>`.
    pub fn key(&self) -> String {
        format!("DrbdOptions/{}/{}", self.section, self.name)
    }

    fn fits(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Volume => self.section == "Disk" || self.name == "bitmap",
            Scope::Peer => matches!(self.section, "Net" | "PeerDevice"),
        }
    }

    /// The value in the unit that the property counts in: `10M` becomes 10240 where it counts KiB.
    /// A plain number, a word and anything unknown pass unchanged; the controller judges them.
    fn value(&self, text: &str) -> String {
        let each: u64 = match self.unit {
            "1" => 1,
            "s" => 512,
            "k" => 1024,
            _ => return text.to_owned(),
        };
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(end);
        let scale: u64 = match suffix.to_ascii_lowercase().as_str() {
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            _ => return text.to_owned(),
        };
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)) {
            Some(bytes) => (bytes / each).to_string(),
            None => text.to_owned(),
        }
    }
}

/// All options of the table that `scope` has.
pub fn options(scope: Scope) -> impl Iterator<Item = DrbdOption> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).filter(move |option| option.fits(scope))
}

fn parse_line(line: &'static str) -> Option<DrbdOption> {
    let mut fields = line.split('\t');
    let (name, section, _kind, unit, hint) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    Some(DrbdOption { name, section, unit, hint })
}

/// Adds `--<option> VALUE` and `--unset-<option>` for each option of `scope`.
pub fn with_options(command: Command, scope: Scope) -> Command {
    options(scope)
        .fold(command, |command, option| {
            let hint = if option.hint == "-" { "VALUE" } else { option.hint };
            command
                .arg(Arg::new(id(option.name)).long(option.name).num_args(1).value_name(hint).help_heading("DRBD options"))
                .arg(Arg::new(unset_id(option.name)).long(unset_id(option.name)).action(ArgAction::SetTrue).hide(true))
        })
        .after_long_help("Each option has a form --unset-<option>, which removes it from this object.")
}

/// What the flags of [`with_options`] ask for: properties to set, keys to delete.
pub fn changes(matches: &ArgMatches, scope: Scope) -> (Vec<(String, String)>, Vec<String>) {
    let (mut set, mut delete) = (Vec::new(), Vec::new());
    for option in options(scope) {
        if let Some(value) = matches.get_one::<String>(&id(option.name)) {
            set.push((option.key(), option.value(value)));
        }
        if matches.get_flag(&unset_id(option.name)) {
            delete.push(option.key());
        }
    }
    (set, delete)
}

fn id(name: &str) -> String {
    format!("drbd:{name}")
}

fn unset_id(name: &str) -> String {
    format!("unset-{name}")
}

#[cfg(test)]
mod tests {
    use super::{Scope, options};

    #[test]
    fn the_table_is_whole() {
        assert_eq!(options(Scope::All).count(), 91);
        assert_eq!(options(Scope::Volume).count(), 18);
        assert_eq!(options(Scope::Peer).count(), 47);
    }

    #[test]
    fn units_are_converted() {
        let find = |name: &str| options(Scope::All).find(|option| option.name == name).expect("in the table");
        assert_eq!(find("c-max-rate").value("10M"), "10240");
        assert_eq!(find("c-max-rate").value("4096"), "4096");
        assert_eq!(find("c-fill-target").value("1M"), "2048");
        assert_eq!(find("max-buffers").value("8k"), "8192");
        assert_eq!(find("verify-alg").value("sha1"), "sha1");
        assert_eq!(find("max-buffers").key(), "DrbdOptions/Net/max-buffers");
    }
}
