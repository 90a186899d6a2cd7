//! Settings of the daemons: flag > environment > file > LINSTOR's file > default, resolved once, each with where it came from.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ArgMatches;

use crate::linstor_files::{self, Program};

/// One setting that a daemon knows.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Name in the file; the flag is the same with `-` for `_`.
    pub name: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// Value where none is given; `None`: there is no value then.
    pub default: Option<&'static str>,
}

impl Known {
    /// Whether the file wins over the environment: so it is with the master passphrase of LINSTOR's controllers (guide, `[encrypt]`).
    fn file_first(&self) -> bool {
        self.name == "master_passphrase"
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name in the file.
    pub name: &'static str,
    /// Value; `None`: not set.
    pub value: Option<String>,
    /// `flag`, `environment NAME`, `file PATH` or `default`.
    pub origin: String,
}

/// Every setting of a daemon, resolved.
#[derive(Debug)]
pub struct Settings {
    all: Vec<Setting>,
    /// What a file of LINSTOR's says and nobody here has a use for, and that file.
    pub unused: Option<(PathBuf, Vec<String>)>,
}

impl Settings {
    /// Resolves `known` from the words of the command line, the environment, and the file. `linstor`: whose file of LINSTOR's is read where no
    /// file is named, and where it lies.
    ///
    /// # Errors
    /// If a file cannot be read, is not TOML, or has a key that is not known or cannot be obeyed.
    pub fn resolve(
        known: &[Known],
        matches: &ArgMatches,
        environment: impl Fn(&str) -> Option<String>,
        default_file: &Path,
        linstor: Option<(Program, &Path)>,
    ) -> anyhow::Result<Self> {
        let named = matches.get_one::<PathBuf>("config").cloned();
        let file = read_file(named.as_deref(), default_file)?;
        let path = named.clone().unwrap_or_else(|| default_file.to_owned());
        let mut unused = None;
        let (file, theirs) = match linstor {
            Some((program, _)) if linstor_files::is_linstors(&file) => {
                (toml::Table::new(), Some(said(&file, program, &path, &mut unused)?))
            }
            Some((program, place)) if named.is_none() => {
                let theirs = read_file(None, place)?;
                let theirs = if theirs.is_empty() { None } else { Some(said(&theirs, program, place, &mut unused)?) };
                (known_only(file, &path, known)?, theirs)
            }
            Some(_) | None => (known_only(file, &path, known)?, None),
        };
        let theirs = |name: &str| {
            let (place, said) = theirs.as_ref()?;
            let value = said.iter().find(|(other, _)| *other == name)?.1.clone();
            Some((value, format!("file {}", place.display())))
        };
        let mut settings = Vec::new();
        for one in known {
            let (value, origin) = if let Some(value) = flag(matches, one.name) {
                (Some(value), "flag".to_owned())
            } else if let Some(value) = file.get(one.name).filter(|_| one.file_first()) {
                (Some(text(value)), format!("file {}", path.display()))
            } else if let Some((value, origin)) = theirs(one.name).filter(|_| one.file_first()) {
                (Some(value), origin)
            } else if let Some(value) = environment(one.variable) {
                (Some(value), format!("environment {}", one.variable))
            } else if let Some(value) = file.get(one.name) {
                (Some(text(value)), format!("file {}", path.display()))
            } else if let Some((value, origin)) = theirs(one.name) {
                (Some(value), origin)
            } else {
                (one.default.map(str::to_owned), "default".to_owned())
            };
            settings.push(Setting { name: one.name, value, origin });
        }
        Ok(Self { all: settings, unused })
    }

    /// The value of a setting; `None`: not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|setting| setting.name == name).and_then(|setting| setting.value.as_deref())
    }

    /// The value of a setting that has a default.
    ///
    /// # Errors
    /// If it is not set.
    pub fn require(&self, name: &str) -> anyhow::Result<&str> {
        self.get(name).with_context(|| format!("the setting '{name}' is missing; give it as --{}", name.replace('_', "-")))
    }

    /// One line for each setting: `name = "value"  # origin`.
    #[must_use]
    pub fn print(&self) -> String {
        let line = |setting: &Setting| match &setting.value {
            // What is printed for a look ends in tickets.
            Some(_) if berth_model::secrets::is_secret(setting.name) => {
                format!("{} = \"{}\"  # {}\n", setting.name, berth_model::secrets::HIDDEN, setting.origin)
            }
            Some(value) => format!("{} = {}  # {}\n", setting.name, toml::Value::String(value.clone()), setting.origin),
            None => format!("# {} is not set\n", setting.name),
        };
        self.all.iter().map(line).collect()
    }
}

fn flag(matches: &ArgMatches, name: &str) -> Option<String> {
    let values = matches.try_get_raw(name).ok().flatten()?;
    // One that may be given several times is a list.
    Some(values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","))
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        // A list is written as on the command line.
        toml::Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(","),
        // `[plugins.NAME]` with `file` and `config`.
        toml::Value::Table(all) if all.values().all(toml::Value::is_table) => all.values().map(text).collect::<Vec<_>>().join(","),
        toml::Value::Table(one) => ["file", "config"].iter().filter_map(|key| one.get(*key)).map(text).collect::<Vec<_>>().join("="),
        other => other.to_string(),
    }
}

fn read_file(named: Option<&Path>, default_file: &Path) -> anyhow::Result<toml::Table> {
    let path = named.unwrap_or(default_file);
    let content = match std::fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(toml::Table::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read the settings file {}", path.display())),
    };
    content.parse().with_context(|| format!("the settings file {} is not valid TOML", path.display()))
}

/// What a file of LINSTOR's says, and where it lies.
fn said(
    table: &toml::Table,
    program: Program,
    path: &Path,
    unused: &mut Option<(PathBuf, Vec<String>)>,
) -> anyhow::Result<(PathBuf, Vec<(&'static str, String)>)> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let said = linstor_files::translate(table, program, folder).with_context(|| format!("the settings file {}", path.display()))?;
    *unused = Some((path.to_owned(), said.unused)).filter(|(_, unused)| !unused.is_empty());
    Ok((path.to_owned(), said.settings))
}

fn known_only(table: toml::Table, path: &Path, known: &[Known]) -> anyhow::Result<toml::Table> {
    if let Some(key) = table.keys().find(|key| !known.iter().any(|one| one.name == *key)) {
        let names: Vec<&str> = known.iter().map(|one| one.name).collect();
        bail!("the settings file {} has the unknown key '{key}'; known are: {}", path.display(), names.join(", "));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command};

    const KNOWN: &[Known] = &[
        Known { name: "data", variable: "BERTH_DATA", default: Some("/d") },
        Known { name: "dev_dir", variable: "BERTH_DEV_DIR", default: None },
    ];

    fn words(arguments: &[&str]) -> ArgMatches {
        Command::new("x")
            .arg(Arg::new("config").long("config").value_parser(clap::value_parser!(PathBuf)))
            .arg(Arg::new("data").long("data"))
            .arg(Arg::new("dev_dir").long("dev-dir"))
            .try_get_matches_from([&["x"], arguments].concat())
            .unwrap()
    }

    #[test]
    fn a_flag_wins_over_environment_over_file_over_default() {
        let folder = std::env::temp_dir().join(format!("berth-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("c.toml");
        std::fs::write(&file, "data = \"/file\"\n").unwrap();
        let none = |_: &str| None;
        let set = |name: &str| (name == "BERTH_DATA").then(|| "/env".to_owned());
        let get = |arguments: &[&str], environment: &dyn Fn(&str) -> Option<String>, file: &Path| {
            let settings = Settings::resolve(KNOWN, &words(arguments), environment, file, None).unwrap();
            settings.all[0].clone()
        };
        let missing = folder.join("none.toml");
        assert_eq!(get(&[], &none, &missing).origin, "default");
        assert_eq!(get(&[], &none, &file).value.as_deref(), Some("/file"));
        assert_eq!(get(&[], &set, &file).value.as_deref(), Some("/env"));
        assert_eq!(get(&["--data", "/flag"], &set, &file).value.as_deref(), Some("/flag"));
        std::fs::write(&file, "master_passphrase = \"hush\"\n").unwrap();
        let secret = [Known { name: "master_passphrase", variable: "MASTER_PASSPHRASE", default: None }];
        let set = |name: &str| (name == "MASTER_PASSPHRASE").then(|| "other".to_owned());
        let settings = Settings::resolve(&secret, &words(&[]), set, &missing, None).unwrap();
        assert_eq!(settings.get("master_passphrase"), Some("other"));
        let settings = Settings::resolve(&secret, &words(&["--config", file.to_str().unwrap()]), set, &missing, None).unwrap();
        assert_eq!(settings.get("master_passphrase"), Some("hush"));
        assert!(settings.print().starts_with("master_passphrase = \"(hidden)\"  # file "), "{}", settings.print());
        // A file of LINSTOR's: named, or in its place.
        std::fs::write(&file, "[logging]\nlevel = \"DEBUG\"\n[db]\nuser = \"x\"\n").unwrap();
        let log = [Known { name: "log", variable: "BERTH_LOG", default: Some("info") }];
        let controller = Program::Controller;
        let named = ["--config", file.to_str().unwrap()];
        for (words, place) in [(words(&named), missing.as_path()), (words(&[]), file.as_path())] {
            let settings = Settings::resolve(&log, &words, none, &missing, Some((controller, place))).unwrap();
            assert_eq!((settings.get("log"), settings.unused.clone()), (Some("debug"), Some((file.clone(), vec!["db.user".to_owned()]))));
            assert!(settings.print().contains(&format!("# file {}", file.display())));
        }
        std::fs::write(&missing, "log = \"warn\"\n").unwrap();
        let settings = Settings::resolve(&log, &words(&[]), none, &missing, Some((controller, &file))).unwrap();
        assert_eq!(settings.get("log"), Some("warn"), "Berth's own file wins");
        std::fs::write(&file, "dta = 1\n").unwrap();
        let error = Settings::resolve(KNOWN, &words(&[]), none, &file, None).unwrap_err().to_string();
        assert!(error.contains("unknown key 'dta'"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
