//! Options of `docker volume create -o KEY=VALUE` and of the configuration, to what is to be made. Nothing is looked up here.
//!
//! Spellings: ours have dashes; upstream's, without, mean the same; case does not matter. What is said with the option holds before what the
//! configuration says.

use std::collections::{BTreeMap, BTreeSet};

use berth_plugin_sdk::Kib;
use berth_plugin_sdk::storage::{NewVolume, Source};
use serde::{Deserialize, Serialize};

use crate::size;

/// Size of a volume that nobody gave one: upstream's.
const DEFAULT_SIZE: &str = "100MB";

/// Every option, with upstream's spelling where it differs by more than dashes.
pub const OPTIONS: [&str; 30] = [
    "size",
    "fs",
    "fsopts",
    "mountopts",
    "uid",
    "gid",
    "mode",
    "replicas",
    "nodes",
    "exclude-nodes",
    "storage-pool",
    "diskless-pool",
    "resource-group",
    "replicas-on-same",
    "replicas-on-different",
    "x-replicas-on-different",
    "do-not-place-with",
    "do-not-place-with-regex",
    "diskless-on-remaining",
    "layers",
    "encryption",
    "quorum",
    "protocol",
    "from-volume",
    "from-snapshot",
    "snapshot-on-remove",
    "readonly",
    "shared",
    "io-limits",
    "profile",
];

/// Properties in which the plugin keeps what it knows of a volume.
const OWN_PROPERTIES: &str = "Aux/docker-volume/";

/// Begins options that set a property of the resource: `property.DrbdOptions/Net/max-buffers`.
const PROPERTY: &str = "property.";

/// Spellings that mean an option of another name.
const ALIASES: [(&str, &str); 6] = [
    ("disklessstoragepool", "diskless-pool"),
    ("donotplacewithregex", "do-not-place-with-regex"),
    ("place-count", "replicas"),
    ("group", "resource-group"),
    ("from", "from-volume"),
    ("filesystem", "fs"),
];

/// File systems that are made.
pub const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// Why options cannot be: one sentence for the user of Docker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// There is no such option.
    #[error("option '{name}' is not known{}", hint(.near.as_deref()))]
    Unknown {
        /// As it was written.
        name: String,
        /// The nearest that there is.
        near: Option<String>,
    },
    /// It is there twice.
    #[error("option '{option}' is given twice, as '{one}' and as '{other}'")]
    Twice {
        /// Its name.
        option: String,
        /// One spelling.
        one: String,
        /// The other.
        other: String,
    },
    /// Its value cannot be.
    #[error("option '{option}': {why}")]
    Value {
        /// Its name.
        option: String,
        /// Why not.
        why: String,
    },
    /// Two options contradict each other.
    #[error("options '{one}' and '{other}' contradict each other: {why}")]
    Contradiction {
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
        /// In what.
        why: String,
    },
}

impl BadOption {
    /// The options that it is about, by their canonical names.
    #[must_use]
    pub fn options(&self) -> Vec<&str> {
        match self {
            Self::Unknown { name, .. } => vec![name],
            Self::Twice { option, .. } | Self::Value { option, .. } => vec![option],
            Self::Contradiction { one, other, .. } => vec![one, other],
        }
    }
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default()
}

/// How the file system of a volume is made and mounted; kept as a property of the volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FsOptions {
    /// `ext4`, `xfs` or `btrfs`.
    pub fs: String,
    /// More words for mkfs.
    pub mkfs: Vec<String>,
    /// Options of the mount.
    pub mount: Vec<String>,
    /// Owner of the folder that is handed out; `None`: root.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Its mode; `None`: 0755.
    pub mode: Option<u32>,
    /// It is mounted read-only.
    pub readonly: bool,
    /// Its data is kept under another name when Docker removes the volume.
    pub keep_on_remove: bool,
}

/// What a user asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The volume. Its name is not filled in; a source volume has Docker's name.
    pub new: NewVolume,
    /// Whether the size was said, and is not the default.
    pub sized: bool,
    /// Its file system.
    pub fs: FsOptions,
}

/// The canonical name of an option.
///
/// # Errors
/// `Unknown`.
pub fn canonical(name: &str) -> Result<String, BadOption> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with(PROPERTY) && name.len() > PROPERTY.len() {
        // Keys of properties have case.
        return Ok(format!("{PROPERTY}{}", name.get(PROPERTY.len()..).unwrap_or_default()));
    }
    let plain: String = lower.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    let same = |known: &&&str| known.chars().filter(|c| *c != '-').eq(plain.chars());
    if let Some(known) = OPTIONS.iter().find(same) {
        return Ok((*known).to_owned());
    }
    if let Some((_, known)) = ALIASES.iter().find(|(alias, _)| alias.chars().filter(|c| *c != '-').eq(plain.chars())) {
        return Ok((*known).to_owned());
    }
    Err(BadOption::Unknown { name: name.chars().take(64).collect(), near: nearest(&lower, OPTIONS.iter().copied()) })
}

/// The word that differs by the fewest letters, if it is near at all.
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<String> {
    let short: String = word.chars().take(64).collect();
    let best = known.map(|other| (distance(&short, other), other)).min()?;
    (best.0 <= 1 + short.chars().count() / 3).then(|| best.1.to_owned())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, in_a) in a.chars().enumerate() {
        let mut before = at;
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
        for (column, in_b) in b.iter().enumerate() {
            let (Some(&above), Some(&left)) = (row.get(column + 1), row.get(column)) else { continue };
            let cost = before + usize::from(in_a != *in_b);
            before = above;
            if let Some(cell) = row.get_mut(column + 1) {
                *cell = cost.min(above + 1).min(left + 1);
            }
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

fn normal(said: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, BadOption> {
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (name, value) in said {
        let option = canonical(name)?;
        if let Some((one, _)) = found.insert(option.clone(), (name.clone(), value.clone())) {
            return Err(BadOption::Twice { option, one, other: name.clone() });
        }
    }
    Ok(found.into_iter().map(|(option, (_, value))| (option, value)).collect())
}

/// The profile that options name, if they do.
///
/// # Errors
/// As [`read`].
pub fn profile(said: &BTreeMap<String, String>) -> Result<Option<String>, BadOption> {
    Ok(normal(said)?.remove("profile").filter(|name| !name.is_empty()))
}

/// What is wanted: options over the configuration's.
///
/// # Errors
/// The first thing that cannot be, with the option's name.
pub fn read(configured: &BTreeMap<String, String>, said: &BTreeMap<String, String>) -> Result<Wanted, BadOption> {
    let (said, mut all) = (normal(said)?, normal(configured)?);
    let given = |of: &BTreeMap<String, String>, name: &str| of.get(name).is_some_and(|value| !value.trim().is_empty());
    agree(&said)?;
    // A copy has the file system of its source and lies where that lies: what the configuration says of both does not count then.
    if ORIGINS.iter().any(|origin| given(&said, origin)) {
        ORIGINS.iter().for_each(|origin| drop(all.remove(*origin)));
        // As large as its source, however large volumes usually are.
        all.remove("size");
    }
    if let Some(origin) = ORIGINS.into_iter().find(|origin| given(&said, origin) || given(&all, origin)) {
        if let Some(other) = NOT_OF_COPIES.into_iter().find(|other| given(&said, other)) {
            return Err(BadOption::Contradiction { one: origin, other, why: why_not_of_copies(other).to_owned() });
        }
        if origin == "from-volume" && given(&said, "nodes") {
            return Err(BadOption::Contradiction { one: origin, other: "nodes", why: why_not_of_copies("nodes").to_owned() });
        }
        NOT_OF_COPIES.iter().for_each(|other| drop(all.remove(*other)));
        if origin == "from-volume" {
            all.remove("nodes");
        }
    }
    // A list of nodes is the whole placement: what the configuration says of placing does not count then.
    if said.get("nodes").is_some_and(|nodes| !nodes.is_empty()) {
        for rule in ["replicas", "exclude-nodes", "replicas-on-same", "replicas-on-different", "x-replicas-on-different"] {
            all.remove(rule);
        }
    }
    all.extend(said);
    all.retain(|_, value| !value.trim().is_empty());
    Reader { all: &all }.wanted()
}

/// What a volume is made from.
const ORIGINS: [&str; 2] = ["from-volume", "from-snapshot"];

/// Options that mean nothing for a copy: its file system comes with the data, and it lies where its source lies.
const NOT_OF_COPIES: [&str; 13] = [
    "fs",
    "fsopts",
    "replicas",
    "exclude-nodes",
    "storage-pool",
    "diskless-pool",
    "replicas-on-same",
    "replicas-on-different",
    "x-replicas-on-different",
    "do-not-place-with",
    "do-not-place-with-regex",
    "diskless-on-remaining",
    "encryption",
];

fn why_not_of_copies(option: &str) -> &'static str {
    match option {
        "fs" | "fsopts" => "the file system comes with the data",
        "encryption" => "a copy has the layers of its source",
        _ => "a copy lies where its source lies",
    }
}

/// Options of one source that cannot stand beside each other.
fn agree(said: &BTreeMap<String, String>) -> Result<(), BadOption> {
    let has = |name: &str| said.get(name).is_some_and(|value| !value.trim().is_empty());
    if has("from-volume") && has("from-snapshot") {
        return Err(BadOption::Contradiction { one: "from-volume", other: "from-snapshot", why: "a volume has one origin".to_owned() });
    }
    Ok(())
}

struct Reader<'a> {
    all: &'a BTreeMap<String, String>,
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Reader<'_> {
    fn text(&self, option: &str) -> Option<&str> {
        self.all.get(option).map(|value| value.trim())
    }

    fn list(&self, option: &str) -> Vec<String> {
        self.text(option).map(words).unwrap_or_default()
    }

    fn bad<T>(option: &str, why: impl Into<String>) -> Result<T, BadOption> {
        Err(BadOption::Value { option: option.to_owned(), why: why.into() })
    }

    fn number(&self, option: &str, least: u32, most: u32) -> Result<Option<u32>, BadOption> {
        let Some(text) = self.text(option) else { return Ok(None) };
        match text.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Self::bad(option, format!("'{text}' is not a number from {least} to {most}")),
        }
    }

    fn flag(&self, option: &str) -> Result<Option<bool>, BadOption> {
        match self.text(option).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "yes" | "on" | "1") => Ok(Some(true)),
            Some("false" | "no" | "off" | "0") => Ok(Some(false)),
            Some(other) => Self::bad(option, format!("'{other}' is neither true nor false")),
        }
    }

    fn one_of(&self, option: &str, known: &[&str]) -> Result<Option<String>, BadOption> {
        let Some(text) = self.text(option) else { return Ok(None) };
        let lower = text.to_ascii_lowercase();
        if known.contains(&lower.as_str()) {
            return Ok(Some(lower));
        }
        let near = hint(nearest(&lower, known.iter().copied()).as_deref());
        Self::bad(option, format!("'{text}' is not one of {}{near}", known.join(", ")))
    }

    fn wanted(&self) -> Result<Wanted, BadOption> {
        let from = self.source()?;
        let sized = self.text("size").is_some();
        let size = match self.text("size") {
            Some(text) => size::parse(text).or_else(|why| Self::bad("size", why))?,
            None if from == Source::Empty => size::parse(DEFAULT_SIZE).unwrap_or(size::LEAST),
            // As large as what it is made from.
            None => Kib(0),
        };
        let (nodes, exclude_nodes) = (self.list("nodes"), self.list("exclude-nodes"));
        if let Some(both) = nodes.iter().find(|node| exclude_nodes.contains(node)) {
            let why = format!("'{both}' is in both");
            return Err(BadOption::Contradiction { one: "nodes", other: "exclude-nodes", why });
        }
        let distinct: BTreeSet<String> = nodes.iter().map(|node| node.to_ascii_lowercase()).collect();
        if distinct.len() < nodes.len() {
            return Self::bad("nodes", "a node is named twice");
        }
        let replicas = self.number("replicas", 1, 32)?;
        if let Some(count) = replicas.filter(|count| !nodes.is_empty() && usize::try_from(*count).is_ok_and(|count| count != nodes.len())) {
            let why = format!("{count} replicas on {} nodes; leave 'replicas' out", nodes.len());
            return Err(BadOption::Contradiction { one: "nodes", other: "replicas", why });
        }
        let layers = self.layers(replicas.map_or(nodes.len(), |count| usize::try_from(count).unwrap_or(usize::MAX)))?;
        let not_with_regex = self.text("do-not-place-with-regex").unwrap_or_default().to_owned();
        let new = NewVolume {
            name: String::new(),
            size,
            group: self.text("resource-group").unwrap_or_default().to_owned(),
            from,
            replicas,
            nodes,
            exclude_nodes,
            pools: self.list("storage-pool"),
            diskless_pools: self.list("diskless-pool"),
            on_same: self.list("replicas-on-same"),
            on_different: self.list("replicas-on-different"),
            x_on_different: self.x_on_different()?,
            not_with: self.list("do-not-place-with"),
            not_with_regex,
            diskless_on_remaining: self.flag("diskless-on-remaining")?,
            props: self.props()?,
            layers,
        };
        Ok(Wanted { new, sized, fs: self.file_system()? })
    }

    fn source(&self) -> Result<Source, BadOption> {
        match (self.text("from-volume"), self.text("from-snapshot")) {
            (None, None) => Ok(Source::Empty),
            (Some(volume), _) => Ok(Source::Volume(volume.to_owned())),
            (None, Some(text)) => match text.rsplit_once(['/', '@']) {
                Some((volume, snapshot)) if !volume.is_empty() && !snapshot.is_empty() => {
                    Ok(Source::Snapshot { volume: volume.to_owned(), snapshot: snapshot.to_owned() })
                }
                _ => Self::bad("from-snapshot", format!("'{text}' names no snapshot; write it as VOLUME/SNAPSHOT")),
            },
        }
    }

    fn layers(&self, replicas: usize) -> Result<Vec<String>, BadOption> {
        let mut layers: Vec<String> = self.list("layers").into_iter().map(|layer| layer.to_ascii_uppercase()).collect();
        if self.flag("encryption")? == Some(false) && layers.iter().any(|layer| layer == "LUKS") {
            return Err(BadOption::Contradiction { one: "layers", other: "encryption", why: "LUKS is among the layers".into() });
        }
        if self.flag("encryption")? == Some(true) && !layers.iter().any(|layer| layer == "LUKS") {
            if layers.is_empty() {
                layers.extend(["DRBD".to_owned(), "STORAGE".to_owned()]);
            }
            let at = layers.iter().position(|layer| layer == "STORAGE").unwrap_or(layers.len());
            layers.insert(at, "LUKS".to_owned());
        }
        let replicates = layers.is_empty() || layers.iter().any(|layer| layer == "DRBD");
        if !replicates && replicas > 1 {
            let why = format!("without DRBD nothing keeps {replicas} replicas the same");
            return Err(BadOption::Contradiction { one: "layers", other: "replicas", why });
        }
        for option in ["quorum", "protocol"] {
            if !replicates && self.text(option).is_some() {
                let other = if option == "quorum" { "quorum" } else { "protocol" };
                return Err(BadOption::Contradiction { one: "layers", other, why: "without DRBD it means nothing".into() });
            }
        }
        Ok(layers)
    }

    fn x_on_different(&self) -> Result<BTreeMap<String, u32>, BadOption> {
        let mut map = BTreeMap::new();
        for word in self.list("x-replicas-on-different") {
            match word.rsplit_once([':', '=']).and_then(|(key, count)| Some((key, count.parse::<u32>().ok()?))) {
                Some((key, count)) if count > 0 && !key.is_empty() => {
                    if map.insert(key.to_owned(), count).is_some_and(|before| before != count) {
                        return Self::bad("x-replicas-on-different", format!("'{key}' has two counts"));
                    }
                }
                _ => return Self::bad("x-replicas-on-different", format!("'{word}' is not PROPERTY:COUNT")),
            }
        }
        Ok(map)
    }

    fn props(&self) -> Result<BTreeMap<String, String>, BadOption> {
        let mut props = BTreeMap::new();
        for (option, value) in self.all {
            if let Some(key) = option.strip_prefix(PROPERTY) {
                if key.to_ascii_lowercase().starts_with(&OWN_PROPERTIES.to_ascii_lowercase()) {
                    return Self::bad(option, "the plugin keeps it for itself");
                }
                props.insert(key.to_owned(), value.clone());
            }
        }
        let mut set = |option: &'static str, key: &str, value: String| match props.insert(key.to_owned(), value.clone()) {
            Some(other) if other != value => {
                let why = format!("it sets {key} to '{value}', and property.{key} to '{other}'");
                Self::bad(option, why)
            }
            _ => Ok(()),
        };
        if let Some(protocol) = self.one_of("protocol", &["a", "b", "c"])? {
            set("protocol", "DrbdOptions/Net/protocol", protocol.to_ascii_uppercase())?;
        }
        if let Some(quorum) = self.text("quorum").map(str::to_ascii_lowercase) {
            if !["off", "majority", "all"].contains(&quorum.as_str()) && !quorum.parse::<u8>().is_ok_and(|count| (1..=32).contains(&count))
            {
                return Self::bad("quorum", format!("'{quorum}' is not one of off, majority, all, or a number from 1 to 32"));
            }
            set("quorum", "DrbdOptions/Resource/quorum", quorum)?;
        }
        let mut limited = BTreeSet::new();
        for word in self.list("io-limits") {
            let (what, value) = word.split_once([':', '=']).unwrap_or((&word, ""));
            let key = match what {
                "read-bps" => "sys/fs/blkio_throttle_read",
                "write-bps" => "sys/fs/blkio_throttle_write",
                "read-iops" => "sys/fs/blkio_throttle_read_iops",
                "write-iops" => "sys/fs/blkio_throttle_write_iops",
                _ => return Self::bad("io-limits", format!("'{word}' is not read-bps:SIZE, write-bps:SIZE, read-iops:N or write-iops:N")),
            };
            if !limited.insert(what.to_owned()) {
                return Self::bad("io-limits", format!("'{what}' is there twice"));
            }
            let value = if what.ends_with("-bps") {
                size::bytes(value).or_else(|why| Self::bad("io-limits", why))?
            } else {
                value.parse::<u64>().or_else(|_| Self::bad("io-limits", format!("'{value}' is not a number above 0")))?
            };
            if value == 0 {
                return Self::bad("io-limits", format!("'{word}' would let nothing through"));
            }
            set("io-limits", key, value.to_string())?;
        }
        match self.one_of("shared", &["none", "ro", "rw"])?.as_deref() {
            Some("rw") => {
                return Self::bad("shared", "'rw' needs a cluster file system, and none of ext4, xfs and btrfs is one; use ro or none");
            }
            Some("ro") if self.flag("readonly")? == Some(false) => {
                return Err(BadOption::Contradiction {
                    one: "shared",
                    other: "readonly",
                    why: "what several hosts read nobody may write".into(),
                });
            }
            _ => {}
        }
        Ok(props)
    }

    fn file_system(&self) -> Result<FsOptions, BadOption> {
        let mode = match self.text("mode") {
            None => None,
            Some(text) => match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
                Ok(mode) if mode <= 0o7777 => Some(mode),
                _ => return Self::bad("mode", format!("'{text}' is no mode; write it as 0755")),
            },
        };
        let mut mount = self.list("mountopts");
        if let Some(bad) = mount.iter().find(|word| word.starts_with('-')) {
            return Self::bad("mountopts", format!("'{bad}' is a switch, not an option of a mount; write it as noatime,discard"));
        }
        let shared = self.text("shared").is_some_and(|shared| shared.eq_ignore_ascii_case("ro"));
        let said = self.flag("readonly")?;
        let (ro, rw) = (mount.iter().any(|word| word == "ro"), mount.iter().any(|word| word == "rw"));
        let clash = |one, why: &str| Err(BadOption::Contradiction { one, other: "mountopts", why: why.to_owned() });
        match (said, ro, rw) {
            (_, true, true) => return Self::bad("mountopts", "'ro' and 'rw' contradict each other"),
            (Some(true), _, true) => return clash("readonly", "'rw' is among the mount options"),
            (Some(false), true, _) => return clash("readonly", "'ro' is among the mount options"),
            _ if shared && rw => return clash("shared", "'rw' is among the mount options"),
            _ => {}
        }
        // Said once, in the flag.
        mount.retain(|word| word != "ro" && word != "rw");
        let readonly = said.unwrap_or(false) || shared || ro;
        let mkfs: Vec<String> = self.text("fsopts").map(|text| text.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
        let fs = self.one_of("fs", &FILE_SYSTEMS)?.unwrap_or_else(|| "ext4".into());
        if let Err(why) = crate::mkfs::judge(&fs, &mkfs) {
            return Self::bad("fsopts", why);
        }
        Ok(FsOptions {
            fs,
            mkfs,
            mount,
            uid: self.number("uid", 0, u32::MAX - 1)?,
            gid: self.number("gid", 0, u32::MAX - 1)?,
            mode,
            readonly,
            keep_on_remove: self.flag("snapshot-on-remove")?.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests;
