//! Placement: which nodes and pools get new replicas, and why the others do not. Pure: the same input gives the same answer.
//!
//! 1. Every node and every pool is judged by itself (`filter`); the first rule that it breaks, in a fixed order, is its [`Refusal`].
//! 2. What fits is scored by four weighted strategies (`score`) and ordered: higher score, then node, then pool.
//! 3. Of all sets of the wanted size that keep the rules among replicas, the one with the highest sum of scores is chosen (`search`).
//!    Of several with the same sum it is the first one: each set is written in the order of step 2, and these rows are compared place by
//!    place, the earlier place first.
//!
//! Rules: REST API v1, autoplacer.

mod filter;
pub mod mixing;
mod pools;
mod query;
mod refusal;
mod rules;
mod score;
mod search;
mod space;
#[cfg(test)]
mod tests;
mod thin;
mod throughput;

use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::flags::{ResourceFlag, VolumeDefinitionFlag};
use berth_model::layers::LayerKind;
use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::{Resource, ResourceDefinition, ResourceGroup, SelectFilter, StorPool};
use berth_model::observed::Observed;
use berth_model::size::Kib;

pub use filter::{check_expression, node_fits};
pub use pools::resolve_pool;
pub use query::{MaxVolume, SizeInfo, SpawnPlace, query_max_volume_size, query_size_info};
pub(crate) use refusal::MOST_REASONS;
pub use refusal::{PlaceError, Refusal, refusal};
pub use score::Score;
pub use space::{DEFAULT_OVERSUBSCRIPTION, Ratios, Space, ratios, room_for, space};

use self::mixing::Mixing;
use self::rules::Rules;
use self::search::Search;
use crate::{numbers, sizes};

/// As a [`Request::count`]: as many as fit together.
pub const ALL: usize = usize::MAX;

/// A volume to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeWish {
    /// Its size.
    pub size: Kib,
    /// Whether that is the size of the backing volume.
    pub gross: bool,
}

/// What is to be placed, and where it may go.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Its definition; `None`: a question about something that does not exist.
    pub definition: Option<&'a ResourceDefinition>,
    /// The group whose properties hold; `None`: that of the definition, if there is one.
    pub group: Option<&'a ResourceGroup>,
    /// Where it may go; amounts and layers of it are not read.
    pub filter: &'a SelectFilter,
    /// Number of new replicas, or [`ALL`].
    pub count: usize,
    /// Layers that nodes must be able to do.
    pub layers: &'a [LayerKind],
    /// The volumes of each replica; all must fit into one pool.
    pub volumes: Vec<VolumeWish>,
    /// DRBD peer slots of each replica.
    pub peers: u8,
    /// Nodes whose replicas go away: the rules do not count these. The nodes themselves are no places, as long as the replicas are there.
    pub leaving: &'a [NodeName],
    /// Nodes that are no places.
    pub exclude: &'a [NodeName],
    /// Whether a node with a diskless replica of the definition is a place: the caller gives that replica a disk (see [`Chosen::convert`]).
    /// A node with its tiebreaker always is: that is in nobody's way.
    pub convert: bool,
}

impl<'a> Request<'a> {
    /// `count` replicas of a definition with its volumes, anywhere that `filter` allows.
    #[must_use]
    pub fn new(
        cluster: &Cluster,
        definition: &'a ResourceDefinition,
        filter: &'a SelectFilter,
        count: usize,
        layers: &'a [LayerKind],
    ) -> Self {
        let peers = numbers::peer_slots(cluster, definition);
        Self { definition: Some(definition), volumes: wishes(definition), peers, ..Self::question(None, filter, count, layers) }
    }

    /// `count` replicas of something that does not exist and has no volumes, for a question.
    #[must_use]
    pub fn question(group: Option<&'a ResourceGroup>, filter: &'a SelectFilter, count: usize, layers: &'a [LayerKind]) -> Self {
        Self {
            definition: None,
            group,
            filter,
            count,
            layers,
            volumes: Vec::new(),
            peers: sizes::DEFAULT_PEERS,
            leaving: &[],
            exclude: &[],
            convert: false,
        }
    }
}

/// The volumes of a definition as wishes.
#[must_use]
pub fn wishes(definition: &ResourceDefinition) -> Vec<VolumeWish> {
    let wish = |volume: &berth_model::objects::VolumeDefinition| VolumeWish {
        size: volume.size_kib,
        gross: volume.flags.has(VolumeDefinitionFlag::GrossSize),
    };
    definition.volumes.values().map(wish).collect()
}

/// A place that was chosen.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The node.
    pub node: NodeName,
    /// The pool for all volumes.
    pub pool: Arc<StorPool>,
    /// What the pool may still promise (oversubscription included).
    pub free: Kib,
    /// What speaks for it, compared with the other places that fit.
    pub score: Score,
    /// Whether the node has a diskless replica of the definition, which is to get a disk. Only where [`Request::convert`] is set, or
    /// where that is its tiebreaker.
    pub convert: bool,
}

/// A place that was not chosen.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The node.
    pub node: NodeName,
    /// The pool; `None`: the whole node.
    pub pool: Option<StorPoolName>,
    /// Why.
    pub why: Refusal,
    /// What the pool may still promise; `None`: not known, or its node fell out.
    pub free: Option<Kib>,
    /// What speaks for it; `None`: it does not fit by itself.
    pub score: Option<Score>,
}

/// A choice, and why each other place fell out.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    /// As many places as were asked for, in the order of their nodes.
    pub chosen: Vec<Chosen>,
    /// The others, by node and pool.
    pub tried: Vec<Tried>,
    /// Sum of the scores of what was chosen.
    pub total: Score,
    /// What the operator should know of how it was chosen, one sentence each.
    pub notes: Vec<String>,
}

/// Chooses places for new replicas that hold data.
///
/// # Errors
/// [`PlaceError`]; `tried` says why each place fell out.
pub fn place(cluster: &Cluster, observed: &Observed, request: &Request<'_>) -> Result<Placement, PlaceError> {
    decide(cluster, observed, request, Kind::Diskful)
}

/// Chooses places for new diskless replicas: nodes with a pool of kind `DISKLESS`, those of `storage_pool_diskless_list` if it names any.
/// Space and the lists of pools and providers do not count; the node with the fewest replicas scores highest.
///
/// # Errors
/// [`PlaceError`]; `tried` says why each place fell out.
pub fn place_diskless(cluster: &Cluster, observed: &Observed, request: &Request<'_>) -> Result<Placement, PlaceError> {
    decide(cluster, observed, request, Kind::Diskless)
}

/// What is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A replica with data.
    Diskful,
    /// One without.
    Diskless,
}

fn decide(cluster: &Cluster, observed: &Observed, request: &Request<'_>, kind: Kind) -> Result<Placement, PlaceError> {
    let mixing = Mixing::of(cluster, observed, request.definition, request.group);
    let rules = Rules::new(cluster, request, kind, mixing)?;
    let mut found = filter::candidates(cluster, observed, request, (&rules, mixing), kind)?;
    found.score(cluster);
    match search::select(&found.fitting, &found.classes, request.count, &rules) {
        Search::Found { picked, proven } => {
            if !proven {
                found.notes.push(format!(
                    "The search was given up before all choices were seen; there may be a better one by these rules: {}.",
                    rules.words()
                ));
            }
            Ok(found.chosen(&picked, &rules))
        }
        Search::Nothing => {
            let fitting = found.nodes();
            Err(PlaceError::TooFew { wanted: request.count, fitting, tried: found.none() })
        }
        Search::GaveUp => Err(PlaceError::TooHard { wanted: request.count, rules: rules.words(), tried: found.none() }),
    }
}

/// Whether any node that may take replicas can do a layer.
#[must_use]
pub fn any_can(cluster: &Cluster, observed: &Observed, filter: &SelectFilter, layer: LayerKind) -> bool {
    // What no machine can do is found out without a look at the nodes' objects.
    let able = observed.nodes.iter().filter(|(_, seen)| seen.capabilities.as_ref().is_some_and(|able| able.layers.contains(&layer)));
    able.filter_map(|(name, _)| cluster.nodes.get(name)).any(|node| node_fits(observed, node, filter).is_ok())
}

/// The replicas of a definition that hold data and stay.
pub(crate) fn diskful<'c>(cluster: &'c Cluster, definition: &'c ResourceDefinition) -> impl Iterator<Item = &'c Arc<Resource>> {
    let leaving = [ResourceFlag::Delete, ResourceFlag::Diskless, ResourceFlag::Evacuate, ResourceFlag::Evicted];
    cluster.replicas(&definition.name).filter(move |replica| !leaving.iter().any(|flag| replica.flags.has(*flag)))
}
