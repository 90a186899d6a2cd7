//! Why places were not taken, in few words: one line each while they are few, else one for each rule.

use berth_model::names::NodeName;

use super::{Asked, fits};
use crate::explain::decision::Note;
use crate::placement::{Refusal, Tried};

/// Names of places in one line.
const NAMES: usize = 5;

/// The word of a rule on the wire.
#[must_use]
pub const fn rule(why: &Refusal) -> &'static str {
    match why {
        Refusal::NotOnline(_) => "not_online",
        Refusal::Leaving(_) => "leaving",
        Refusal::Excluded => "excluded",
        Refusal::NodeNotListed => "node_not_listed",
        Refusal::NotTarget => "not_target",
        Refusal::Occupied => "occupied",
        Refusal::Beside(_) => "beside",
        Refusal::LacksLayer(..) => "lacks_layer",
        Refusal::WrongValue { .. } => "wrong_value",
        Refusal::NoValue(_) => "no_value",
        Refusal::ExcludedValue { .. } => "excluded_value",
        Refusal::ValueTaken { .. } => "value_taken",
        Refusal::NoPool => "no_pool",
        Refusal::PoolNotListed => "pool_not_listed",
        Refusal::Provider(_) => "provider",
        Refusal::Faulty(_) => "faulty",
        Refusal::UnknownSpace => "unknown_space",
        Refusal::NoSpace { .. } => "no_space",
        Refusal::LowOnSpace { .. } => "low_on_space",
        Refusal::OtherPool(_) => "other_pool",
        Refusal::Size(_) => "size",
        Refusal::Mixes(..) => "mixes",
        Refusal::SharedSpace => "shared_space",
        Refusal::NotTogether => "not_together",
        Refusal::Outranked => "outranked",
    }
}

/// What a rule is about, where the places that it excludes have different figures.
const fn in_general(why: &Refusal) -> &'static str {
    match why {
        Refusal::NotOnline(_) => "not online",
        Refusal::Leaving(_) => "on its way out",
        Refusal::Beside(_) => "has a resource that must not be beside",
        Refusal::LacksLayer(..) => "cannot do a layer",
        Refusal::WrongValue { .. } => "a property is not what it must be",
        Refusal::NoValue(_) => "a property is unset",
        Refusal::ExcludedValue { .. } => "a property has an excluded value",
        Refusal::ValueTaken { .. } => "a replica has the same value of a property",
        Refusal::Provider(_) => "the provider was not asked for",
        Refusal::Faulty(_) => "in trouble",
        Refusal::NoSpace { .. } => "too little space",
        Refusal::LowOnSpace { .. } => "less free space than thin pools must keep",
        Refusal::OtherPool(_) => "another pool of the node is taken",
        Refusal::Size(_) => "no such volume can be made",
        Refusal::Mixes(..) => "the provider does not mix with the others",
        Refusal::Excluded
        | Refusal::NodeNotListed
        | Refusal::NotTarget
        | Refusal::Occupied
        | Refusal::NoPool
        | Refusal::PoolNotListed
        | Refusal::UnknownSpace
        | Refusal::SharedSpace
        | Refusal::NotTogether
        | Refusal::Outranked => "",
    }
}

/// Places that one rule excludes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The word of the rule.
    pub rule: &'static str,
    /// How many places.
    pub count: usize,
    /// Whether they are whole nodes, and not pools.
    pub nodes: bool,
    /// The first of them, at most 5.
    pub first: Vec<String>,
    /// Why, for people.
    pub why: String,
}

impl Group {
    /// A line for people, such as `812 nodes (alpha, bravo, …): not among the nodes asked for`.
    #[must_use]
    pub fn line(&self) -> String {
        match (self.first.as_slice(), self.count) {
            ([only], 1) => format!("{only}: {}", self.why),
            (first, count) => {
                let more = if count > first.len() { ", …" } else { "" };
                format!("{count} {} ({}{more}): {}", if self.nodes { "nodes" } else { "pools" }, first.join(", "), self.why)
            }
        }
    }
}

fn place(one: &Tried) -> String {
    one.pool.as_ref().map_or_else(|| one.node.to_string(), |pool| format!("{}, pool {pool}", one.node))
}

/// The places by the rule that excludes them: those that fit first, then pools, then whole nodes; at most one group for each rule and
/// kind of place.
#[must_use]
pub fn groups(tried: &[Tried]) -> Vec<Group> {
    let mut found: Vec<(&Refusal, bool, Group)> = Vec::new();
    for one in tried {
        let (word, nodes) = (rule(&one.why), one.pool.is_none());
        match found.iter_mut().find(|(_, _, group)| group.rule == word && group.nodes == nodes) {
            Some((first, same, group)) => {
                group.count += 1;
                if group.first.len() < NAMES {
                    group.first.push(place(one));
                }
                *same = *same && **first == one.why;
            }
            None => {
                let group = Group { rule: word, count: 1, nodes, first: vec![place(one)], why: String::new() };
                found.push((&one.why, true, group));
            }
        }
    }
    found.sort_by_key(|(why, _, group)| (!fits(why), group.nodes));
    let named = |(why, same, group): (&Refusal, bool, Group)| {
        let why = if same { why.to_string() } else { format!("{}, e.g. {why}", in_general(why)) };
        Group { why, ..group }
    };
    found.into_iter().map(named).collect()
}

/// The reasons as lines: one for each place while there are at most `most`, else one for each rule.
#[must_use]
pub fn lines(tried: &[Tried], most: usize) -> Vec<String> {
    match tried.len() <= most {
        true => tried.iter().map(|one| format!("{}: {}", place(one), one.why)).collect(),
        false => groups(tried).iter().map(Group::line).collect(),
    }
}

/// What the log keeps of a placement: each place that was taken, and the others by the rule that excluded them.
#[must_use]
pub fn notes(asked: &[Asked]) -> Vec<Note> {
    let mut notes = Vec::new();
    for one in asked.iter().filter(|one| one.failed.is_none() && !one.chosen.is_empty()) {
        let resource = one.resource.as_ref().map(ToString::to_string).unwrap_or_default();
        let groups = groups(&one.tried);
        let fit: std::collections::BTreeSet<&NodeName> = one
            .tried
            .iter()
            .filter(|tried| fits(&tried.why))
            .map(|tried| &tried.node)
            .chain(one.chosen.iter().map(|place| &place.node))
            .collect();
        for place in &one.chosen {
            notes.push(Note::Chosen {
                resource: resource.clone(),
                node: place.node.to_string(),
                pool: place.pool.as_ref().map(ToString::to_string).unwrap_or_default(),
                free_kib: place.free.map(|free| free.0),
                score: place.score,
                wanted: one.wanted,
                fitting: fit.len(),
            });
        }
        notes.extend(groups.into_iter().map(|group| Note::PassedOver {
            resource: resource.clone(),
            rule: group.rule.to_owned(),
            count: group.count,
            first: group.first,
            cause: group.why,
        }));
    }
    notes
}
