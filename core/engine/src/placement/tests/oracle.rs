//! A second placer for tests: slow, exhaustive, and with nothing of the first one in it. It reads the plain data of cluster and sightings.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::cluster::Cluster;
use berth_model::flags::{NodeFlag, ResourceFlag, VolumeDefinitionFlag, VolumeFlag};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::objects::{Node, Resource, SelectFilter, StorPool};
use berth_model::observed::{ConnectionStatus, Observed, PoolSeen};
use berth_model::plan::ContentSource;
use berth_model::props::Props;

pub(super) struct Question {
    pub(super) definition: Option<String>,
    pub(super) filter: SelectFilter,
    /// `usize::MAX`: as many as go together.
    pub(super) count: usize,
    pub(super) layers: Vec<LayerKind>,
    pub(super) leaving: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) convert: bool,
    pub(super) diskless: bool,
    /// Size of the volume where there is no definition.
    pub(super) lone_volume: u64,
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    /// `node/pool`, and the sum of the scores; `None`: nothing can be chosen.
    pub(super) chosen: Option<(Vec<String>, i128)>,
    /// `node/pool: reason [score]`.
    pub(super) tried: Vec<String>,
    /// A rule that leaves no replica at all.
    pub(super) impossible: bool,
    /// Keys that must be alike and are not.
    pub(super) undecidable: BTreeSet<String>,
}

struct Place<'c> {
    node: &'c Node,
    pool: &'c StorPool,
    values: [i128; 4],
    score: i128,
    estimate: u64,
    convert: bool,
}

struct World<'q> {
    cluster: &'q Cluster,
    observed: &'q Observed,
    ask: &'q Question,
    /// Replicas that count, with their nodes.
    there: Vec<(&'q Resource, Option<&'q Node>)>,
    all: Vec<&'q Resource>,
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn upper(list: &[String]) -> BTreeSet<String> {
    list.iter().map(|text| text.to_ascii_uppercase()).collect()
}

/// Rules of a list as key and value.
fn rules(list: &Option<Vec<String>>) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for rule in list.iter().flatten() {
        if rule.is_empty() {
            continue;
        }
        let mut parts = rule.splitn(2, '=');
        found.push((parts.next().unwrap().to_owned(), parts.next().map(str::to_owned)));
    }
    found
}

fn prop<'a>(levels: &[Option<&'a Props>], key: &str) -> Option<&'a str> {
    levels.iter().flatten().find_map(|props| props.get(key))
}

fn no(text: Option<&str>) -> bool {
    text.is_some_and(|text| same(text, "no") || same(text, "false"))
}

/// A decimal number in billionths.
fn nano(text: &str) -> Option<u128> {
    let (whole, rest) = match text.find('.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "0"),
    };
    if whole.is_empty() || rest.is_empty() || !whole.chars().chain(rest.chars()).all(|c| c.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{rest}000000000");
    Some(whole.parse::<u128>().ok()? * 1_000_000_000 + padded[..9].parse::<u128>().ok()?)
}

fn mixing(a: ProviderKind, b: ProviderKind) -> bool {
    let family = |kind: ProviderKind| match kind.word() {
        "FILE" | "FILE_THIN" => "file",
        "ZFS" | "ZFS_THIN" => "zfs",
        "STORAGE_SPACES" | "STORAGE_SPACES_THIN" => "spaces",
        other => other,
    };
    let volumes = |kind: ProviderKind| kind.word().starts_with("LVM") || kind.word().starts_with("ZFS");
    family(a) == family(b) || (family(a) == "spaces" && volumes(b)) || (family(b) == "spaces" && volumes(a))
}

fn thin(kind: ProviderKind) -> bool {
    kind.word().ends_with("_THIN")
}

fn shared(pool: &StorPool) -> Option<String> {
    pool.shared_space.as_ref().map(|name| name.to_string().to_ascii_uppercase())
}

/// The smallest DRBD device for so much data with 7 peers, by trying.
fn drbd_gross(net: u64) -> u64 {
    let net = net.div_ceil(4) * 4;
    let metadata = |gross: u64| {
        let bytes = gross.div_ceil(32).div_ceil(8) * 8 * 7;
        32 + 4 + bytes.div_ceil(1024).div_ceil(4) * 4
    };
    let mut gross = net + 36;
    while gross - metadata(gross) < net {
        gross += 4;
    }
    gross.max(68)
}

impl<'q> World<'q> {
    fn definition(&self) -> Option<&'q berth_model::objects::ResourceDefinition> {
        let name = self.ask.definition.as_ref()?;
        self.cluster.definitions.values().find(|one| same(one.name.as_str(), name)).map(AsRef::as_ref)
    }

    fn group_props(&self) -> Option<&'q Props> {
        let definition = self.definition()?;
        self.cluster.groups.values().find(|group| group.name == definition.group).map(|group| &group.props)
    }

    fn seen(&self, pool: &StorPool) -> Option<&'q PoolSeen> {
        self.observed.nodes.get(&pool.node)?.pools.get(&pool.name).map(|record| &record.seen)
    }

    fn needed(&self, extent: u64) -> u64 {
        let volumes: Vec<(u64, bool)> = match self.definition() {
            Some(definition) => {
                definition.volumes.values().map(|one| (one.size_kib.0, one.flags.has(VolumeDefinitionFlag::GrossSize))).collect()
            }
            None => vec![(self.ask.lone_volume, false)],
        };
        let one = |(size, gross): (u64, bool)| {
            let mut size = size;
            if !gross {
                // From the top: DRBD is on top of all others.
                if self.ask.layers.contains(&LayerKind::Drbd) {
                    size = drbd_gross(size);
                }
                if self.ask.layers.contains(&LayerKind::Luks) {
                    size += 16384;
                }
            }
            size.div_ceil(extent) * extent
        };
        volumes.into_iter().map(one).sum()
    }

    /// Reserved, and pending of it, of a pool or of all that share its space.
    fn sums(&self, pool: &StorPool) -> (u64, u64) {
        let space = shared(pool);
        let mut sums = (0, 0);
        for replica in &self.all {
            for (number, volume) in &replica.volumes {
                let holder = self.cluster.pools.get(&replica.node).and_then(|pools| pools.get(&volume.pool));
                let counts = holder.is_some_and(|holder| match &space {
                    Some(space) => shared(holder).as_ref() == Some(space),
                    None => holder.node == pool.node && holder.name == pool.name,
                });
                if !counts {
                    continue;
                }
                sums.0 += volume.backing_kib.0;
                if volume.content.source != ContentSource::Kept || volume.flags.has(VolumeFlag::Resize) {
                    let node = self.observed.nodes.get(&replica.node).filter(|node| node.status == ConnectionStatus::Online);
                    let item = node.and_then(|node| node.items.get(&replica.id.uuid()));
                    let taken = item
                        .and_then(|item| item.seen.volumes.iter().find(|one| one.number == *number))
                        .map_or(0, |one| one.allocated_kib.0);
                    sums.1 += volume.backing_kib.0.saturating_sub(taken);
                }
            }
        }
        sums
    }

    fn estimate(&self, pool: &StorPool, free: u64, total: u64) -> (u64, u64) {
        let (reserved, pending) = self.sums(pool);
        if !thin(pool.provider) {
            return (free.saturating_sub(pending).min(total.saturating_sub(reserved)), reserved);
        }
        let definition = self.cluster.pool_definitions.get(&pool.name).map(|one| &one.props);
        let levels = [Some(&pool.props), definition, Some(&self.cluster.controller.props)];
        let general = prop(&levels, "MaxOversubscriptionRatio").and_then(nano).unwrap_or(20_000_000_000);
        let of = |key| prop(&levels, key).and_then(nano).unwrap_or(general);
        let times = |size: u64, ratio: u128| u64::try_from(u128::from(size) * ratio / 1_000_000_000).unwrap();
        let by_free = times(free, of("MaxFreeCapacityOversubscriptionRatio"));
        let by_total = times(total, of("MaxTotalCapacityOversubscriptionRatio")).saturating_sub(reserved);
        (by_free.min(by_total), reserved)
    }

    /// The free space in KiB below which a thin pool is none, as text in the reason; `None`: it has enough.
    fn too_low(&self, node: &Node, pool: &StorPool, free: u64, total: u64) -> Option<u64> {
        let definition = self.definition().map(|one| &one.props);
        let levels = [Some(&pool.props), definition, self.group_props(), Some(&node.props), Some(&self.cluster.controller.props)];
        let text = prop(&levels, "Autoplacer/MinThinFreeSpace").unwrap_or("10%").replace(' ', "").to_ascii_lowercase();
        let units: [(&str, u128); 5] = [("%", 0), ("gib", 1 << 30), ("gb", 1_000_000_000), ("g", 1 << 30), ("", 1024)];
        let (number, unit) =
            units.iter().find_map(|(unit, bytes)| Some((nano(text.strip_suffix(unit)?)?, *bytes))).unwrap_or((10_000_000_000, 0));
        let least =
            if unit == 0 { (u128::from(total) * number).div_ceil(100_000_000_000) } else { (number * unit).div_ceil(1_000_000_000 * 1024) };
        let least = u64::try_from(least).unwrap();
        (free < least).then_some(least)
    }

    fn judge_node(&self, node: &Node) -> Result<bool, String> {
        let filter = &self.ask.filter;
        let name = node.name.as_str().to_ascii_uppercase();
        if filter.node_name_list.as_ref().is_some_and(|list| !list.is_empty() && !upper(list).contains(&name)) {
            return Err("not among the nodes asked for".to_owned());
        }
        for (flag, word) in [(NodeFlag::Evacuate, "EVACUATE"), (NodeFlag::Evicted, "EVICTED"), (NodeFlag::Delete, "DELETE")] {
            if node.flags.has(flag) {
                return Err(format!("marked {word}"));
            }
        }
        let status = self.observed.nodes.get(&node.name).map_or(ConnectionStatus::Offline, |seen| seen.status);
        if status != ConnectionStatus::Online {
            return Err(format!("not online ({status})"));
        }
        if upper(&self.ask.exclude).contains(&name) {
            return Err("left out by the request".to_owned());
        }
        if no(prop(&[Some(&node.props), Some(&self.cluster.controller.props)], "AutoplaceTarget")) {
            return Err("AutoplaceTarget is off".to_owned());
        }
        let mut convert = false;
        for replica in self.all.iter().filter(|one| self.ask.definition.as_ref().is_some_and(|name| same(one.name.as_str(), name))) {
            if replica.node != node.name {
                continue;
            }
            convert = (self.ask.convert || replica.flags.has(ResourceFlag::TieBreaker))
                && !self.ask.diskless
                && replica.flags.has(ResourceFlag::Diskless)
                && !replica.flags.has(ResourceFlag::Delete)
                && replica.layers.contains(&LayerKind::Drbd);
            if !convert {
                return Err("has a replica already".to_owned());
            }
        }
        let mut here: Vec<String> = self.all.iter().filter(|one| one.node == node.name).map(|one| one.name.to_string()).collect();
        here.sort();
        let named: Vec<String> = filter.not_place_with_rsc.iter().flatten().cloned().collect();
        if let Some(first) = named.iter().find_map(|text| here.iter().find(|name| same(name, text))) {
            return Err(format!("has the resource '{first}'"));
        }
        if let Some(text) = filter.not_place_with_rsc_regex.as_ref().filter(|text| !text.is_empty()) {
            let regex = regex::RegexBuilder::new(text).case_insensitive(true).build().ok();
            if let Some(first) = here.iter().find(|name| regex.as_ref().is_some_and(|regex| regex.is_match(name))) {
                return Err(format!("has the resource '{first}'"));
            }
        }
        let able = self.observed.nodes.get(&node.name).and_then(|seen| seen.capabilities.clone());
        if let Some(able) = able {
            let mut layers = self.ask.layers.clone();
            if self.ask.diskless {
                let last = [LayerKind::Drbd, LayerKind::Nvme].into_iter().find_map(|kind| layers.iter().position(|one| *one == kind));
                layers.truncate(last.map_or(layers.len(), |at| at + 1));
            } else if let Some(at) = layers.iter().position(|one| *one == LayerKind::Nvme) {
                layers.drain(..at);
            }
            if let Some(kind) = layers.iter().find(|kind| **kind != LayerKind::Storage && !able.layers.contains(kind)) {
                return Err(format!("cannot do {kind}"));
            }
        }
        self.judge_values(node)?;
        Ok(convert)
    }

    fn judge_values(&self, node: &Node) -> Result<(), String> {
        let value = |key: &str| prop(&[Some(&node.props)], key);
        let taken = |key: &str| self.there.iter().filter_map(|(_, node)| prop(&[Some(&(*node)?.props)], key)).collect::<Vec<_>>();
        let (alike, differ) = (rules(&self.ask.filter.replicas_on_same), rules(&self.ask.filter.replicas_on_different));
        for (key, wanted) in &alike {
            let wanted = wanted.clone().or_else(|| taken(key).first().map(|one| (*one).to_owned()));
            let Some(wanted) = wanted else { continue };
            if value(key) != Some(wanted.as_str()) {
                return Err(format!("{key} is {}, wanted {wanted}", value(key).unwrap_or("unset")));
            }
        }
        for (key, banned) in &differ {
            if let Some(banned) = banned
                && value(key) == Some(banned)
            {
                return Err(format!("{key} is {banned}, which is excluded"));
            }
        }
        for (key, wanted) in &alike {
            if wanted.is_none() && value(key).is_none() && taken(key).is_empty() {
                return Err(format!("{key} is unset"));
            }
        }
        for (key, banned) in &differ {
            if let (None, Some(found)) = (banned, value(key))
                && taken(key).contains(&found)
            {
                return Err(format!("a replica is on a node with {key} {found} already"));
            }
        }
        for (key, most) in self.ask.filter.x_replicas_on_different_map.iter().flatten() {
            if let Some(found) = value(key)
                && taken(key).iter().filter(|one| **one == found).count() >= usize::try_from(*most).unwrap()
            {
                return Err(format!("a replica is on a node with {key} {found} already"));
            }
        }
        Ok(())
    }

    fn judge_pool(&self, node: &Node, pool: &StorPool) -> Result<(u64, [i128; 4]), String> {
        let filter = &self.ask.filter;
        let list = if self.ask.diskless { &filter.storage_pool_diskless_list } else { &filter.storage_pool_list };
        if list.as_ref().is_some_and(|list| !list.is_empty() && !upper(list).contains(&pool.name.as_str().to_ascii_uppercase())) {
            return Err("not among the pools asked for".to_owned());
        }
        if self.ask.diskless {
            let here = self.all.iter().filter(|one| one.node == node.name).count();
            return Ok((0, [0, 0, -i128::try_from(here).unwrap(), self.throughput(node, pool)]));
        }
        if filter.provider_list.as_ref().is_some_and(|list| !list.is_empty() && !list.contains(&pool.provider)) {
            return Err(format!("provider {} was not asked for", pool.provider));
        }
        if no(prop(&[Some(&pool.props)], "AutoplaceTarget")) {
            return Err("AutoplaceTarget is off".to_owned());
        }
        let volumes = || self.there.iter().flat_map(|(replica, _)| replica.volumes.values().map(move |volume| (replica, volume)));
        let mut kinds: Vec<ProviderKind> =
            volumes().map(|(_, volume)| volume.provider).filter(|kind| *kind != ProviderKind::Diskless).collect();
        kinds.sort();
        if let Some(kind) = kinds.iter().find(|kind| !mixing(**kind, pool.provider)) {
            return Err(format!("provider {} does not mix with {kind}", pool.provider));
        }
        let in_spaces = |(replica, volume): (&&Resource, &berth_model::objects::Volume)| {
            self.cluster.pools.get(&replica.node).and_then(|pools| pools.get(&volume.pool)).and_then(|pool| shared(pool))
        };
        if shared(pool).is_some_and(|space| volumes().any(|(replica, volume)| in_spaces((replica, volume)).as_ref() == Some(&space))) {
            return Err("shares its space with another replica".to_owned());
        }
        let unknown = || "free space is not known".to_owned();
        let seen = self.seen(pool).ok_or_else(unknown)?;
        if let Some(fault) = &seen.fault {
            return Err(format!("in trouble: {}", fault.message));
        }
        let (free, total) = (seen.free_kib.ok_or_else(unknown)?.0, seen.total_kib.ok_or_else(unknown)?.0);
        let (estimate, reserved) = self.estimate(pool, free, total);
        let needed = self.needed(seen.extent_kib.0);
        if estimate < needed || estimate == 0 {
            return Err(format!("{estimate} KiB free, {needed} KiB needed"));
        }
        if thin(pool.provider)
            && let Some(least) = self.too_low(node, pool, free, total)
        {
            return Err(format!("{free} KiB free, less than {least} KiB (Autoplacer/MinThinFreeSpace)"));
        }
        let holds = |one: &&&Resource| one.node == node.name && one.volumes.values().any(|volume| volume.pool == pool.name);
        let replicas = i128::try_from(self.all.iter().filter(holds).count()).unwrap();
        Ok((estimate, [i128::from(estimate), -i128::from(reserved), -replicas, self.throughput(node, pool)]))
    }

    fn throughput(&self, node: &Node, pool: &StorPool) -> i128 {
        let controller = Some(&self.cluster.controller.props);
        let long = |text: Option<&str>| text.and_then(|text| text.parse::<i128>().ok()).unwrap_or(0).max(0);
        let mut left = long(prop(&[Some(&pool.props), Some(&node.props), controller], "Autoplacer/MaxThroughput"));
        for replica in self.all.iter().filter(|one| one.node == node.name) {
            let definition = self.cluster.definitions.get(&replica.name).unwrap();
            let group = self.cluster.groups.get(&definition.group).unwrap();
            for volume in replica.volumes.values().filter(|volume| volume.pool == pool.name) {
                let levels = [Some(&volume.props), Some(&replica.props), Some(&definition.props), Some(&group.props)];
                left -= long(prop(&levels, "sys/fs/blkio_throttle_read")) + long(prop(&levels, "sys/fs/blkio_throttle_write"));
            }
        }
        left
    }

    /// Whether a set of places keeps the rules among replicas.
    fn sound(&self, set: &[&Place<'_>]) -> bool {
        for (at, one) in set.iter().enumerate() {
            for other in &set[..at] {
                let spaces = (shared(one.pool), shared(other.pool));
                if one.node.name == other.node.name
                    || !mixing(one.pool.provider, other.pool.provider)
                    || (spaces.0.is_some() && spaces.0 == spaces.1)
                {
                    return false;
                }
            }
        }
        let there = || self.there.iter().filter_map(|(_, node)| *node);
        let value = |node: &Node, key: &str| node.props.get(key).map(str::to_owned);
        for (key, wanted) in rules(&self.ask.filter.replicas_on_same) {
            let values: BTreeSet<_> = set.iter().map(|one| value(one.node, &key)).collect();
            if wanted.is_none() && values.len() > 1 {
                return false;
            }
        }
        for (key, banned) in rules(&self.ask.filter.replicas_on_different) {
            let values: Vec<_> = set.iter().filter_map(|one| value(one.node, &key)).collect();
            if banned.is_none() && values.iter().collect::<BTreeSet<_>>().len() < values.len() {
                return false;
            }
        }
        for (key, most) in self.ask.filter.x_replicas_on_different_map.iter().flatten() {
            let most = usize::try_from(*most).unwrap();
            let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
            there().filter_map(|node| value(node, key)).for_each(|value| counts.entry(value).or_default().0 += 1);
            set.iter().filter_map(|one| value(one.node, key)).for_each(|value| counts.entry(value).or_default().1 += 1);
            if counts.values().any(|(old, new)| *new > 0 && old + new > most)
                || counts.values().filter(|(old, new)| old + new < most).count() > 1
            {
                return false;
            }
        }
        true
    }

    /// Why a place that fits was not chosen.
    fn passed_over(&self, at: usize, places: &[Place<'_>], chosen: &[usize]) -> String {
        let one = &places[at];
        let taken: Vec<&Place<'_>> = chosen.iter().map(|at| &places[*at]).collect();
        if let Some(other) = taken.iter().find(|other| other.node.name == one.node.name) {
            return format!("pool {} of the node was chosen", other.pool.name);
        }
        if chosen.iter().all(|other| *other < at) {
            return "fits, others score higher".to_owned();
        }
        if let Some(other) = taken.iter().find(|other| !mixing(other.pool.provider, one.pool.provider)) {
            return format!("provider {} does not mix with {}", one.pool.provider, other.pool.provider);
        }
        if shared(one.pool).is_some_and(|space| taken.iter().any(|other| shared(other.pool).as_ref() == Some(&space))) {
            return "shares its space with another replica".to_owned();
        }
        let value = |place: &Place<'_>, key: &str| place.node.props.get(key).map(str::to_owned);
        for (key, wanted) in rules(&self.ask.filter.replicas_on_same) {
            let (found, wanted_by) = (value(one, &key), value(taken[0], &key));
            if wanted.is_none() && found != wanted_by {
                return format!("{key} is {}, wanted {}", found.unwrap(), wanted_by.unwrap());
            }
        }
        for (key, banned) in rules(&self.ask.filter.replicas_on_different) {
            if let (None, Some(found)) = (banned, value(one, &key))
                && taken.iter().any(|other| value(other, &key).as_ref() == Some(&found))
            {
                return format!("a replica is on a node with {key} {found} already");
            }
        }
        for (key, most) in self.ask.filter.x_replicas_on_different_map.iter().flatten() {
            let Some(found) = value(one, key) else { continue };
            let old = self.there.iter().filter_map(|(_, node)| node.as_ref()?.props.get(key)).filter(|one| **one == found).count();
            let new = taken.iter().filter(|other| value(other, key).as_ref() == Some(&found)).count();
            if old + new >= usize::try_from(*most).unwrap() {
                return format!("a replica is on a node with {key} {found} already");
            }
        }
        "fits, but not with enough others".to_owned()
    }

    fn score(&self, places: &mut [Place<'_>]) {
        let defaults = [("MaxFreeSpace", 1_000_000_000), ("MinReservedSpace", 0), ("MinRscCount", 10_000), ("MaxThroughput", 0)];
        for (at, (name, default)) in defaults.into_iter().enumerate() {
            let set = self.cluster.controller.props.get(&format!("Autoplacer/Weights/{name}"));
            let weight = set.and_then(nano).unwrap_or(default);
            let most = places.iter().map(|place| place.values[at].abs()).max().unwrap_or(0);
            for place in places.iter_mut().filter(|_| most > 0) {
                let share = (place.values[at].abs() << 48) / most;
                place.score += share * i128::try_from(weight).unwrap() * place.values[at].signum();
            }
        }
        places.sort_by_key(|place| {
            (-place.score, place.node.name.as_str().to_ascii_uppercase(), place.pool.name.as_str().to_ascii_uppercase())
        });
    }

    /// The best of all sets.
    fn best(&self, places: &[Place<'_>]) -> Option<Vec<usize>> {
        let mut nodes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, place) in places.iter().enumerate() {
            nodes.entry(place.node.name.to_string()).or_default().push(at);
        }
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        for pools in nodes.values() {
            let with: Vec<Vec<usize>> = sets.iter().flat_map(|set| pools.iter().map(|at| [set.as_slice(), &[*at]].concat())).collect();
            sets.extend(with);
        }
        let any = self.ask.count == usize::MAX;
        let mut best: Option<(usize, i128, Vec<usize>)> = None;
        for mut set in sets {
            set.sort_unstable();
            let sum = set.iter().map(|at| places[*at].score).sum::<i128>();
            let fits = if any { !set.is_empty() } else { set.len() == self.ask.count };
            if !fits {
                continue;
            }
            let better = best.as_ref().is_none_or(|(len, most, first)| (set.len(), sum, first) > (*len, *most, &set));
            if better && self.sound(&set.iter().map(|at| &places[*at]).collect::<Vec<_>>()) {
                best = Some((set.len(), sum, set));
            }
        }
        best.map(|(.., set)| set)
    }
}

/// What must be answered to a question.
pub(super) fn answer(cluster: &Cluster, observed: &Observed, ask: &Question) -> Answer {
    let all: Vec<&Resource> = cluster.resources.values().flat_map(|replicas| replicas.values()).map(AsRef::as_ref).collect();
    let counts = |one: &&Resource| {
        ask.definition.as_ref().is_some_and(|name| same(one.name.as_str(), name))
            && ![ResourceFlag::Delete, ResourceFlag::Evacuate, ResourceFlag::Evicted].iter().any(|flag| one.flags.has(*flag))
            && (ask.diskless || !one.flags.has(ResourceFlag::Diskless))
            && !upper(&ask.leaving).contains(&one.node.as_str().to_ascii_uppercase())
    };
    let there = all.iter().copied().filter(counts).map(|one| (one, cluster.nodes.get(&one.node).map(AsRef::as_ref))).collect();
    let world = World { cluster, observed, ask, there, all };
    let impossible = ask.count > 0 && ask.filter.x_replicas_on_different_map.iter().flatten().any(|(_, most)| *most < 1);
    let mut answer = Answer { impossible, ..Answer::default() };
    for (key, value) in rules(&ask.filter.replicas_on_same) {
        let values: BTreeSet<_> = world.there.iter().filter_map(|(_, node)| node.as_ref()?.props.get(&key)).collect();
        if value.is_none() && values.len() > 1 {
            answer.undecidable.insert(key);
        }
    }
    if answer.impossible {
        // Said before anything is looked at.
        return answer;
    }
    let mut tried: Vec<(String, String, String)> = Vec::new();
    let mut places = Vec::new();
    for node in cluster.nodes.values() {
        let mut out = |pool: &str, why: String| {
            let place = if pool.is_empty() { node.name.to_string() } else { format!("{}/{pool}", node.name) };
            tried.push((node.name.as_str().to_ascii_uppercase(), pool.to_ascii_uppercase(), format!("{place}: {why} [-]")));
        };
        let convert = match world.judge_node(node) {
            Ok(convert) => convert,
            Err(why) => {
                out("", why);
                continue;
            }
        };
        let pools = cluster.pools.get(&node.name).into_iter().flat_map(|pools| pools.values());
        let pools: Vec<_> = pools.filter(|pool| (pool.provider == ProviderKind::Diskless) == ask.diskless).collect();
        if pools.is_empty() {
            out("", "has no storage pool".to_owned());
        }
        for pool in pools {
            match world.judge_pool(node, pool) {
                Ok((estimate, values)) => places.push(Place { node, pool, values, score: 0, estimate, convert }),
                Err(why) => out(pool.name.as_str(), why),
            }
        }
    }
    world.score(&mut places);
    let best = if ask.count == 0 { Some(Vec::new()) } else { world.best(&places) };
    for (at, place) in places.iter().enumerate() {
        let why = match &best {
            Some(chosen) if chosen.contains(&at) => continue,
            Some(chosen) => world.passed_over(at, &places, chosen),
            None => "fits, but not with enough others".to_owned(),
        };
        assert!(place.estimate > 0 || ask.diskless);
        let text = format!("{}/{}: {why} [{}]", place.node.name, place.pool.name, place.score);
        tried.push((place.node.name.as_str().to_ascii_uppercase(), place.pool.name.as_str().to_ascii_uppercase(), text));
    }
    tried.sort();
    answer.tried = tried.into_iter().map(|(.., line)| line).collect();
    answer.chosen = best.map(|set| {
        let mut names: Vec<(String, String)> = set
            .iter()
            .map(|at| {
                let place = &places[*at];
                let text = format!("{}/{}{}", place.node.name, place.pool.name, if place.convert { " gets a disk" } else { "" });
                (place.node.name.as_str().to_ascii_uppercase(), text)
            })
            .collect();
        names.sort();
        (names.into_iter().map(|(_, text)| text).collect(), set.iter().map(|at| places[*at].score).sum())
    });
    answer
}
