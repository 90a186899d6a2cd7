//! What requests carry in them, as values.

use std::collections::BTreeMap;

use berth_model::objects::SelectFilter;
use berth_model::vault::Sealed;
use serde::Serialize;

/// A net interface in a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NetIfInput {
    /// Name; empty: missing.
    pub name: String,
    /// Literal IP address; `None`: missing (keep, when modifying).
    pub address: Option<String>,
    /// Port of a satellite; `None`: not given.
    pub satellite_port: Option<i64>,
    /// `PLAIN` or `SSL` in any case; `None`: not given.
    pub satellite_encryption_type: Option<String>,
    /// Makes it the satellite connection.
    pub is_active: Option<bool>,
}

/// A volume definition in a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VolumeDefinitionInput {
    /// Number; `None`: the lowest free one.
    pub volume_number: Option<i64>,
    /// Size in KiB.
    pub size_kib: i64,
    /// Flag words.
    pub flags: Vec<String>,
    /// Properties.
    pub props: BTreeMap<String, String>,
    /// A fixed DRBD minor.
    pub drbd_minor_number: Option<i64>,
    /// The pass phrase that came with it, as far as it could be sealed (its text does not belong into a command).
    pub passphrase: Given,
}

/// A replica in a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ResourceInput {
    /// Node.
    pub node: String,
    /// Flag words, e.g. `DISKLESS`.
    pub flags: Vec<String>,
    /// Properties, e.g. `StorPoolName`.
    pub props: BTreeMap<String, String>,
    /// Layers; empty: the definition's.
    pub layer_list: Vec<String>,
    /// A fixed DRBD node id.
    pub drbd_node_id: Option<i64>,
    /// Fixed DRBD ports.
    pub drbd_tcp_ports: Vec<i64>,
}

/// A select filter as it comes in: words are not judged yet. A field that is `None` stays or inherits; an empty list clears.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FilterRequest {
    /// The fields that need no judgement.
    pub filter: SelectFilter,
    /// Layer words; `None`: not given; empty: clear.
    pub layer_stack: Option<Vec<String>>,
    /// Provider words; `None`: not given; empty: clear.
    pub provider_list: Option<Vec<String>>,
}

/// A pass phrase of a request, which the shell has sealed by the master key. The log keeps that there was one, and no more.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// None was given.
    #[default]
    Nothing,
    /// One was given, and the master key is not there to seal it.
    Locked,
    /// One was given and sealed.
    Sealed(#[serde(skip)] Sealed),
}

/// One snapshot of several that are taken together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SnapshotInput {
    /// Resource definition.
    pub resource: String,
    /// Name of the snapshot.
    pub name: String,
    /// Nodes; empty: every diskful one.
    pub nodes: Vec<String>,
    /// Properties.
    pub props: BTreeMap<String, String>,
}
