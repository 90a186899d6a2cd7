//! What a satellite tells of the plugins that it found: files of providers, and what they may do.

use serde::{Deserialize, Serialize};

use crate::layers::words;

words!(
    /// What a plugin's file is.
    PluginForm {
        /// A WebAssembly component, run in a sandbox.
        Component = "COMPONENT",
        /// A dynamic library, trusted like the satellite.
        Library = "LIBRARY",
        /// A component that is part of the satellite's own file.
        Embedded = "EMBEDDED",
    }
);

/// A plugin as a satellite found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSeen {
    /// Its name; of one that could not be loaded, that of its configuration.
    pub name: String,
    /// Its version; empty: unknown.
    #[serde(default)]
    pub version: String,
    /// The contract that it was written for; empty: unknown.
    #[serde(default)]
    pub contract: String,
    /// What its file is; `None`: unknown.
    #[serde(default)]
    pub form: Option<PluginForm>,
    /// Words of the provider kinds that it serves.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// What an integration plugin serves, one sentence; empty: it is a provider.
    #[serde(default)]
    pub serves: String,
    /// Its file; empty: it is part of the satellite.
    #[serde(default)]
    pub file: String,
    /// SHA-256 of its file, 64 hexadecimal digits; empty: unknown.
    #[serde(default)]
    pub sha256: String,
    /// Patterns of the commands that it may run.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Names of commands that it asks for and the operator withholds.
    #[serde(default)]
    pub withheld: Vec<String>,
    /// Whether it may make requests on the files of pools' folders.
    #[serde(default)]
    pub files: bool,
    /// Folders of the devices that it may name and hand back.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Other folders that it may name in commands.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Memory of one call, MiB.
    #[serde(default)]
    pub memory_mib: u32,
    /// Time that it may compute in one call, seconds.
    #[serde(default)]
    pub seconds: u32,
    /// Properties of pools that it adds.
    #[serde(default)]
    pub props: Vec<PluginProperty>,
    /// Why it is not used; `None`: it is.
    #[serde(default)]
    pub fault: Option<PluginFault>,
}

impl PluginSeen {
    /// One of which nothing is known but its name.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: String::new(),
            contract: String::new(),
            form: None,
            kinds: Vec::new(),
            serves: String::new(),
            file: String::new(),
            sha256: String::new(),
            commands: Vec::new(),
            withheld: Vec::new(),
            files: false,
            devices: Vec::new(),
            paths: Vec::new(),
            memory_mib: 0,
            seconds: 0,
            props: Vec::new(),
            fault: None,
        }
    }

    /// Whether it makes volumes of pools of this kind (its word).
    #[must_use]
    pub fn serves(&self, kind: &str) -> bool {
        self.fault.is_none() && self.kinds.iter().any(|word| word == kind)
    }
}

/// Why a plugin is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFault {
    /// What is wrong.
    pub message: String,
    /// What to do; begins with a verb.
    pub correction: String,
}

/// A property of pools that a provider adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginProperty {
    /// Its key, `StorDriver/NAME/KEY`.
    pub key: String,
    /// What it does.
    pub help: String,
    /// What may be its value.
    pub rule: PluginRule,
}

/// What may be the value of a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginRule {
    /// Printable text of at most so many characters.
    Text(u32),
    /// A whole number, least and most.
    Number(u64, u64),
    /// One of these words.
    OneOf(Vec<String>),
    /// `true` or `false`.
    Flag,
}

impl PluginRule {
    /// What is allowed, as the end of a sentence.
    #[must_use]
    pub fn takes(&self) -> String {
        match self {
            Self::Text(most) => format!("printable text of at most {most} characters"),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::OneOf(all) => format!("one of {}", all.join(", ")),
            Self::Flag => "true or false".to_owned(),
        }
    }

    /// What is allowed, as the end of a sentence; `None`: `value` is.
    #[must_use]
    pub fn refuses(&self, value: &str) -> Option<String> {
        let fits = match self {
            Self::Text(most) => {
                value.chars().count() <= usize::try_from(*most).unwrap_or(usize::MAX) && !value.chars().any(char::is_control)
            }
            Self::Number(least, most) => value.parse::<u64>().is_ok_and(|number| (*least..=*most).contains(&number)),
            Self::OneOf(all) => all.iter().any(|word| word == value),
            Self::Flag => matches!(value, "true" | "false"),
        };
        (!fits).then(|| self.takes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_what_it_takes() {
        for (rule, good, bad, word) in [
            (PluginRule::Text(3), "abc", "abcd", "3 characters"),
            (PluginRule::Number(1, 8), "8", "9", "1 to 8"),
            (PluginRule::OneOf(vec!["on".into(), "off".into()]), "off", "Off", "on, off"),
            (PluginRule::Flag, "true", "yes", "true or false"),
        ] {
            assert_eq!(rule.refuses(good), None);
            assert!(rule.refuses(bad).is_some_and(|text| text.contains(word)));
        }
    }
}
