//! Choosing among places that fit each by itself: the best that keep the rules together.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::cluster::Cluster;
use berth_model::layers::ProviderKind;
use berth_model::names::NodeName;
use berth_model::objects::{Node, StorPool};

use super::filter::Candidate;
use super::score::Score;
use super::{PlaceError, Refusal, Request, diskful};

/// Steps after which a search gives up: rules that contradict each other must not hold up the cluster.
const MOST_STEPS: usize = 50_000;

/// What new replicas must keep among themselves and with those that are there.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Keys with the one value that is allowed.
    fixed: Vec<(String, String)>,
    /// Keys with a value that is not allowed.
    excluded: Vec<(String, String)>,
    /// Keys that all must have alike, not fixed yet.
    same: Vec<String>,
    /// Keys in which all must differ, with the values that are taken.
    different: Vec<(String, BTreeSet<String>)>,
    /// Keys with the most replicas for each value, and how many each value has.
    limited: Vec<(String, usize, BTreeMap<String, usize>)>,
    /// Kinds of pools that hold replicas.
    kinds: BTreeSet<ProviderKind>,
    /// Shared spaces that hold replicas.
    spaces: BTreeSet<String>,
}

fn split(rule: &str) -> (&str, Option<&str>) {
    match rule.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (rule, None),
    }
}

fn space_of(pool: &StorPool) -> Option<String> {
    pool.shared_space.as_ref().map(|space| space.as_str().to_ascii_uppercase())
}

impl Rules {
    pub(super) fn new(cluster: &Cluster, request: &Request<'_>) -> Result<Self, PlaceError> {
        let replicas: Vec<_> = request.definition.into_iter().flat_map(|definition| diskful(cluster, definition)).collect();
        let replicas: Vec<_> = replicas.into_iter().filter(|replica| !request.leaving.contains(&replica.node)).collect();
        let nodes: Vec<_> = replicas.iter().filter_map(|replica| cluster.nodes.get(&replica.node)).collect();
        let mut rules = Self::default();
        for rule in request.filter.replicas_on_same.iter().flatten() {
            let (key, value) = split(rule);
            let present: BTreeSet<&str> = nodes.iter().filter_map(|node| node.props.get(key)).collect();
            let mut present = present.into_iter();
            match (value, present.next(), present.next()) {
                (Some(value), ..) => rules.fixed.push((key.to_owned(), value.to_owned())),
                (None, None, _) => rules.same.push(key.to_owned()),
                (None, Some(value), None) => rules.fixed.push((key.to_owned(), value.to_owned())),
                (None, Some(first), Some(second)) => {
                    let values = [first, second].into_iter().chain(present).collect::<Vec<_>>().join(", ");
                    return Err(PlaceError::Undecidable { key: key.to_owned(), values });
                }
            }
        }
        for rule in request.filter.replicas_on_different.iter().flatten() {
            let (key, value) = split(rule);
            match value {
                Some(value) => rules.excluded.push((key.to_owned(), value.to_owned())),
                None => {
                    let taken = nodes.iter().filter_map(|node| node.props.get(key)).map(str::to_owned).collect();
                    rules.different.push((key.to_owned(), taken));
                }
            }
        }
        for (key, most) in request.filter.x_replicas_on_different_map.iter().flatten() {
            let mut counts = BTreeMap::new();
            for value in nodes.iter().filter_map(|node| node.props.get(key)) {
                *counts.entry(value.to_owned()).or_insert(0) += 1;
            }
            rules.limited.push((key.clone(), usize::try_from(*most).unwrap_or(0), counts));
        }
        for replica in &replicas {
            for volume in replica.volumes.values().filter(|volume| volume.provider != ProviderKind::Diskless) {
                rules.kinds.insert(volume.provider);
                rules.spaces.extend(cluster.pool(&replica.node, &volume.pool).and_then(|pool| space_of(pool)));
            }
        }
        Ok(rules)
    }

    /// Judges a node by itself.
    pub(super) fn judge(&self, node: &Node) -> Result<(), Refusal> {
        for (key, wanted) in &self.fixed {
            let found = node.props.get(key);
            if found != Some(wanted.as_str()) {
                let found = found.unwrap_or("unset").to_owned();
                return Err(Refusal::WrongValue { key: key.clone(), found, wanted: wanted.clone() });
            }
        }
        if let Some((key, value)) = self.excluded.iter().find(|(key, value)| node.props.get(key) == Some(value.as_str())) {
            return Err(Refusal::ExcludedValue { key: key.clone(), value: value.clone() });
        }
        if let Some(key) = self.same.iter().find(|key| node.props.get(key).is_none()) {
            return Err(Refusal::NoValue(key.clone()));
        }
        let taken = |key: &String, value: &str| Err(Refusal::ValueTaken { key: key.clone(), value: value.to_owned() });
        for (key, values) in &self.different {
            if let Some(value) = node.props.get(key).filter(|value| values.contains(*value)) {
                return taken(key, value);
            }
        }
        for (key, most, counts) in &self.limited {
            if let Some(value) = node.props.get(key).filter(|value| counts.get(*value).copied().unwrap_or(0) >= *most) {
                return taken(key, value);
            }
        }
        Ok(())
    }

    /// Judges a pool by itself.
    pub(super) fn judge_pool(&self, pool: &StorPool) -> Result<(), Refusal> {
        if let Some(kind) = self.kinds.iter().find(|kind| !mixes(**kind, pool.provider)) {
            return Err(Refusal::Mixes(pool.provider, *kind));
        }
        if space_of(pool).is_some_and(|space| self.spaces.contains(&space)) {
            return Err(Refusal::SharedSpace);
        }
        Ok(())
    }

    /// Whether `one` may be chosen beside those that are.
    fn joins(&self, one: &Candidate<'_>, chosen: &[&Candidate<'_>]) -> bool {
        let differ = |key: &String| {
            let value = one.node.props.get(key);
            value.is_none() || chosen.iter().all(|other| other.node.props.get(key) != value)
        };
        let within = |key: &String, most: usize, counts: &BTreeMap<String, usize>| {
            let Some(value) = one.node.props.get(key) else { return true };
            let here = chosen.iter().filter(|other| other.node.props.get(key) == Some(value)).count();
            counts.get(value).copied().unwrap_or(0) + here < most
        };
        let space = space_of(one.pool);
        chosen.iter().all(|other| {
            other.node.name != one.node.name
                && mixes(other.pool.provider, one.pool.provider)
                && (space.is_none() || space_of(other.pool) != space)
                && self.same.iter().all(|key| other.node.props.get(key) == one.node.props.get(key))
        }) && self.different.iter().all(|(key, _)| differ(key))
            && self.limited.iter().all(|(key, most, counts)| within(key, *most, counts))
    }

    /// Whether a complete choice is sound: of each limited key at most one value has fewer replicas than it may.
    fn complete(&self, chosen: &[&Candidate<'_>]) -> bool {
        self.limited.iter().all(|(key, most, counts)| {
            let mut sums = counts.clone();
            for value in chosen.iter().filter_map(|one| one.node.props.get(key)) {
                *sums.entry(value.to_owned()).or_insert(0) += 1;
            }
            sums.values().filter(|sum| **sum < *most).count() <= 1
        })
    }
}

/// Whether replicas of one definition may lie in pools of these kinds (REST API v1: mixing of providers).
fn mixes(a: ProviderKind, b: ProviderKind) -> bool {
    use ProviderKind::{Diskless, EbsInit, EbsTarget, File, FileThin, Lvm, LvmThin, StorageSpaces, StorageSpacesThin, Zfs, ZfsThin};
    let volumes = |kind| matches!(kind, Lvm | LvmThin | Zfs | ZfsThin);
    let spaces = |kind| matches!(kind, StorageSpaces | StorageSpacesThin);
    match (a, b) {
        _ if a == b => true,
        (Diskless, _) | (_, Diskless) => true,
        (File, FileThin) | (FileThin, File) => true,
        (Zfs, ZfsThin) | (ZfsThin, Zfs) => true,
        (EbsInit, EbsTarget) | (EbsTarget, EbsInit) => true,
        (StorageSpaces, StorageSpacesThin) | (StorageSpacesThin, StorageSpaces) => true,
        _ => (volumes(a) && spaces(b)) || (spaces(a) && volumes(b)),
    }
}

/// Picks `count` of the places, which are in the order of preference; the indices of the choice.
pub(super) fn select(places: &[Candidate<'_>], count: usize, rules: &Rules) -> Option<Vec<usize>> {
    if count == 0 {
        return Some(Vec::new());
    }
    if count == super::ALL {
        let nodes: BTreeSet<&NodeName> = places.iter().map(|place| &place.node.name).collect();
        return (1..=nodes.len()).rev().find_map(|count| select(places, count, rules));
    }
    if rules.same.is_empty() {
        return search(places, &(0..places.len()).collect::<Vec<_>>(), count, rules);
    }
    // All must have one value of each of these keys: each combination is searched by itself, the one with the most space wins.
    let mut groups: BTreeMap<Vec<Option<&str>>, Vec<usize>> = BTreeMap::new();
    for (index, place) in places.iter().enumerate() {
        groups.entry(rules.same.iter().map(|key| place.node.props.get(key)).collect()).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    let mut best: Option<(Score, Vec<usize>)> = None;
    for group in groups {
        if let Some(choice) = search(places, &group, count, rules) {
            let total = choice.iter().filter_map(|index| places.get(*index)).map(|place| place.score).sum();
            if best.as_ref().is_none_or(|(most, _)| total > *most) {
                best = Some((total, choice));
            }
        }
    }
    best.map(|(_, choice)| choice)
}

/// The first sound choice in the order of preference, by depth-first search.
fn search(places: &[Candidate<'_>], among: &[usize], count: usize, rules: &Rules) -> Option<Vec<usize>> {
    let nodes: BTreeSet<&NodeName> = among.iter().filter_map(|index| places.get(*index)).map(|place| &place.node.name).collect();
    if nodes.len() < count {
        return None;
    }
    let mut picked: Vec<usize> = Vec::with_capacity(count);
    let mut chosen: Vec<&Candidate<'_>> = Vec::with_capacity(count);
    let mut next = 0;
    for _ in 0..MOST_STEPS {
        if chosen.len() == count {
            if rules.complete(&chosen) {
                return Some(picked.iter().filter_map(|at| among.get(*at)).copied().collect());
            }
        } else {
            let left = among.iter().enumerate().skip(next);
            let enough = among.len().saturating_sub(next) >= count - chosen.len();
            let mut fitting = left.filter_map(|(at, index)| places.get(*index).map(|place| (at, place)));
            if let Some((at, place)) = fitting.find(|(_, place)| rules.joins(place, &chosen)).filter(|_| enough) {
                picked.push(at);
                chosen.push(place);
                next = at + 1;
                continue;
            }
        }
        chosen.pop();
        next = picked.pop()? + 1;
    }
    None
}
