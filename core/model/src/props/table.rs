//! The table of keys: read once from the text that is built in.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Serialize;

use super::rule::Rule;

/// Kind of object that carries properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The whole cluster.
    Controller,
    /// A node.
    Node,
    /// A storage pool definition.
    StorPoolDfn,
    /// A storage pool.
    StorPool,
    /// A resource group; takes the keys of definitions, but not ExactSize.
    ResourceGroup,
    /// A volume group; takes the keys of volume definitions.
    VolumeGroup,
    /// A resource definition.
    ResourceDefinition,
    /// A volume definition.
    VolumeDefinition,
    /// A resource.
    Resource,
    /// A volume.
    Volume,
    /// A snapshot; takes the user's own keys only.
    Snapshot,
    /// Two nodes.
    NodeConnection,
    /// Two replicas of a resource.
    ResourceConnection,
    /// DRBD Proxy on a definition.
    DrbdProxy,
    /// DRBD Proxy with zlib.
    DrbdProxyZlib,
    /// DRBD Proxy with LZMA.
    DrbdProxyLzma,
    /// DRBD Proxy with Zstandard.
    DrbdProxyZstd,
    /// A key-value store; takes every key and every value.
    KeyValueStore,
}

impl Owner {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::Controller,
        Self::Node,
        Self::StorPoolDfn,
        Self::StorPool,
        Self::ResourceGroup,
        Self::VolumeGroup,
        Self::ResourceDefinition,
        Self::VolumeDefinition,
        Self::Resource,
        Self::Volume,
        Self::Snapshot,
        Self::NodeConnection,
        Self::ResourceConnection,
        Self::DrbdProxy,
        Self::DrbdProxyZlib,
        Self::DrbdProxyLzma,
        Self::DrbdProxyZstd,
        Self::KeyValueStore,
    ];

    /// Its name in a sentence.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Node => "node",
            Self::StorPoolDfn => "storage pool definition",
            Self::StorPool => "storage pool",
            Self::ResourceGroup => "resource group",
            Self::VolumeGroup => "volume group",
            Self::ResourceDefinition => "resource definition",
            Self::VolumeDefinition => "volume definition",
            Self::Resource => "resource",
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::NodeConnection => "node connection",
            Self::ResourceConnection => "resource connection",
            Self::DrbdProxy => "DRBD Proxy",
            Self::DrbdProxyZlib => "DRBD Proxy with zlib",
            Self::DrbdProxyLzma => "DRBD Proxy with LZMA",
            Self::DrbdProxyZstd => "DRBD Proxy with Zstandard",
            Self::KeyValueStore => "key-value store",
        }
    }

    /// Word in the table's column `owners`; `None`: the table has no keys for it.
    fn column(self) -> Option<&'static str> {
        match self {
            Self::Controller => Some("ctrl"),
            Self::Node => Some("node"),
            Self::StorPoolDfn => Some("spd"),
            Self::StorPool => Some("sp"),
            Self::ResourceGroup | Self::ResourceDefinition => Some("rd"),
            Self::VolumeGroup | Self::VolumeDefinition => Some("vd"),
            Self::Resource => Some("rsc"),
            Self::Volume => Some("vol"),
            Self::NodeConnection => Some("ncon"),
            Self::ResourceConnection => Some("rcon"),
            Self::DrbdProxy => Some("proxy"),
            Self::DrbdProxyZlib => Some("zlib"),
            Self::DrbdProxyLzma => Some("lzma"),
            Self::DrbdProxyZstd => Some("zstd"),
            Self::Snapshot | Self::KeyValueStore => None,
        }
    }
}

/// Whether anything acts upon a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what its description says, or it is the user's own data.
    Applied,
    /// It is kept and listed; nothing acts upon it yet. Setting it answers a warning.
    NotYet,
}

/// What the lists of properties say about one key (`GET …/properties/info`: a map of these by key).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PropInfo {
    /// The key.
    #[serde(skip)]
    pub key: &'static str,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<&'static str>,
    /// Form of its values: `string`, `long`, `boolean`, `boolean_true_false`, `range`, `range_float`, `regex`, `numeric_or_symbol`.
    pub prop_type: &'static str,
    /// The form in detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What holds where it is unset, as a text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dflt: Option<&'static str>,
    /// Unit of its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) info: PropInfo,
    owners: Vec<&'static str>,
    pub(super) rule: Rule,
    pub(super) effect: Effect,
    shown: bool,
}

/// All lines, and their places by key.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    by_key: HashMap<&'static str, Vec<usize>>,
}

const TEXT: &str = include_str!("table.tsv");

fn parse_row(line: &'static str) -> Result<Row, String> {
    let columns: Vec<&'static str> = line.split('\t').collect();
    let &[key, owners, kind, rule, dflt, unit, effect, shown, info] = columns.as_slice() else {
        return Err(format!("{} columns in '{line}'", columns.len()));
    };
    let text = |column: &'static str| (column != "-").then_some(column);
    let rule = Rule::parse(kind, rule)?;
    Ok(Row {
        info: PropInfo { key, info: text(info), prop_type: rule.prop_type(), value: rule.value(), dflt: text(dflt), unit: text(unit) },
        owners: owners.split(',').collect(),
        rule,
        effect: match effect {
            "now" => Effect::Applied,
            "later" => Effect::NotYet,
            other => return Err(format!("effect '{other}' of {key}")),
        },
        shown: match shown {
            "shown" => true,
            "hidden" => false,
            other => return Err(format!("'{other}' instead of shown or hidden for {key}")),
        },
    })
}

/// Reads the table; an error names the line.
pub(super) fn parse(text: &'static str) -> Result<Table, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let rows: Vec<Row> = lines.map(parse_row).collect::<Result<_, _>>()?;
    let mut by_key: HashMap<&'static str, Vec<usize>> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        by_key.entry(row.info.key).or_default().push(place);
    }
    Ok(Table { rows, by_key })
}

pub(super) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse(TEXT).expect("a test reads the built-in table"))
}

impl Table {
    /// The line for `key` on `owner`. A key has a line of its own for owners that differ in its values.
    pub(super) fn find(&self, owner: Owner, key: &str) -> Option<&Row> {
        let column = owner.column()?;
        self.by_key.get(key)?.iter().filter_map(|place| self.rows.get(*place)).find(|row| row.owners.contains(&column))
    }
}

/// The keys that `owner` takes, as clients are shown them, in the order of the keys.
///
/// Keys that are accepted without being in the lists of REST API v1 are left out, and so are those made up by the user (`Aux/…`).
pub fn infos(owner: Owner) -> impl Iterator<Item = &'static PropInfo> {
    let column = owner.column();
    table().rows.iter().filter(move |row| row.shown && column.is_some_and(|name| row.owners.contains(&name))).map(|row| &row.info)
}

/// Whether anything acts upon `key` on `owner`; `None`: it does not take the key.
#[must_use]
pub fn effect(owner: Owner, key: &str) -> Option<Effect> {
    table().find(owner, key).map(|row| row.effect)
}

/// Names of the lists in `GET /v1/controller/properties/info/all`; `None`: that list is empty.
pub const INFO_SECTIONS: [(&str, Option<Owner>); 30] = [
    ("CTRL", Some(Owner::Controller)),
    ("DRBD_PROXY", Some(Owner::DrbdProxy)),
    ("DRBD_PROXY_LZ4", None),
    ("DRBD_PROXY_LZMA", Some(Owner::DrbdProxyLzma)),
    ("DRBD_PROXY_ZLIB", Some(Owner::DrbdProxyZlib)),
    ("DRBD_PROXY_ZSTD", Some(Owner::DrbdProxyZstd)),
    ("EMPTY_RO_PROPS", None),
    ("KVS", None),
    ("NET_IF", None),
    ("NODE", Some(Owner::Node)),
    ("NODE_CONN", Some(Owner::NodeConnection)),
    ("RSC", Some(Owner::Resource)),
    ("RSC_CONN", Some(Owner::ResourceConnection)),
    ("RSC_DFN", Some(Owner::ResourceDefinition)),
    ("RSC_GRP", None),
    ("SNAP", None),
    ("SNAP_DFN", None),
    ("SNAP_DFN_RSC_DFN", None),
    ("SNAP_RSC", None),
    ("SNAP_VLM", None),
    ("SNAP_VLM_DFN", None),
    ("SNAP_VLM_DFN_VLM_DFN", None),
    ("SNAP_VLM_VLM", None),
    ("STLT", None),
    ("STOR_POOL", Some(Owner::StorPool)),
    ("STOR_POOL_DFN", Some(Owner::StorPoolDfn)),
    ("VLM", Some(Owner::Volume)),
    ("VLM_CONN", None),
    ("VLM_DFN", Some(Owner::VolumeDefinition)),
    ("VLM_GRP", None),
];
