//! Why a place fell out, why a placement failed, and the answer that says so.

use berth_model::codes::Code;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::StorPoolName;
use berth_model::observed::ConnectionStatus;
use berth_model::reply::Reply;
use berth_model::size::Kib;

use super::{Request, Tried};
use crate::draft::Refused;
use crate::{sizes, stack};

/// Most places with a line of their own in an error; where there are more, each rule has one.
pub(crate) const MOST_REASONS: usize = 40;

/// Why a node or pool is no place for a replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its satellite cannot be used now.
    #[error("not online ({0})")]
    NotOnline(ConnectionStatus),
    /// It is being deleted, evacuated or was evicted.
    #[error("marked {0}")]
    Leaving(&'static str),
    /// The request leaves it out.
    #[error("left out by the request")]
    Excluded,
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
    /// A thin pool that shall not get any fuller.
    #[error("{free} free, less than {least} (Autoplacer/MinThinFreeSpace)")]
    LowOnSpace {
        /// What is free.
        free: Kib,
        /// What must be.
        least: Kib,
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
    /// Another pool of its node was chosen.
    #[error("pool {0} of the node was chosen")]
    OtherPool(StorPoolName),
    /// It fits by itself, but not together with enough others.
    #[error("fits, but not with enough others")]
    NotTogether,
    /// It fits; others score higher.
    #[error("fits, others score higher")]
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
    /// The rules contradict each other: no place could ever be chosen.
    #[error("{0}")]
    Contradiction(String),
    /// The search was given up before it had found anything.
    #[error("{wanted} places wanted; whether there are any was too hard to decide by these rules together: {rules}")]
    TooHard {
        /// New replicas that were asked for.
        wanted: usize,
        /// The rules among replicas that were searched by.
        rules: String,
        /// Why each place was not taken.
        tried: Vec<Tried>,
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

/// The answer to a placement that failed: 996, 985 or 234, with the criteria and why each place fell out.
#[must_use]
pub fn refusal(error: &PlaceError, request: &Request<'_>) -> Refused {
    let what = request.definition.map_or_else(|| "a new resource".to_owned(), |definition| format!("'{}'", definition.name));
    let reply = match error {
        PlaceError::TooFew { wanted, fitting, tried } => {
            let details = details(request, *wanted, tried);
            Reply::new(
                Code::FAIL_NOT_ENOUGH_NODES,
                format!("Not enough nodes for {what}: {} wanted, {fitting} fit.", if *wanted == super::ALL { 1 } else { *wanted }),
            )
            .cause("Fewer nodes fulfil the criteria than replicas were asked for.")
            .correction("Add nodes or storage pools, free space, ask for fewer replicas, or loosen the criteria.")
            .details(details)
        }
        PlaceError::TooHard { wanted, rules, tried } => {
            Reply::new(Code::FAIL_NOT_ENOUGH_NODES, format!("No place for {what} was found: the rules together are too hard to decide."))
                .cause(format!("The search was given up. It looked for nodes by these rules at once: {rules}."))
                .correction("Leave one of these rules out, or name the nodes.")
                .details(details(request, *wanted, tried))
        }
        PlaceError::Contradiction(why) => {
            Reply::new(Code::FAIL_INVLD_REQUEST, format!("The rules for placing {what} contradict each other."))
                .cause(why.clone())
                .correction("Change or leave out one of these rules.")
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

/// The criteria, and why each place fell out, line by line.
fn details(request: &Request<'_>, wanted: usize, tried: &[Tried]) -> String {
    let mut lines = criteria(request, wanted);
    lines.extend(crate::places::lines(tried, MOST_REASONS));
    lines.join("\n")
}

fn criteria(request: &Request<'_>, wanted: usize) -> Vec<String> {
    let filter = request.filter;
    let mut lines = vec![if wanted == super::ALL { "New replicas: as many as fit".to_owned() } else { format!("New replicas: {wanted}") }];
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
