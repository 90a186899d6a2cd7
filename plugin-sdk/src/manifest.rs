//! What a provider is and what it asks for.

use serde::{Deserialize, Serialize};

use crate::pattern::{BadPattern, Pattern};

/// What a provider is and what it asks for. The host opens a door only if it is asked for here *and* granted by the operator
/// ([`grant`](crate::grant())).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name, by which operators and the property `StorDriver/Provider` call it: 1 to 32 lower-case letters, digits and `-`, the first a letter.
    pub name: String,
    /// Version of the provider, for people, e.g. `1.4.0`; at most 64 characters.
    pub version: String,
    /// The contract that it was written for; [`CONTRACT`](crate::CONTRACT) of its SDK.
    pub contract: String,
    /// Words of the provider kinds that it serves, e.g. `FILE_THIN`. A provider that serves no kind of LINSTOR's serves `PLUGIN`:
    /// then pools name it in their property `StorDriver/Provider`.
    pub kinds: Vec<String>,
    /// Commands that it runs, as patterns of argument vectors ([`Pattern`]).
    pub commands: Vec<String>,
    /// Whether it makes requests on the files of the pool's folder.
    pub files: bool,
    /// Folders below `/dev` in which the devices lie that it names in commands and hands back. Each ends with `/`. A whole part may be
    /// `{group}` (the pool's place up to its first `/`) or `{place}`: `/dev/{group}/` for logical volumes, `/dev/zvol/{place}/` for
    /// those of ZFS. Ask for no more: what lies elsewhere is not yours, and the host does not serve it.
    pub devices: Vec<String>,
    /// Folders in which other paths lie that it names in commands. Each ends with `/`. The pool's own place needs none.
    pub paths: Vec<String>,
    /// What one call needs at most.
    pub limits: Limits,
    /// Properties of pools that it adds, as `StorDriver/NAME/KEY`.
    pub props: Vec<Property>,
}

/// Bounds of one call. An operator may set them lower, never higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of the provider in MiB (components only), 1 to 1024.
    pub memory_mib: u32,
    /// Time that the provider itself computes, without the time of commands and file requests, in seconds, 1 to 600 (components only).
    pub seconds: u32,
    /// What is kept of the output of a command, of each stream, in KiB, 1 to 16384.
    pub output_kib: u32,
}

impl Limits {
    /// What most providers need.
    pub const USUAL: Self = Self { memory_mib: 64, seconds: 10, output_kib: 1024 };

    /// The lower of both, each bound for itself, within the ranges of the type.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            memory_mib: self.memory_mib.min(other.memory_mib).clamp(1, 1024),
            seconds: self.seconds.min(other.seconds).clamp(1, 600),
            output_kib: self.output_kib.min(other.output_kib).clamp(1, 16384),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

/// A property of pools that a provider adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// Its key, `StorDriver/NAME/KEY`, e.g. `StorDriver/Example/Compression`.
    pub key: String,
    /// What it does, one sentence for operators.
    pub help: String,
    /// What may be its value.
    pub rule: Rule,
}

/// What may be the value of a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// Printable text of at most so many characters.
    Text(u32),
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// One of these words.
    OneOf(Vec<String>),
    /// `true` or `false`.
    Flag,
}

impl Property {
    /// Whether `value` can be its value.
    ///
    /// # Errors
    /// What would be allowed, as the end of a sentence.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let fits = match &self.rule {
            Rule::Text(most) => {
                value.chars().count() <= usize::try_from(*most).unwrap_or(usize::MAX) && !value.chars().any(char::is_control)
            }
            Rule::Number(least, most) => value.parse::<u64>().is_ok_and(|number| (*least..=*most).contains(&number)),
            Rule::OneOf(words) => words.iter().any(|word| word == value),
            Rule::Flag => matches!(value, "true" | "false"),
        };
        let allowed = || match &self.rule {
            Rule::Text(most) => format!("printable text of at most {most} characters"),
            Rule::Number(least, most) => format!("a whole number from {least} to {most}"),
            Rule::OneOf(words) => format!("one of {}", words.join(", ")),
            Rule::Flag => "true or false".to_owned(),
        };
        if fits { Ok(()) } else { Err(allowed()) }
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// The name breaks the rule of [`Manifest::name`].
    #[error("its name '{0}' is not 1 to 32 lower-case letters, digits and '-', the first a letter")]
    Name(String),
    /// The version is too long or holds control characters.
    #[error("its version is longer than 64 characters or not printable")]
    Version,
    /// It was written for a contract that this host does not know.
    #[error("it was written for contract {0}, and this host knows contract {known}", known = crate::CONTRACT)]
    Contract(String),
    /// It serves no kind, or one that is no word.
    #[error("it serves no kind of storage pool, or one that is no word of upper-case letters, digits and '_': '{0}'")]
    Kind(String),
    /// A pattern of a command cannot be read.
    #[error("a command that it asks for cannot be read: {0}")]
    Command(#[from] BadPattern),
    /// A prefix of devices is not a folder below `/dev/`, or a path is not absolute.
    #[error("'{0}' is not a folder that it can ask for: absolute, without '.' and '..', ending with '/', devices below '/dev/'")]
    Prefix(String),
    /// The key of a property has another form, or is named twice.
    #[error("property '{0}' has not the form 'StorDriver/NAME/KEY', or is named twice")]
    Property(String),
    /// There is more of something than a host takes.
    #[error("it asks for more than a host takes: at most {most} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
}

impl Manifest {
    /// A manifest that asks for nothing, with the contract of this SDK and the usual limits.
    #[must_use]
    pub fn new(name: &str, version: &str, kinds: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            contract: crate::CONTRACT.to_owned(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            commands: Vec::new(),
            files: false,
            devices: Vec::new(),
            paths: Vec::new(),
            limits: Limits::USUAL,
            props: Vec::new(),
        }
    }

    /// Looks whether the manifest can be used. A host does this before anything else; an author's tests should, too.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadManifest> {
        let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=32).contains(&self.name.len())
            || !self.name.chars().all(in_name)
            || !self.name.starts_with(|c: char| c.is_ascii_lowercase())
        {
            return Err(BadManifest::Name(self.name.chars().take(64).collect()));
        }
        if self.version.chars().count() > 64 || self.version.chars().any(char::is_control) {
            return Err(BadManifest::Version);
        }
        if self.contract != crate::CONTRACT {
            return Err(BadManifest::Contract(self.contract.chars().take(64).collect()));
        }
        for (what, count, most) in [
            ("kinds", self.kinds.len(), 16),
            ("commands", self.commands.len(), 256),
            ("folders of devices", self.devices.len(), 16),
            ("folders", self.paths.len(), 16),
            ("properties", self.props.len(), 64),
        ] {
            if count > most {
                return Err(BadManifest::TooMuch { what, most });
            }
        }
        let in_kind = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let bad_kind = |kind: &&String| kind.is_empty() || kind.len() > 32 || !kind.chars().all(in_kind);
        if self.kinds.is_empty() {
            return Err(BadManifest::Kind(String::new()));
        }
        if let Some(kind) = self.kinds.iter().find(bad_kind) {
            return Err(BadManifest::Kind(kind.chars().take(64).collect()));
        }
        for command in &self.commands {
            Pattern::parse(command)?;
        }
        let folder = |text: &str| text.starts_with('/') && text.ends_with('/') && !text.split('/').any(|part| part == "." || part == "..");
        let bad = |text: &&String, below: &str| !folder(text) || !text.starts_with(below) || text.contains("//");
        let odd = |text: &&String| text.split('/').any(|part| part.contains(['{', '}']) && !matches!(part, "{group}" | "{place}"));
        let bad_device = self.devices.iter().find(|text| bad(text, "/dev/") || odd(text));
        if let Some(prefix) = bad_device.or_else(|| self.paths.iter().find(|text| bad(text, "/") || text.contains(['{', '}']))) {
            return Err(BadManifest::Prefix(prefix.chars().take(200).collect()));
        }
        for (at, property) in self.props.iter().enumerate() {
            let again = self.props.iter().take(at).any(|other| other.key == property.key);
            let parts: Vec<&str> = property.key.split('/').collect();
            if !matches!(parts.as_slice(), ["StorDriver", name, key] if !name.is_empty() && !key.is_empty())
                || property.key.len() > 128
                || again
            {
                return Err(BadManifest::Property(property.key.chars().take(200).collect()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_cannot_be_used_says_why() {
        let good = Manifest::new("example", "1.0", &["PLUGIN"]);
        assert_eq!(good.check(), Ok(()));
        let bad = |change: &dyn Fn(&mut Manifest), word: &str| {
            let mut manifest = good.clone();
            change(&mut manifest);
            let text = manifest.check().expect_err(word).to_string();
            assert!(text.contains(word), "{text}");
        };
        bad(&|m| m.name = "Example".into(), "'Example'");
        bad(&|m| m.name = String::new(), "its name");
        bad(&|m| m.name = "a".repeat(33), "its name");
        bad(&|m| m.version = "1\n2".into(), "version");
        bad(&|m| m.contract = "7.0".into(), "contract 7.0");
        bad(&|m| m.kinds.clear(), "no kind");
        bad(&|m| m.kinds = vec!["file".into()], "'file'");
        bad(&|m| m.commands = vec!["lvs {nonsense}".into()], "nonsense");
        bad(&|m| m.commands = vec!["lvs".into(); 257], "at most 256 commands");
        bad(&|m| m.devices = vec!["/etc/".into()], "'/etc/'");
        bad(&|m| m.devices = vec!["/dev/../etc/".into()], "'/dev/../etc/'");
        bad(&|m| m.devices = vec!["/dev/x{group}/".into()], "'/dev/x{group}/'");
        bad(&|m| m.paths = vec!["/{place}/".into()], "'/{place}/'");
        bad(&|m| m.paths = vec!["var/".into()], "'var/'");
        let property = Property { key: "Aux/x".into(), help: String::new(), rule: Rule::Flag };
        bad(&|m| m.props = vec![property.clone()], "Aux/x");
        let property = Property { key: "StorDriver/X/Y".into(), ..property };
        bad(&|m| m.props = vec![property.clone(), property.clone()], "twice");
    }

    #[test]
    fn a_property_takes_what_its_rule_says() {
        let property = |rule| Property { key: "StorDriver/X".into(), help: String::new(), rule };
        let cases = [
            (Rule::Text(3), vec!["", "abc", "äöü"], vec!["abcd", "a\nb"]),
            (Rule::Number(1, 8), vec!["1", "8"], vec!["", "0", "9", "-1", "x"]),
            (Rule::OneOf(vec!["on".into(), "off".into()]), vec!["on"], vec!["", "On"]),
            (Rule::Flag, vec!["true", "false"], vec!["yes", ""]),
        ];
        for (rule, good, bad) in cases {
            let property = property(rule);
            good.iter().for_each(|value| assert_eq!(property.check(value), Ok(()), "{value}"));
            bad.iter().for_each(|value| assert!(property.check(value).is_err(), "{value}"));
        }
    }
}
