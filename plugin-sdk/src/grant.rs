//! What a provider may do: what it asks for, and the operator grants.

use serde::{Deserialize, Serialize};

use crate::pattern::{Pattern, Scope, group, inside};
use crate::{Device, Fault, FaultKind, Limits, Manifest, Pool, Space};

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
    /// Folders of devices, for people; `{group}` and `{place}` stand for each pool's.
    pub devices: Vec<String>,
    /// Other folders.
    pub paths: Vec<String>,
    /// Bounds of one call.
    pub limits: Limits,
    /// Folders of devices as the manifest asks for them.
    asked: Vec<String>,
    /// Those that the operator grants; `None`: as they are asked for.
    bounds: Option<Vec<String>>,
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
    // More than is usual needs a word of the operator.
    Grants {
        provider: manifest.name.clone(),
        commands,
        withheld,
        files: manifest.files && operator.files.unwrap_or(true),
        devices: shown(&manifest.devices, operator.devices.as_deref()),
        paths: narrower(&manifest.paths, operator.paths.as_deref()),
        limits: manifest.limits.and(Limits {
            memory_mib: operator.memory_mib.unwrap_or(Limits::USUAL.memory_mib),
            seconds: operator.seconds.unwrap_or(Limits::USUAL.seconds),
            output_kib: operator.output_kib.unwrap_or(Limits::USUAL.output_kib),
        }),
        asked: manifest.devices.clone(),
        bounds: operator.devices.clone(),
    }
}

/// What of the folders of devices is granted, for people: of those that differ from pool to pool what both could mean.
fn shown(asked: &[String], granted: Option<&[String]>) -> Vec<String> {
    let (each, plain): (Vec<String>, Vec<String>) = asked.iter().cloned().partition(|text| text.contains('{'));
    let mut all = narrower(&plain, granted);
    for text in each {
        let head = text.split('{').next().unwrap_or_default();
        match granted {
            None => all.push(text),
            Some(granted) if granted.iter().any(|other| head.starts_with(other.as_str())) => all.push(text),
            Some(granted) => all.extend(granted.iter().filter(|other| other.starts_with(head)).cloned()),
        }
    }
    all.sort();
    all.dedup();
    all
}

/// A folder as a pool has it; `None`: the pool has none such, because its place is a path or no place.
fn of_pool(folder: &str, pool: &Pool) -> Option<String> {
    let mut text = folder.to_owned();
    for (word, place) in [("{group}", group(pool)), ("{place}", Some(pool.place.as_str()))] {
        if text.contains(word) {
            let plain = |place: &&str| place.split('/').all(|part| !matches!(part, "" | "." | "..")) && !place.contains(['{', '}']);
            text = text.replace(word, place.filter(plain)?);
        }
    }
    Some(text)
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
        let devices = self.folders(pool);
        let scope = Scope { pool, devices: &devices, paths: &self.paths };
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

    /// Folders of devices of a pool.
    fn folders(&self, pool: &Pool) -> Vec<String> {
        let asked: Vec<String> = self.asked.iter().filter_map(|folder| of_pool(folder, pool)).collect();
        narrower(&asked, self.bounds.as_deref())
    }

    /// Whether a device that the provider names may be served or read in a call on `pool`: it lies in a granted folder.
    #[must_use]
    pub fn may_serve(&self, device: &str, pool: &Pool) -> bool {
        self.folders(pool).iter().any(|folder| inside(folder, device))
    }

    /// Judges a device that a call on `pool` answered with: it lies in a granted folder, or the host itself answered with it in this call
    /// (`lent`: paths of these).
    ///
    /// # Errors
    /// `Unsupported`: it is none of them, and nothing of it may be served.
    pub fn judge_device(&self, device: &Device, pool: &Pool, lent: &dyn Fn(&str) -> bool) -> Result<(), Fault> {
        let path = device.path.as_str();
        if lent(path) || self.may_serve(path, pool) {
            return Ok(());
        }
        let folders = self.folders(pool);
        let granted = if folders.is_empty() { "none".to_owned() } else { folders.join(", ") };
        Err(Fault::new(
            FaultKind::Unsupported,
            format!("Provider '{}' answered in storage pool '{}' with a device that it may not serve", self.provider, pool.name),
        )
        .cause(format!("'{}' lies in no folder of devices that it asks for and is granted ({granted})", shortened(path)))
        .correction(format!(
            "Look with 'berth plugin inspect {0}' what it asks for; grant the folder ('devices' in the configuration of '{0}'), or report it to the author of the provider",
            self.provider
        )))
    }

    /// Judges the space that a call on `pool` answered with: not more is free than there is.
    ///
    /// # Errors
    /// `Bug`.
    pub fn judge_space(&self, space: Space, pool: &Pool) -> Result<(), Fault> {
        if space.free <= space.total {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::Bug,
            format!("Provider '{}' answered with a space of storage pool '{}' that cannot be", self.provider, pool.name),
        )
        .cause(format!("{} of {} are free", space.free, space.total))
        .correction("Report it to the author of the provider, and use another one until it is mended"))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_default).collect()
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
        assert!(all.files && all.may_run(&["lvs", "vg"], &pool()).is_ok() && all.may_serve("/dev/vg/a", &pool()));
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
        assert!(!some.may_serve("/dev/vg/a", &pool()) && some.may_serve("/dev/vg/inner/a", &pool()));
        // An operator cannot grant what was not asked for.
        let nothing = grant(&Manifest::new("x", "1", &["LVM"]), &Operator { files: Some(true), ..operator });
        assert!(!nothing.files && nothing.commands.is_empty() && nothing.devices.is_empty());
    }

    #[test]
    fn a_device_is_served_from_the_folders_of_its_pool_or_as_the_host_lent_it() {
        let each = Manifest { devices: vec!["/dev/{group}/".into(), "/dev/zvol/{place}/".into()], ..manifest() };
        assert_eq!(each.check(), Ok(()));
        let at = |place: &str| Pool { place: place.into(), ..pool() };
        let all = grant(&each, &Operator::default());
        assert_eq!(all.devices, ["/dev/zvol/{place}/", "/dev/{group}/"]);
        let serves = |grants: &Grants, path: &str, place: &str| grants.may_serve(path, &at(place));
        assert!(serves(&all, "/dev/vg0/web", "vg0/thin") && serves(&all, "/dev/zvol/tank/a/web", "tank/a"));
        for (path, place) in [
            ("/dev/sda", "vg0"),
            ("/dev/vg1/web", "vg0"),
            ("/dev/vg0/../sda", "vg0"),
            ("/dev/zvol/tank/web", "tank/a"),
            ("/dev/sda", ".."),
            ("/dev/sda", "."),
            ("/dev/x/sda", ""),
            ("/dev/srv/a", "/srv"),
            ("/dev/mapper/a", "{place}"),
        ] {
            assert!(!serves(&all, path, place), "{path} {place}");
        }
        // An operator's bound holds for what differs from pool to pool, too.
        let bound = grant(&each, &Operator { devices: Some(vec!["/dev/vg0/".into()]), ..Operator::default() });
        assert_eq!(bound.devices, ["/dev/vg0/"]);
        assert!(serves(&bound, "/dev/vg0/web", "vg0") && !serves(&bound, "/dev/vg0/web", "vg1") && !serves(&bound, "/dev/vg1/web", "vg1"));

        let device = |path: &str| Device { path: path.into(), size: crate::Kib(4) };
        assert_eq!(all.judge_device(&device("/dev/vg0/web"), &at("vg0"), &|_| false), Ok(()));
        assert_eq!(all.judge_device(&device("/dev/loop7"), &at("vg0"), &|path| path == "/dev/loop7"), Ok(()));
        let refused = all.judge_device(&device("/dev/sda"), &at("vg0"), &|_| false).unwrap_err();
        assert!(refused.kind == FaultKind::Unsupported && refused.cause.contains("'/dev/sda'") && refused.cause.contains("/dev/vg0/"));
        let space = |free: u64| Space { total: crate::Kib(8), free: crate::Kib(free) };
        assert_eq!(all.judge_space(space(8), &pool()), Ok(()));
        assert_eq!(all.judge_space(space(9), &pool()).unwrap_err().kind, FaultKind::Bug);
    }
}
