//! Where the global options come from: command line, environment, files; in this order of weight.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_client::{BadEndpoint, Endpoint, parse_controllers};
use clap::ArgMatches;

use crate::grammar::{self, FLAGS, VALUES};
use crate::ini::{self, Section};
use crate::output::{FORMATS, Format};
use crate::words::{BadUsage, number, one, set};

/// What the program finds around itself.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The system's configuration folder, `/etc`.
    pub etc: PathBuf,
    /// The state folder of LINSTOR, where a token may lie: `/var/lib/linstor.d`.
    pub state: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let env = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
        Self { env, etc: PathBuf::from("/etc"), state: PathBuf::from("/var/lib/linstor.d") }
    }

    /// The user's folder for this client's files.
    pub fn user_folder(&self) -> Option<PathBuf> {
        let base = match self.env.get("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(self.env.get("HOME").filter(|home| !home.is_empty())?).join(".config"),
        };
        Some(base.join("linstor"))
    }
}

/// Which form of JSON `-m` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputVersion {
    /// The old, flat names.
    V0,
    /// As the REST API has it.
    V1,
}

/// The global options, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Colours are wanted, if there is a terminal.
    pub colour: bool,
    /// Box characters are wanted.
    pub utf8: bool,
    /// A warning makes the exit code 10.
    pub warn_as_error: bool,
    /// Print requests, send nothing.
    pub curl: bool,
    /// Only ask what would happen.
    pub dry_run: bool,
    /// Show a list anew whenever it changes.
    pub watch: bool,
    /// Print JSON.
    pub machine: bool,
    /// Another form of output than tables for people.
    pub format: Option<Format>,
    /// Program that shows what does not fit the terminal.
    pub pager: Option<String>,
    /// In this form.
    pub output_version: OutputVersion,
    /// Say more.
    pub verbose: bool,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Controllers in the order to try; never empty.
    pub controllers: Vec<Endpoint>,
    /// Account name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// A password may go over a plain connection.
    pub allow_insecure_auth: bool,
    /// PEM file with the certificate to show, and its key unless `keyfile` names another.
    pub certfile: Option<PathBuf>,
    /// PEM file with the key.
    pub keyfile: Option<PathBuf>,
    /// PEM file with the authorities that vouch for controllers.
    pub cafile: Option<PathBuf>,
    /// File with the token to show, instead of the one that lies on this machine.
    pub token_file: Option<PathBuf>,
    /// Print the version and end.
    pub show_version: bool,
    /// Print the help and end.
    pub show_help: bool,
    /// Defaults of single commands: `node.list` → options.
    pub sections: BTreeMap<String, Section>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// The options do not fit the grammar; clap has the words for it.
    #[error(transparent)]
    Grammar(#[from] clap::Error),
    /// A value is wrong.
    #[error(transparent)]
    Usage(#[from] BadUsage),
    /// A controller's address is wrong.
    #[error(transparent)]
    Controller(#[from] BadEndpoint),
    /// A configuration file is wrong.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Default wait for an answer.
const TIMEOUT_SECONDS: u64 = 300;

/// Resolves the global options and splits off the words of the command.
///
/// # Errors
/// Unknown options, wrong values, unreadable configuration.
pub fn resolve(args: &[OsString], around: &Surroundings) -> Result<(Settings, Vec<OsString>), BadSettings> {
    let parse = |prefix: &[String]| -> Result<ArgMatches, clap::Error> {
        let all = std::iter::once(OsString::from("linstor")).chain(prefix.iter().map(OsString::from)).chain(args.iter().cloned());
        grammar::globals().try_get_matches_from(all)
    };
    let first = parse(&from_env(around))?;
    let files = if set(&first, "disable-config") { BTreeMap::new() } else { read_files(around)? };
    let mut prefix = from_files(&files);
    prefix.extend(from_env(around));
    let matches = parse(&prefix)?;
    let mut words: Vec<OsString> = match matches.subcommand() {
        Some((word, rest)) => {
            let rest = rest.get_many::<OsString>("").map(|values| values.cloned().collect::<Vec<_>>()).unwrap_or_default();
            std::iter::once(OsString::from(word)).chain(rest).collect()
        }
        None => Vec::new(),
    };
    let dry_after = take_dry_run(&mut words);
    let watch_after = take_watch(&mut words);
    let format_after = take_output(&mut words)?;
    let settings = Settings {
        colour: !set(&matches, "no-color") && around.env.get("NO_COLOR").is_none_or(String::is_empty),
        utf8: !set(&matches, "no-utf8"),
        warn_as_error: set(&matches, "warn-as-error"),
        curl: set(&matches, "curl"),
        dry_run: dry_after || set(&matches, "dry-run"),
        watch: watch_after || set(&matches, "watch"),
        machine: set(&matches, "machine-readable"),
        format: format_after.or_else(|| one(&matches, "output").and_then(Format::parse)),
        pager: one(&matches, "pager").map(str::to_owned),
        output_version: if one(&matches, "output-version") == Some("v0") { OutputVersion::V0 } else { OutputVersion::V1 },
        verbose: set(&matches, "verbose"),
        timeout: Duration::from_secs(number(&matches, "timeout", 1..=86_400)?.unwrap_or(TIMEOUT_SECONDS)),
        controllers: controllers(&matches, around, set(&first, "disable-config"))?,
        user: one(&matches, "user").map(str::to_owned),
        password: one(&matches, "password").map(str::to_owned),
        allow_insecure_auth: set(&matches, "allow-insecure-auth"),
        certfile: file(&matches, around, "certfile", "LS_USER_CERTIFICATE_FILE"),
        keyfile: file(&matches, around, "keyfile", "LS_USER_KEY_FILE"),
        cafile: file(&matches, around, "cafile", "LS_ROOT_CA_FILE"),
        token_file: one(&matches, "token-file").map(PathBuf::from),
        show_version: set(&matches, "version"),
        show_help: set(&matches, "help"),
        sections: files,
    };
    Ok((settings, words))
}

/// A file that an option names, or else the variable that golinstor has for it.
fn file(matches: &ArgMatches, around: &Surroundings, option: &str, variable: &str) -> Option<PathBuf> {
    one(matches, option)
        .map(str::to_owned)
        .or_else(|| around.env.get(variable).filter(|value| !value.is_empty()).cloned())
        .map(PathBuf::from)
}

/// Takes `--dry-run` out of a command's words, where it may stand as well as before them; what follows `--` is left alone.
pub fn take_dry_run(words: &mut Vec<OsString>) -> bool {
    take_flag(words, "--dry-run")
}

/// As [`take_dry_run`] for `--watch`.
pub fn take_watch(words: &mut Vec<OsString>) -> bool {
    take_flag(words, "--watch")
}

fn take_flag(words: &mut Vec<OsString>, flag: &str) -> bool {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let rest = words.split_off(end);
    let before = words.len();
    words.retain(|word| word != flag);
    let found = words.len() < before;
    words.extend(rest);
    found
}

/// Takes `-o FORM` and `--output FORM` out of a command's words, where they may stand as well as before them. Some commands have a `-o` of
/// their own: one that no form follows is left to them.
///
/// # Errors
/// `--output` with a form that does not exist, or with none.
pub fn take_output(words: &mut Vec<OsString>) -> Result<Option<Format>, BadUsage> {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (mut found, mut at) = (None, 0);
    while at < end.min(words.len()) {
        let text = |at: usize| words.get(at).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let (word, next) = (text(at), text(at + 1));
        let (form, taken, is_long) = match word.strip_prefix("--output=") {
            Some(form) => (form.to_owned(), 1, true),
            None if word == "--output" => (next, 2, true),
            None if word == "-o" => (next, 2, false),
            None => (word.strip_prefix("-o").unwrap_or_default().trim_start_matches('=').to_owned(), 1, false),
        };
        match Format::parse(&form) {
            Some(form) => {
                found = Some(form);
                words.drain(at..(at + taken).min(words.len()));
            }
            None if is_long => {
                return Err(BadUsage::new(format!("--output: '{form}' is no form of output; there are {}", FORMATS.join(", "))));
            }
            None => at += 1,
        }
    }
    Ok(found)
}

/// `--controllers` (or the file's), then `LS_CONTROLLERS`, each once; else Berth's own file, else this machine.
fn controllers(matches: &ArgMatches, around: &Surroundings, no_files: bool) -> Result<Vec<Endpoint>, BadSettings> {
    let mut found: Vec<Endpoint> = Vec::new();
    for text in [one(matches, "controllers"), around.env.get("LS_CONTROLLERS").map(String::as_str)].into_iter().flatten() {
        for endpoint in parse_controllers(text)? {
            if !found.contains(&endpoint) {
                found.push(endpoint);
            }
        }
    }
    if found.is_empty() && !no_files {
        found = own_file(&around.etc.join("berth/client.toml"))?;
    }
    if found.is_empty() {
        found = parse_controllers("linstor://localhost")?;
    }
    Ok(found)
}

/// Berth's own file: `controllers = "a,b"` or `controllers = ["a", "b"]`.
fn own_file(path: &Path) -> Result<Vec<Endpoint>, BadSettings> {
    let bad = |why: String| BadSettings::File { file: path.display().to_string(), why };
    let Some(text) = read(path)? else { return Ok(Vec::new()) };
    let table: toml::Table = text.parse().map_err(|why: toml::de::Error| bad(why.message().to_owned()))?;
    if let Some(unknown) = table.keys().find(|key| *key != "controllers") {
        return Err(bad(format!("unknown key '{unknown}'; the only one is 'controllers'")));
    }
    match table.get("controllers") {
        None => Ok(Vec::new()),
        Some(toml::Value::String(text)) => Ok(parse_controllers(text)?),
        Some(toml::Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            Ok(parse_controllers(&texts.ok_or_else(|| bad("'controllers' holds something that is no text".to_owned()))?.join(","))?)
        }
        Some(_) => Err(bad("'controllers' is neither a text nor a list of texts".to_owned())),
    }
}

/// The text of a file; `None` if it does not exist or may not be read by this user.
fn read(path: &Path) -> Result<Option<String>, BadSettings> {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(why) if matches!(why.kind(), NotFound | PermissionDenied | NotADirectory | IsADirectory) => Ok(None),
        Err(why) => Err(BadSettings::File { file: path.display().to_string(), why: why.to_string() }),
    }
}

/// LINSTOR's files: the parts in `linstor-client.d`, then the user's file or else the system's.
fn read_files(around: &Surroundings) -> Result<BTreeMap<String, Section>, BadSettings> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(around.etc.join("linstor/linstor-client.d")) {
        Ok(entries) => {
            entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "conf")).collect()
        }
        Err(_) => Vec::new(),
    };
    paths.sort();
    let own = around.user_folder().map(|folder| folder.join("linstor-client.conf")).filter(|path| path.is_file());
    paths.push(own.unwrap_or_else(|| around.etc.join("linstor/linstor-client.conf")));
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    for path in paths {
        let Some(text) = read(&path)? else { continue };
        let parsed = ini::parse(&text).map_err(|why| BadSettings::File { file: path.display().to_string(), why: why.to_string() })?;
        for (name, section) in parsed {
            sections.entry(name).or_default().extend(section);
        }
    }
    Ok(sections)
}

/// `[global]` as arguments.
fn from_files(files: &BTreeMap<String, Section>) -> Vec<String> {
    files.get("global").into_iter().flatten().filter_map(|(key, value)| as_argument(&key.replace('_', "-"), value)).collect()
}

/// `LS_CLIENT_…` and `LS_OUTPUT_VERSION` as arguments.
fn from_env(around: &Surroundings) -> Vec<String> {
    let mut arguments: Vec<String> =
        around.env.get("LS_OUTPUT_VERSION").and_then(|value| as_argument("output-version", value)).into_iter().collect();
    for option in FLAGS.iter().chain(VALUES) {
        let variable = format!("LS_CLIENT_{}", option.to_ascii_uppercase().replace('-', "_"));
        arguments.extend(around.env.get(&variable).and_then(|value| as_argument(option, value)));
    }
    arguments
}

/// `--option` or `--option=value`; a switch that is off is no argument. An unknown option is one, so that it is named.
fn as_argument(option: &str, value: &str) -> Option<String> {
    if FLAGS.contains(&option) {
        let off = matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off");
        return (!off).then(|| format!("--{option}"));
    }
    (!value.is_empty() || !VALUES.contains(&option)).then(|| format!("--{option}={value}"))
}

/// The defaults that a section gives to a command, as arguments. Values are JSON; what is none is taken as text.
pub fn defaults(section: &Section) -> Vec<OsString> {
    let mut arguments = Vec::new();
    for (key, text) in section {
        let key = key.replace('_', "-");
        let value = serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.clone()));
        let mut push = |value: &serde_json::Value| match value {
            serde_json::Value::Bool(true) => arguments.push(format!("--{key}").into()),
            serde_json::Value::Bool(false) | serde_json::Value::Null => {}
            serde_json::Value::String(text) => arguments.push(format!("--{key}={text}").into()),
            number @ serde_json::Value::Number(_) => arguments.push(format!("--{key}={number}").into()),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => {}
        };
        match &value {
            serde_json::Value::Array(items) => items.iter().for_each(&mut push),
            single => push(single),
        }
    }
    arguments
}
