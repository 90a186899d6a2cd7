//! From where a property is inherited: the only place that knows the order.

use std::collections::BTreeMap;

use super::Props;
use super::rule::parse_bool;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The whole cluster.
    Controller,
    /// The node of a replica or a pool.
    Node,
    /// The definition of a pool.
    StorPoolDfn,
    /// A storage pool; where a volume lies in several, the chain holds several.
    StorPool,
    /// The resource group of a definition.
    ResourceGroup,
    /// The volume group of a volume definition.
    VolumeGroup,
    /// The definition of a replica.
    ResourceDefinition,
    /// The definition of a volume.
    VolumeDefinition,
    /// A replica.
    Resource,
    /// A volume of a replica.
    Volume,
    /// Two nodes.
    NodeConnection,
    /// Two replicas.
    ResourceConnection,
}

impl Source {
    /// Its letters in `effective_props` of REST API v1.
    #[must_use]
    pub fn letters(self) -> &'static str {
        match self {
            Self::Controller => "C",
            Self::Node => "N",
            Self::StorPoolDfn => "SPD",
            Self::StorPool => "SP",
            Self::ResourceGroup => "RG",
            Self::VolumeGroup => "VG",
            Self::ResourceDefinition => "RD",
            Self::VolumeDefinition => "VD",
            Self::Resource => "R",
            Self::Volume => "V",
            Self::NodeConnection => "NC",
            Self::ResourceConnection => "RC",
        }
    }
}

use Source::{
    Controller as C, Node as N, NodeConnection as NC, Resource as R, ResourceConnection as RC, ResourceDefinition as RD,
    ResourceGroup as RG, StorPool as SP, StorPoolDfn as SPD, Volume as V, VolumeDefinition as VD, VolumeGroup as VG,
};

/// Where to look for `key`, nearest first.
///
/// The orders are those of REST API v1 (properties, inheritance). Where it names no place for an object that may carry the key, the object
/// stands where its own kind of thing stands, so that no property can be set without ever being read:
/// a volume before its definition, a pool before its node, the group behind the definition.
#[must_use]
pub fn order(key: &str) -> &'static [Source] {
    match key {
        "StorPoolName" => &[V, R, VD, VG, RD, RG, N],
        "StorPoolNameDrbdMeta" => &[V, VD, VG, R, RD, RG, N],
        "DrbdOptions/Resource/quorum"
        | "DrbdOptions/Resource/on-no-quorum"
        | "DrbdOptions/auto-quorum"
        | "DrbdOptions/auto-add-quorum-tiebreaker"
        | "DrbdOptions/auto-verify-algo-disable"
        | "DrbdOptions/auto-verify-algo-allowed-user-list"
        | "DrbdOptions/AutoEvictMinReplicaCount"
        | "StorDriver/Zfs/RollbackStrategy"
        | "StorDriver/Zfs/DeleteStrategy"
        | "PeerSlotsNewResource"
        | "UseZFSClone" => &[RD, RG, C],
        "DrbdOptions/auto-diskful" | "DrbdOptions/auto-diskful-allow-cleanup" => &[R, N, RD, RG, C],
        "DrbdOptions/AutoEvictAfterTime"
        | "DrbdOptions/AutoEvictAllowEviction"
        | "DrbdOptions/AutoEvictMaxDisconnectedNodes"
        | "CopyAllSnapsOnEvacuate"
        | "BackupShipping/MaxConcurrentBackupsPerNode"
        | "AutoplaceTarget" => &[N, C],
        "DrbdOptions/SkipDisk" => &[R, SP, N, RD, RG, C],
        "DrbdOptions/Disk/discard-zeroes-if-aligned" => &[V, VD, RD, VG, RG, C],
        // Kept with the disk options on volumes, and with the peer options on connections.
        "DrbdOptions/PeerDevice/bitmap" => &[RC, NC, R, V, VD, VG, RD, RG, C],
        "Linstor/Drbd/auto-block-size" | "Linstor/Drbd/freeze-block-size" => &[VD, RD, VG, RG, C],
        "StorDriver/LuksFormatOptions" | "StorDriver/LuksOpenOptions" => &[V, R, SP, N, VD, RD, VG, RG, C],
        "MaxOversubscriptionRatio" | "MaxFreeCapacityOversubscriptionRatio" | "MaxTotalCapacityOversubscriptionRatio" => &[SP, SPD, C],
        "Autoplacer/MinThinFreeSpace" => &[SP, RD, RG, N, C],
        "PrefNic" => &[R, SP, RD, RG, N],
        "Linstor/Drbd/OutsideAddress" => &[R, SP, RD, RG, N, C],
        _ => order_of_namespace(key),
    }
}

fn order_of_namespace(key: &str) -> &'static [Source] {
    let (first, rest) = key.split_once('/').unwrap_or((key, ""));
    match (first, rest.split('/').next().unwrap_or_default()) {
        ("DrbdOptions", "Disk") => &[V, VD, VG, RD, RG, C],
        // What is said for one connection or one pair of nodes goes before what is said for the resource, as in DRBD's own files.
        ("DrbdOptions", "Net" | "PeerDevice" | "Resource" | "Handlers") => &[RC, NC, R, RD, RG, C],
        ("BalanceResourcesEnabled" | "BalanceResourcesSkipDiskLimit", _) | ("AutoSnapshot" | "Schedule", _) => &[RD, RG, C],
        ("FileSystem", _) => &[R, VD, VG, RD, RG],
        ("Luks", _) => &[V, R, SP, N, VD, RD, VG, RG, C],
        ("StorDriver", _) => &[VD, VG, R, RD, RG, SP, N, C],
        // Along the natural parents: from the single thing over its definitions and its pool to the cluster.
        _ => &[RC, NC, V, R, VD, VG, RD, RG, SP, SPD, N, C],
    }
}

/// A value that holds for an object, wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective<'a> {
    /// The value.
    pub value: &'a str,
    /// Where it stands.
    pub from: Source,
    /// Values farther away that it hides, nearest first.
    pub others: Vec<(Source, &'a str)>,
}

/// The properties of an object and of all that it inherits from.
///
/// The order in which levels are added matters only among those of one source (several pools).
#[derive(Debug, Clone, Default)]
pub struct Chain<'a> {
    levels: Vec<(Source, &'a Props)>,
}

impl<'a> Chain<'a> {
    /// A chain without a level.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a level.
    #[must_use]
    pub fn with(mut self, source: Source, props: &'a Props) -> Self {
        self.levels.push((source, props));
        self
    }

    /// Adds a level if there is one.
    #[must_use]
    pub fn with_some(self, source: Source, props: Option<&'a Props>) -> Self {
        match props {
            Some(props) => self.with(source, props),
            None => self,
        }
    }

    fn values<'s>(&'s self, key: &'s str) -> impl Iterator<Item = (Source, &'a str)> {
        order(key).iter().flat_map(move |wanted| {
            self.levels
                .iter()
                .filter(move |(source, _)| source == wanted)
                .filter_map(move |(source, props)| Some((*source, props.get(key)?)))
        })
    }

    /// Value that holds for `key`, nearest level first.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.values(key).next().map(|(_, value)| value)
    }

    /// Like [`Chain::get`], as yes or no; a value that is neither counts as unset.
    #[must_use]
    pub fn get_bool(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(parse_bool)
    }

    /// Like [`Chain::get`], with where it stands and what it hides.
    #[must_use]
    pub fn effective(&self, key: &str) -> Option<Effective<'a>> {
        let mut values = self.values(key);
        let (from, value) = values.next()?;
        Some(Effective { value, from, others: values.collect() })
    }

    /// All that holds below `namespace` (without a trailing `/`; empty: everything), by key.
    #[must_use]
    pub fn below(&self, namespace: &str) -> BTreeMap<&'a str, Effective<'a>> {
        let keys = self.levels.iter().flat_map(|(_, props)| props.iter()).map(|(key, _)| key);
        keys.filter(|key| super::check::is_below(key, namespace)).filter_map(|key| Some((key, self.effective(key)?))).collect()
    }
}
