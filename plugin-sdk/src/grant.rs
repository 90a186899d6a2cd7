//! What a provider may do: what it asks for, and the operator grants.

use serde::{Deserialize, Serialize};

use crate::pattern::{Pattern, Scope, inside};
use crate::{Fault, FaultKind, Limits, Manifest, Pool};

/// What an operator grants to a provider. What is left out is granted as the provider asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operator {
    /// Names of the commands that it may run, e.g. `lvs`; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    /// Whether it may make requests on the files of pools' folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<bool>,
    /// Folders of devices, each ending with `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<String>>,
    /// Other folders, each ending with `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Memory of one call in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Time that the provider may compute in one call, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// What is kept of each stream of a command, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_kib: Option<u32>,
}

/// What a provider may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Name of the provider.
    pub provider: String,
    /// Commands.
    pub commands: Vec<Pattern>,
    /// Names of commands that it asked for and the operator withheld, for messages.
    pub withheld: Vec<String>,
    /// Whether it may make requests on files.
    pub files: bool,
    /// Folders of devices.
    pub devices: Vec<String>,
    /// Other folders.
    pub paths: Vec<String>,
    /// Bounds of one call.
    pub limits: Limits,
}

/// What a provider may do: the intersection of what its manifest asks for and what the operator grants. The manifest has passed
/// [`Manifest::check`]; a pattern that cannot be read grants nothing.
#[must_use]
pub fn grant(manifest: &Manifest, operator: &Operator) -> Grants {
    let asked = manifest.commands.iter().filter_map(|text| Pattern::parse(text).ok());
    let may = |pattern: &Pattern| match &operator.commands {
        None => true,
        Some(names) => names.iter().any(|name| name == pattern.program()),
    };
    let (commands, others): (Vec<_>, Vec<_>) = asked.partition(may);
    let mut withheld: Vec<String> = others.iter().map(|pattern| pattern.program().to_owned()).collect();
    withheld.sort();
    withheld.dedup();
    let usual = manifest.limits;
    Grants {
        provider: manifest.name.clone(),
        commands,
        withheld,
        files: manifest.files && operator.files.unwrap_or(true),
        devices: narrower(&manifest.devices, operator.devices.as_deref()),
        paths: narrower(&manifest.paths, operator.paths.as_deref()),
        limits: usual.and(Limits {
            memory_mib: operator.memory_mib.unwrap_or(usual.memory_mib),
            seconds: operator.seconds.unwrap_or(usual.seconds),
            output_kib: operator.output_kib.unwrap_or(usual.output_kib),
        }),
    }
}

/// Folders that lie in one of each list: of two that contain each other, the inner one.
fn narrower(asked: &[String], granted: Option<&[String]>) -> Vec<String> {
    let Some(granted) = granted else { return asked.to_vec() };
    let folder = |text: &str| if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    let mut all = Vec::new();
    for one in asked.iter().map(|text| folder(text)) {
        for other in granted.iter().map(|text| folder(text)) {
            if one.starts_with(&other) {
                all.push(one.clone());
            } else if other.starts_with(&one) {
                all.push(other);
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

impl Grants {
    /// Whether a command may be run in a call on `pool`.
    ///
    /// # Errors
    /// `Unsupported`: who withheld it, and what to do.
    pub fn may_run(&self, argv: &[&str], pool: &Pool) -> Result<(), Fault> {
        let scope = Scope { pool, devices: &self.devices, paths: &self.paths };
        if self.commands.iter().any(|pattern| pattern.matches(argv, scope)) {
            return Ok(());
        }
        let program: String = argv.first().copied().unwrap_or_default().chars().take(100).collect();
        let fault = Fault::new(FaultKind::Unsupported, format!("Provider '{}' may not run '{program}'", self.provider));
        let fault = if self.withheld.contains(&program) {
            fault.cause("It asks for this command, and the operator does not grant it").correction(format!(
                "Add '{program}' to `commands` in the configuration of the provider on the node if it shall run it, and restart the satellite"
            ))
        } else if self.commands.iter().any(|pattern| pattern.program() == program) {
            fault.cause("No pattern of its manifest has these words").correction(format!(
                "Report this to the author of the provider; `berth plugin inspect {}` shows what it asked for",
                self.provider
            ))
        } else {
            fault.cause("Its manifest does not ask for this command").correction(format!(
                "Report this to the author of the provider; `berth plugin inspect {}` shows what it asked for",
                self.provider
            ))
        };
        let words = argv.iter().take(64).map(|word| word.chars().take(200).collect::<String>()).collect::<Vec<_>>();
        Err(fault.details(words.join(" ")))
    }

    /// Whether a device that the provider hands back may be served: it lies in a granted folder.
    #[must_use]
    pub fn may_serve(&self, device: &str) -> bool {
        self.devices.iter().any(|folder| inside(folder, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            commands: vec!["lvs {place}".into(), "lvcreate {name}".into(), "lvcreate -T {place}".into()],
            devices: vec!["/dev/vg/".into(), "/dev/mapper/".into()],
            files: true,
            ..Manifest::new("x", "1", &["LVM"])
        }
    }

    fn pool() -> Pool {
        Pool { name: "p".into(), kind: "LVM".into(), place: "vg".into(), props: Default::default() }
    }

    #[test]
    fn only_what_is_asked_for_and_granted_is_open() {
        let all = grant(&manifest(), &Operator::default());
        assert!(all.files && all.may_run(&["lvs", "vg"], &pool()).is_ok() && all.may_serve("/dev/vg/a"));
        let operator = Operator {
            commands: Some(vec!["lvs".into(), "rm".into()]),
            files: Some(false),
            devices: Some(vec!["/dev/vg/inner/".into(), "/dev/sd".into()]),
            memory_mib: Some(8),
            seconds: Some(900),
            ..Operator::default()
        };
        let some = grant(&manifest(), &operator);
        assert!(!some.files && some.may_run(&["lvs", "vg"], &pool()).is_ok());
        assert_eq!(some.devices, ["/dev/vg/inner/"]);
        assert_eq!(some.limits, Limits { memory_mib: 8, ..Limits::USUAL });
        for (argv, why) in [
            (vec!["lvcreate", "web"], "does not grant"),
            (vec!["rm", "-rf", "/"], "does not ask"),
            (vec!["lvs", "other"], "No pattern"),
            (vec![], "does not ask"),
        ] {
            let fault = some.may_run(&argv, &pool()).expect_err(why);
            assert!(fault.cause.contains(why) && fault.kind == FaultKind::Unsupported && !fault.correction.is_empty(), "{fault:?}");
        }
        assert!(!some.may_serve("/dev/vg/a") && some.may_serve("/dev/vg/inner/a"));
        // An operator cannot grant what was not asked for.
        let nothing = grant(&Manifest::new("x", "1", &["LVM"]), &Operator { files: Some(true), ..operator });
        assert!(!nothing.files && nothing.commands.is_empty() && nothing.devices.is_empty());
    }
}
