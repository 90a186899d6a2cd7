//! The rules among replicas: what new ones must keep with each other and with those that are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::flags::ResourceFlag;
use berth_model::layers::ProviderKind;
use berth_model::objects::{Node, Resource, StorPool};

use super::filter::Candidate;
use super::mixing::{self, Mixing};
use super::{ALL, Kind, PlaceError, Refusal, Request};

/// At most so many replicas for each value of a key, and at most one value with some but fewer.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) key: String,
    pub(super) most: usize,
    /// How many replicas that are there each value has.
    pub(super) counts: BTreeMap<String, usize>,
}

/// What new replicas must keep among themselves and with those that are there.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Keys with the one value that is allowed.
    fixed: Vec<(String, String)>,
    /// Keys with a value that is not allowed.
    excluded: Vec<(String, String)>,
    /// Keys that all must have alike, not fixed yet.
    pub(super) same: Vec<String>,
    /// Keys in which all must differ, with the values that are taken.
    pub(super) different: Vec<(String, BTreeSet<String>)>,
    /// Keys with the most replicas for each value.
    pub(super) limited: Vec<Limit>,
    /// Kinds of pools that hold replicas.
    kinds: BTreeSet<mixing::Kind>,
    /// Shared spaces that hold replicas.
    spaces: BTreeSet<String>,
}

/// Numbers for the values that nodes are compared by, given out as they come: comparing is done with these.
#[derive(Debug, Default)]
pub(super) struct Classes<'n> {
    /// For each key.
    keys: Vec<HashMap<&'n str, usize>>,
    /// The last node's values and their numbers, which the next one often shares.
    last: (Vec<Option<&'n str>>, Rc<[Option<usize>]>),
}

impl<'n> Classes<'n> {
    /// The numbers of a node's values; `None`: unset.
    pub(super) fn of(&mut self, values: &[Option<&'n str>]) -> Rc<[Option<usize>]> {
        if self.last.0 == values {
            return self.last.1.clone();
        }
        self.keys.resize_with(values.len(), HashMap::new);
        let number = |(value, known): (&Option<&'n str>, &mut HashMap<&'n str, usize>)| {
            value.map(|value| {
                let next = known.len();
                *known.entry(value).or_insert(next)
            })
        };
        let classes: Rc<[Option<usize>]> = values.iter().zip(&mut self.keys).map(number).collect();
        self.last = (values.to_vec(), classes.clone());
        classes
    }

    /// The number of a value of the key at this place in the order of [`Rules::values`]; `None`: no candidate has it.
    pub(super) fn number(&self, key: usize, value: &str) -> Option<usize> {
        self.keys.get(key)?.get(value).copied()
    }
}

/// `Key` or `Key=Value`.
fn split(rule: &str) -> (&str, Option<&str>) {
    match rule.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (rule, None),
    }
}

/// The rules of a list; blank ones say nothing.
fn listed(list: Option<&Vec<String>>) -> impl Iterator<Item = (&str, Option<&str>)> {
    list.into_iter().flatten().map(|rule| rule.as_str()).filter(|rule| !rule.trim().is_empty()).map(split)
}

/// The name of the shared space of a pool, in upper case.
pub(super) fn space_of(pool: &StorPool) -> Option<String> {
    pool.shared_space.as_ref().map(|space| space.as_str().to_ascii_uppercase())
}

/// The replicas that stay and count for the rules: those with data; for a diskless one all.
fn counted<'c>(cluster: &'c Cluster, request: &Request<'_>, kind: Kind) -> Vec<&'c Arc<Resource>> {
    let leaving = [ResourceFlag::Delete, ResourceFlag::Evacuate, ResourceFlag::Evicted];
    let counts = |replica: &&Arc<Resource>| {
        !leaving.iter().any(|flag| replica.flags.has(*flag))
            && (kind == Kind::Diskless || !replica.flags.has(ResourceFlag::Diskless))
            && !request.leaving.contains(&replica.node)
    };
    request.definition.into_iter().flat_map(|definition| cluster.replicas(&definition.name)).filter(counts).collect()
}

impl Rules {
    pub(super) fn new(cluster: &Cluster, request: &Request<'_>, kind: Kind, mixing: Mixing<'_>) -> Result<Self, PlaceError> {
        let replicas = counted(cluster, request, kind);
        let nodes: Vec<&Node> = replicas.iter().filter_map(|replica| cluster.nodes.get(&replica.node)).map(AsRef::as_ref).collect();
        contradictions(request, kind, &nodes)?;
        let mut rules = Self::default();
        for (key, value) in listed(request.filter.replicas_on_same.as_ref()) {
            let present: BTreeSet<&str> = nodes.iter().filter_map(|node| node.props.get(key)).collect();
            let mut present = present.into_iter();
            let fixed = match (value, present.next(), present.next()) {
                (Some(value), ..) | (None, Some(value), None) => value,
                (None, None, _) => {
                    if !rules.same.iter().any(|one| one == key) {
                        rules.same.push(key.to_owned());
                    }
                    continue;
                }
                (None, Some(first), Some(second)) => {
                    let values = [first, second].into_iter().chain(present).collect::<Vec<_>>().join(", ");
                    return Err(PlaceError::Undecidable { key: key.to_owned(), values });
                }
            };
            rules.fixed.push((key.to_owned(), fixed.to_owned()));
        }
        for (key, value) in listed(request.filter.replicas_on_different.as_ref()) {
            match value {
                Some(value) => rules.excluded.push((key.to_owned(), value.to_owned())),
                None if rules.different.iter().any(|(one, _)| one == key) => {}
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
            rules.limited.push(Limit { key: key.clone(), most: usize::try_from(*most).unwrap_or(0), counts });
        }
        for replica in &replicas {
            for volume in replica.volumes.values().filter(|volume| volume.provider != ProviderKind::Diskless) {
                rules.kinds.insert(mixing.kind(&replica.node, volume.provider));
                rules.spaces.extend(cluster.pool(&replica.node, &volume.pool).and_then(|pool| space_of(pool)));
            }
        }
        Ok(rules)
    }

    /// Puts the values of a node that replicas are compared by into `values`: of the keys of `same`, `different` and `limited`, in this order.
    pub(super) fn values<'n>(&self, node: &'n Node, values: &mut Vec<Option<&'n str>>) {
        let same = self.same.iter();
        let different = self.different.iter().map(|(key, _)| key);
        let limited = self.limited.iter().map(|limit| &limit.key);
        values.clear();
        values.extend(same.chain(different).chain(limited).map(|key| node.props.get(key)));
    }

    /// Where the values of `different` begin among [`values`](Self::values), and those of `limited`.
    pub(super) fn begins(&self) -> (usize, usize) {
        (self.same.len(), self.same.len() + self.different.len())
    }

    /// Judges a node by itself: fixed values, excluded ones, missing ones, taken ones, full ones, in this order.
    pub(super) fn judge(&self, node: &Node, values: &[Option<&str>]) -> Result<(), Refusal> {
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
        let mut values = values.iter().copied();
        for key in &self.same {
            if values.next().flatten().is_none() {
                return Err(Refusal::NoValue(key.clone()));
            }
        }
        let taken = |key: &String, value: &str| Err(Refusal::ValueTaken { key: key.clone(), value: value.to_owned() });
        for (key, used) in &self.different {
            if let Some(value) = values.next().flatten().filter(|value| used.contains(*value)) {
                return taken(key, value);
            }
        }
        for limit in &self.limited {
            if let Some(value) = values.next().flatten().filter(|value| limit.counts.get(*value).copied().unwrap_or(0) >= limit.most) {
                return taken(&limit.key, value);
            }
        }
        Ok(())
    }

    /// Judges a pool by itself: mixing, then shared space.
    pub(super) fn judge_pool(&self, pool: &StorPool, own: mixing::Kind) -> Result<(), Refusal> {
        if let Some(kind) = self.kinds.iter().find(|kind| !kind.mixes(own)) {
            return Err(Refusal::Mixes(pool.provider, kind.provider));
        }
        if !self.spaces.is_empty() && space_of(pool).is_some_and(|space| self.spaces.contains(&space)) {
            return Err(Refusal::SharedSpace);
        }
        Ok(())
    }

    /// The first rule that `one`, which fits by itself, would break beside the chosen ones: mixing, shared space, same value,
    /// different values, full values. `None`: none of these.
    pub(super) fn clash(&self, one: &Candidate<'_>, chosen: &[&Candidate<'_>]) -> Option<Refusal> {
        if let Some(other) = chosen.iter().find(|other| !other.kind.mixes(one.kind)) {
            return Some(Refusal::Mixes(one.pool.provider, other.pool.provider));
        }
        if let Some(space) = space_of(one.pool)
            && chosen.iter().any(|other| space_of(other.pool).as_ref() == Some(&space))
        {
            return Some(Refusal::SharedSpace);
        }
        let value = |of: &Candidate<'_>, key: &str| of.node.props.get(key).map(str::to_owned);
        let first = chosen.first()?;
        for key in &self.same {
            let (found, wanted) = (value(one, key), value(first, key));
            if found != wanted {
                let text = |value: Option<String>| value.unwrap_or_else(|| "unset".to_owned());
                return Some(Refusal::WrongValue { key: key.clone(), found: text(found), wanted: text(wanted) });
            }
        }
        let taken = |key: &String, value: String| Some(Refusal::ValueTaken { key: key.clone(), value });
        for (key, _) in &self.different {
            if let Some(found) = value(one, key)
                && chosen.iter().any(|other| other.node.props.get(key) == Some(found.as_str()))
            {
                return taken(key, found);
            }
        }
        for limit in &self.limited {
            let Some(found) = value(one, &limit.key) else { continue };
            let here = chosen.iter().filter(|other| other.node.props.get(&limit.key) == Some(found.as_str())).count();
            if limit.counts.get(&found).copied().unwrap_or(0) + here >= limit.most {
                return taken(&limit.key, found);
            }
        }
        None
    }

    /// The rules that only hold among several, for people.
    pub(super) fn words(&self) -> String {
        let mut words: Vec<String> = self.same.iter().map(|key| format!("{key} the same")).collect();
        words.extend(self.different.iter().map(|(key, _)| format!("{key} different")));
        words.extend(self.limited.iter().map(|limit| format!("at most {} for each value of {}", limit.most, limit.key)));
        words.push("one replica for each node and each shared space".to_owned());
        words.join(", ")
    }
}

/// Refuses rules of which it can be told beforehand that nothing keeps them all.
///
/// `there`: nodes of the replicas that are there. With [`ALL`] one new replica must be possible.
fn contradictions(request: &Request<'_>, kind: Kind, there: &[&Node]) -> Result<(), PlaceError> {
    let new = if request.count == ALL { 1 } else { request.count };
    if new == 0 {
        return Ok(());
    }
    let bad = |why: String| Err(PlaceError::Contradiction(why));
    let filter = request.filter;
    if let Some((key, most)) = filter.x_replicas_on_different_map.iter().flatten().find(|(_, most)| **most < 1) {
        return bad(format!("At most {most} replicas for each value of {key} leave no replica at all."));
    }
    let same: Vec<_> = listed(filter.replicas_on_same.as_ref()).collect();
    let different: Vec<_> = listed(filter.replicas_on_different.as_ref()).collect();
    for (at, (key, value)) in same.iter().enumerate() {
        let Some(value) = value else { continue };
        let other = same.iter().skip(at + 1).find(|(other, wanted)| other == key && wanted.is_some_and(|wanted| wanted != *value));
        if let Some((_, Some(other))) = other {
            return bad(format!("{key} must be {value}, and must be {other}."));
        }
        if different.contains(&(key, Some(value))) {
            return bad(format!("{key} must be {value}, and must not be {value}."));
        }
    }
    for (key, value) in &same {
        let values: BTreeSet<&str> = there.iter().filter_map(|node| node.props.get(key)).collect();
        if value.is_none() && values.len() > 1 {
            // That is said by itself.
            continue;
        }
        let alike = there.iter().filter(|node| node.props.get(key).is_some_and(|found| value.is_none_or(|value| value == found))).count();
        let together = alike.saturating_add(new);
        if together > 1 && different.contains(&(key, None)) {
            return bad(format!("{together} replicas must be on nodes with the same {key}, and with different {key}."));
        }
        let most = filter.x_replicas_on_different_map.as_ref().and_then(|map| map.get(*key)).and_then(|most| usize::try_from(*most).ok());
        if let Some(most) = most.filter(|most| together > *most) {
            return bad(format!("{together} replicas must be on nodes with the same {key}, and at most {most} of them."));
        }
    }
    let kinds = filter.provider_list.as_ref().filter(|kinds| !kinds.is_empty());
    if kind == Kind::Diskful && kinds.is_some_and(|kinds| kinds.iter().all(|kind| !kind.has_storage())) {
        return bad("None of the providers that were asked for holds data.".to_owned());
    }
    let nodes = filter.node_name_list.as_ref().filter(|names| !names.is_empty());
    let left_out = |name: &String| request.exclude.iter().any(|node| node.as_str().eq_ignore_ascii_case(name));
    if nodes.is_some_and(|names| names.iter().all(left_out)) {
        return bad("All nodes that were asked for are left out by the same request.".to_owned());
    }
    Ok(())
}
