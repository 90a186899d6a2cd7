//! Placement: which nodes and pools get new replicas, and why the others do not.
//!
//! Pure and in three steps: every node and pool is judged by itself (`filter`), what is left is ordered by its free space,
//! ties by name, and the best that keep the rules together are taken (`select`). Rules: REST API v1, autoplacer.

mod filter;
mod pools;
mod query;
mod select;
mod space;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::{ResourceFlag, VolumeDefinitionFlag};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::{Resource, ResourceDefinition, SelectFilter, StorPool};
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::reply::Reply;
use berth_model::size::Kib;

pub use filter::node_fits;
pub use pools::{pool_on, resolve_pool};
pub use query::{MaxVolume, SizeInfo, SpawnPlace, query_max_volume_size, query_size_info};
pub use space::{DEFAULT_OVERSUBSCRIPTION, Ratios, Space, ratios, room_for, space};

use crate::draft::Refused;
use crate::{sizes, stack};

/// Most lines of "who fell out and why" in an error.
const MOST_REASONS: usize = 40;

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
    /// Where it may go; amounts and layers of it are not read.
    pub filter: &'a SelectFilter,
    /// Number of new replicas.
    pub count: usize,
    /// Layers that nodes must be able to do.
    pub layers: &'a [LayerKind],
    /// The volumes of each replica; all must fit into one pool.
    pub volumes: Vec<VolumeWish>,
    /// DRBD peer slots of each replica.
    pub peers: u8,
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
}

/// A choice, and why each other place fell out.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    /// As many places as were asked for, in the order of their nodes.
    pub chosen: Vec<Chosen>,
    /// The others.
    pub tried: Vec<Tried>,
}

/// Why a node or pool is no place for a replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its satellite cannot be used now.
    #[error("not online ({0})")]
    NotOnline(ConnectionStatus),
    /// It is being deleted, evacuated or was evicted.
    #[error("marked {0}")]
    Leaving(&'static str),
    /// Other nodes were named.
    #[error("not among the nodes asked for")]
    NodeNotListed,
    /// `AutoplaceTarget` says no.
    #[error("AutoplaceTarget is off")]
    NotTarget,
    /// It has a replica of the definition.
    #[error("has a replica already")]
    Occupied,
    /// It has a resource that must not be beside.
    #[error("has the resource '{0}'")]
    Beside(String),
    /// It cannot do a layer.
    #[error("cannot do {0}{sep}{1}", sep = if .1.is_empty() { "" } else { ": " })]
    LacksLayer(LayerKind, String),
    /// A property is not what it must be.
    #[error("{key} is {found}, wanted {wanted}")]
    WrongValue {
        /// The property.
        key: String,
        /// Its value, or `unset`.
        found: String,
        /// The value that it must have.
        wanted: String,
    },
    /// A property is unset that all nodes must have alike.
    #[error("{0} is unset")]
    NoValue(String),
    /// A property has a value that must not be.
    #[error("{key} is {value}, which is excluded")]
    ExcludedValue {
        /// The property.
        key: String,
        /// The value.
        value: String,
    },
    /// Another replica is on a node with the same value.
    #[error("a replica is on a node with {key} {value} already")]
    ValueTaken {
        /// The property.
        key: String,
        /// The value.
        value: String,
    },
    /// It has no pool with storage.
    #[error("has no storage pool")]
    NoPool,
    /// Other pools were named.
    #[error("not among the pools asked for")]
    PoolNotListed,
    /// Other providers were named.
    #[error("provider {0} was not asked for")]
    Provider(ProviderKind),
    /// The pool cannot be used.
    #[error("in trouble: {0}")]
    Faulty(String),
    /// Its free space is not known.
    #[error("free space is not known")]
    UnknownSpace,
    /// Too little space.
    #[error("{free} free, {needed} needed")]
    NoSpace {
        /// What the pool may still promise.
        free: Kib,
        /// What all volumes of a replica need.
        needed: Kib,
    },
    /// No pool can hold such a volume.
    #[error("{0}")]
    Size(sizes::SizeError),
    /// Replicas must not mix these providers.
    #[error("provider {0} does not mix with {1}")]
    Mixes(ProviderKind, ProviderKind),
    /// Another replica lies in the same shared space.
    #[error("shares its space with another replica")]
    SharedSpace,
    /// It fits by itself, but not together with enough others.
    #[error("fits, but not with enough others")]
    NotTogether,
    /// It fits; others have more space.
    #[error("fits, others have more free space")]
    Outranked,
}

/// Why nothing was placed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlaceError {
    /// Fewer fitting places than replicas asked for.
    #[error("{wanted} places wanted, {fitting} nodes fit")]
    TooFew {
        /// New replicas that were asked for.
        wanted: usize,
        /// Nodes that fit each by itself.
        fitting: usize,
        /// Why each place was not taken.
        tried: Vec<Tried>,
    },
    /// The replicas that are there break the rule that new ones shall keep.
    #[error("replicas are on nodes with different values of {key}: {values}")]
    Undecidable {
        /// The property that must be alike.
        key: String,
        /// The values that it has.
        values: String,
    },
    /// A text that is no regular expression.
    #[error("'{text}' is not a regular expression: {why}")]
    BadRegex {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Chooses places for new replicas.
///
/// # Errors
/// [`PlaceError`]; `tried` says why each place fell out.
pub fn place(cluster: &Cluster, observed: &Observed, request: &Request<'_>) -> Result<Placement, PlaceError> {
    let rules = select::Rules::new(cluster, request)?;
    let mut found = filter::candidates(cluster, observed, request, &rules)?;
    found
        .fitting
        .sort_by(|a, b| b.free.cmp(&a.free).then_with(|| a.node.name.cmp(&b.node.name)).then_with(|| a.pool.name.cmp(&b.pool.name)));
    match select::select(&found.fitting, request.count, &rules) {
        Some(indices) => {
            let mut taken = vec![false; found.fitting.len()];
            let mut chosen = Vec::with_capacity(indices.len());
            for index in indices {
                if let (Some(candidate), Some(flag)) = (found.fitting.get(index), taken.get_mut(index)) {
                    *flag = true;
                    chosen.push(Chosen { node: candidate.node.name.clone(), pool: candidate.pool.clone(), free: candidate.free });
                }
            }
            chosen.sort_by(|a, b| a.node.cmp(&b.node));
            found.rest(Refusal::Outranked, |index| taken.get(index) == Some(&false));
            Ok(Placement { chosen, tried: found.tried })
        }
        None => {
            let mut nodes: Vec<&NodeName> = found.fitting.iter().map(|candidate| &candidate.node.name).collect();
            nodes.sort();
            nodes.dedup();
            let fitting = nodes.len();
            found.rest(Refusal::NotTogether, |_| true);
            Err(PlaceError::TooFew { wanted: request.count, fitting, tried: found.tried })
        }
    }
}

/// The nodes for diskless replicas, those with the fewest resources first; at least as many as asked for.
///
/// # Errors
/// [`PlaceError`]; `tried` says why each node fell out.
pub fn place_diskless(cluster: &Cluster, observed: &Observed, request: &Request<'_>) -> Result<Vec<NodeName>, PlaceError> {
    let rules = select::Rules::new(cluster, request)?;
    let (mut nodes, tried) = filter::nodes(cluster, observed, request, &rules)?;
    nodes.sort_by_key(|node| (cluster.count_on(node), node.clone()));
    if nodes.len() < request.count {
        return Err(PlaceError::TooFew { wanted: request.count, fitting: nodes.len(), tried });
    }
    Ok(nodes)
}

/// Whether any node that may take replicas can do a layer.
#[must_use]
pub fn any_can(cluster: &Cluster, observed: &Observed, filter: &SelectFilter, layer: LayerKind) -> bool {
    let can = |node: &NodeName| stack::capabilities(observed, node).is_some_and(|able| able.layers.contains(&layer));
    cluster.nodes.values().any(|node| node_fits(observed, node, filter).is_ok() && can(&node.name))
}

/// The replicas of a definition that hold data and stay.
pub(crate) fn diskful<'c>(cluster: &'c Cluster, definition: &'c ResourceDefinition) -> impl Iterator<Item = &'c Arc<Resource>> {
    let leaving = [ResourceFlag::Delete, ResourceFlag::Diskless, ResourceFlag::Evacuate, ResourceFlag::Evicted];
    cluster.replicas(&definition.name).filter(move |replica| !leaving.iter().any(|flag| replica.flags.has(*flag)))
}

/// The answer to a placement that failed: 996, 985 or 234, with the criteria and why each place fell out.
#[must_use]
pub fn refusal(error: &PlaceError, request: &Request<'_>) -> Refused {
    let what = request.definition.map_or_else(|| "a new resource".to_owned(), |definition| format!("'{}'", definition.name));
    let reply = match error {
        PlaceError::TooFew { wanted, fitting, tried } => {
            let mut details = criteria(request, *wanted);
            for one in tried.iter().take(MOST_REASONS) {
                let place = one.pool.as_ref().map_or_else(|| one.node.to_string(), |pool| format!("{}, pool {pool}", one.node));
                details.push(format!("{place}: {}", one.why));
            }
            if let Some(more) = tried.len().checked_sub(MOST_REASONS).filter(|more| *more > 0) {
                details.push(format!("and {more} others"));
            }
            Reply::new(Code::FAIL_NOT_ENOUGH_NODES, format!("Not enough nodes for {what}: {wanted} wanted, {fitting} fit."))
                .cause("Fewer nodes fulfil the criteria than replicas were asked for.")
                .correction("Add nodes or storage pools, free space, ask for fewer replicas, or loosen the criteria.")
                .details(details.join("\n"))
        }
        PlaceError::Undecidable { key, values } => Reply::new(
            Code::FAIL_UNDECIDABLE_AUTOPLACMENT,
            format!("No place keeps the replicas of {what} on nodes with one value of {key}."),
        )
        .cause(format!("They are on nodes with different values: {values}."))
        .correction("Leave this criterion out, or move replicas until the values agree."),
        PlaceError::BadRegex { text, why } => Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is not a regular expression."))
            .cause(why.clone())
            .correction("Mend not_place_with_rsc_regex, or leave it out."),
    };
    reply.into()
}

fn criteria(request: &Request<'_>, wanted: usize) -> Vec<String> {
    let filter = request.filter;
    let mut lines = vec![format!("New replicas: {wanted}")];
    let mut add = |name: &str, values: Option<&Vec<String>>| {
        if let Some(values) = values.filter(|values| !values.is_empty()) {
            lines.push(format!("{name}: {}", values.join(", ")));
        }
    };
    add("Nodes", filter.node_name_list.as_ref());
    add("Storage pools", filter.storage_pool_list.as_ref());
    add("Not beside the resources", filter.not_place_with_rsc.as_ref());
    add("On nodes with the same", filter.replicas_on_same.as_ref());
    add("On nodes with different", filter.replicas_on_different.as_ref());
    if let Some(regex) = &filter.not_place_with_rsc_regex {
        lines.push(format!("Not beside resources that match: {regex}"));
    }
    for (key, most) in filter.x_replicas_on_different_map.iter().flatten() {
        lines.push(format!("At most {most} for each value of: {key}"));
    }
    if let Some(kinds) = filter.provider_list.as_ref().filter(|kinds| !kinds.is_empty()) {
        lines.push(format!("Providers: {}", kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")));
    }
    if !request.layers.is_empty() {
        lines.push(format!("Layers: {}", stack::text(request.layers)));
    }
    if !request.volumes.is_empty() {
        let sum: Kib = request.volumes.iter().map(|volume| volume.size).sum();
        lines.push(format!("Space in one pool: {sum}"));
    }
    lines
}
