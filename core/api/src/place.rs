//! Where something would be placed (`/v1/berth/place`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::group::AutoSelectFilterIn;
use crate::lenient::{Flag, Int, Text};
use crate::reply::ApiCallRc;

/// The question; which members are read depends on `what`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlaceQuestion {
    /// `new` (if not given), `resource`, `available`, `clone`, `restore`, `adjust`, `group` or `move`.
    pub what: Option<Text>,
    /// The definition.
    pub resource: Option<Text>,
    /// The resource group.
    pub group: Option<Text>,
    /// The node of `available`.
    pub node: Option<Text>,
    /// The snapshot of `restore`.
    pub snapshot: Option<Text>,
    /// Only these nodes, for `restore`.
    pub nodes: Option<Vec<Text>>,
    /// Sizes of the volumes of `new`, in KiB.
    pub volume_sizes: Option<Vec<Int>>,
    /// Whether there may be more or fewer sizes than volume groups.
    pub partial: Option<Flag>,
    /// With a disk, for `available`.
    pub diskful: Option<Flag>,
    /// Layers; win over those of the filter.
    pub layer_list: Option<Vec<Text>>,
    /// Whether every other node gets a diskless replica; wins over the filter.
    pub diskless_on_remaining: Option<Flag>,
    /// Where it may go, in place of what the group says.
    #[serde(deserialize_with = "crate::lenient::object")]
    pub select_filter: Option<AutoSelectFilterIn>,
}

/// What would come of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PlaceAnswer {
    /// Whether the request would be taken.
    pub possible: bool,
    /// What the placer would be asked, and its answers; none: nothing would have to be placed.
    pub placements: Vec<PlacementDocument>,
    /// The entries that the request's answer would begin with.
    pub replies: Vec<ApiCallRc>,
}

/// One question to the placer, with its answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PlacementDocument {
    /// For which definition; `null`: for a new one.
    pub resource_name: Option<String>,
    /// `disks`, `diskless`, or `copies` (where the data to copy lies).
    pub kind: &'static str,
    /// How many places are wanted; `null`: as many as fit.
    pub wanted: Option<usize>,
    /// Layers of each replica, from top to bottom.
    pub layers: Vec<&'static str>,
    /// Sizes of the volumes of each replica, in KiB.
    pub volume_sizes_kib: Vec<u64>,
    /// Why nothing is placed; `null`: it is.
    pub failed: Option<String>,
    /// Every place: those that are chosen, those that would do, those that a rule excludes.
    pub places: Vec<PlaceDocument>,
}

/// A place and what becomes of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PlaceDocument {
    /// The node.
    pub node_name: String,
    /// The pool; `null`: the whole node.
    pub storage_pool_name: Option<String>,
    /// The pool's provider.
    pub provider_kind: Option<&'static str>,
    /// `chosen`, `fits` or `excluded`.
    pub verdict: &'static str,
    /// What the strategies gave it; `null`: it was not weighed.
    pub score: Option<f64>,
    /// What the pool may still promise, in KiB; `null`: unknown.
    pub free_kib: Option<u64>,
    /// The rule that excluded it, as one word.
    pub rule: &'static str,
    /// The same for people.
    pub reason: String,
}
