//! The controller's memory of what satellites see. Never stored; of a session that is over only the machine's abilities are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_engine::tiebreaker;
use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::flags::ResourceFlag;
use berth_model::ids::{Id, kind};
use berth_model::names::{NodeName, ResourceName};
use berth_model::observed::{
    Capabilities, ConnectionStatus, Fault, FaultKind, FileSeen, ItemRecord, ItemSeen, NodeSeen, Observation, Observed, PoolRecord, Standing,
};
use berth_model::time::Timestamp;
use imbl::OrdMap;
use uuid::Uuid;

use crate::session::has_session;

/// Most defects of one observation that become error reports; more of them say nothing new.
const MAX_BUGS: usize = 5;

/// What follows from something seen.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Jobs on these resources must be looked at.
    pub resources: BTreeSet<ResourceName>,
    /// Resources of which something moves: a sign of life for whoever waits for a job.
    pub alive: BTreeSet<ResourceName>,
    /// Jobs that wait for this node must be looked at.
    pub node: bool,
    /// Tombstones that are gone.
    pub gone: BTreeSet<Uuid>,
    /// Resources whose tiebreaker on this node is in use since now: it serves as a client.
    pub ties: BTreeSet<ResourceName>,
    /// Replicas without a disk that somebody began (true) or ended to use.
    pub primaries: Vec<(ResourceName, bool)>,
    /// Defects that a satellite reports for the first time.
    pub bugs: Vec<Fault>,
}

/// Memory with the generation ids of the nodes that it is about.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// To be published.
    pub observed: Observed,
    /// Whether it differs from what was published.
    pub dirty: bool,
    ids: BTreeMap<NodeName, Id<kind::Node>>,
}

impl Seen {
    /// Forgets nodes that are no more, and begins to know new ones, among those that `names` says.
    pub fn follow<'a>(&mut self, cluster: &Cluster, names: impl IntoIterator<Item = &'a NodeName>, now: Timestamp) {
        for name in names {
            let node = cluster.nodes.get(name);
            if self.ids.get(name).is_some_and(|id| node.is_none_or(|node| node.id != *id)) {
                self.ids.remove(name);
                self.observed.nodes.remove(name);
                self.dirty = true;
            }
            let Some(node) = node else { continue };
            let reachable = has_session(node);
            let known = self.observed.nodes.get(name);
            // An interface that came or went turns the node into one with or without a session.
            if known.is_some_and(|seen| (seen.status == ConnectionStatus::NoStltConn) != reachable) {
                continue;
            }
            let status = if reachable { ConnectionStatus::Offline } else { ConnectionStatus::NoStltConn };
            self.ids.insert(name.clone(), node.id);
            self.observed.nodes.insert(name.clone(), Arc::new(NodeSeen::unknown(status, now)));
            self.dirty = true;
        }
    }

    fn edit(&mut self, node: &NodeName, edit: impl FnOnce(&mut NodeSeen)) {
        if let Some(seen) = self.observed.nodes.get_mut(node) {
            edit(Arc::make_mut(seen));
            self.dirty = true;
        }
    }

    /// An attempt failed.
    pub fn failed(&mut self, node: &NodeName, status: ConnectionStatus, reason: String, now: Timestamp) -> u64 {
        let mut attempts = 0;
        self.edit(node, |seen| {
            attempts = seen.attempts.saturating_add(1);
            away(seen, status, reason, attempts, now);
        });
        attempts
    }

    /// A session came about; the node is usable with its first whole observation.
    pub fn opened(&mut self, node: &NodeName, capabilities: Capabilities, now: Timestamp) {
        self.edit(node, |seen| {
            seen.status = ConnectionStatus::Connected;
            seen.since = now;
            seen.reason = None;
            seen.capabilities = Some(Arc::new(capabilities));
        });
    }

    /// A session was lost.
    pub fn lost(&mut self, node: &NodeName, reason: String, now: Timestamp) {
        self.edit(node, |seen| away(seen, ConnectionStatus::Offline, reason, 0, now));
    }

    /// Something was seen.
    pub fn saw(&mut self, cluster: &Cluster, node: &NodeName, observation: Observation, now: Timestamp) -> News {
        let mut news = News::default();
        let Some(known) = self.observed.nodes.get(node).cloned() else { return news };
        let mut seen = (*known).clone();
        seen.reported = Some(now);
        if observation.whole {
            seen.items = OrdMap::new();
            seen.pools = OrdMap::new();
            if seen.status != ConnectionStatus::Online {
                seen.status = ConnectionStatus::Online;
                seen.since = now;
                seen.away_since = None;
                seen.reason = None;
                seen.attempts = 0;
            }
            news.node = true;
        }
        for pool in observation.pools {
            if bug(pool.fault.as_ref(), known.pools.get(&pool.name).and_then(|before| before.seen.fault.as_ref())) {
                news.bugs.extend(pool.fault.clone());
            }
            seen.pools.insert(pool.name.clone(), Arc::new(PoolRecord { seen: pool, at: now }));
        }
        if let Some(strangers) = observation.strangers {
            seen.strangers = Some((Arc::new(strangers), now));
        }
        if let Some(peers) = observation.peers {
            seen.peers = Arc::new(peers);
        }
        if let Some(files) = observation.files {
            let before = known.files.as_ref().map(|(files, _)| files);
            let known = |file: &FileSeen| before.is_some_and(|before| before.contains(file));
            for (file, fault) in files.iter().filter(|file| !known(file)).filter_map(|file| Some((file, file.fault.as_ref()?))) {
                tracing::warn!(%node, path = %file.path, message = %fault.message, cause = %fault.cause, "an external file is not as wanted");
            }
            seen.files = Some((Arc::new(files), now));
        }
        for mut item in observation.items {
            // It stays as long as the session, and came with room for more.
            item.volumes.shrink_to_fit();
            let before = known.items.get(&item.id).map(|record| &record.seen);
            note(&mut news, cluster, node, before, &item);
            // What the cluster does not name (any more) is nobody's state.
            if owned(cluster, node, item.id) {
                seen.items.insert(item.id, Arc::new(ItemRecord { seen: item, at: now }));
            }
        }
        self.observed.nodes.insert(node.clone(), Arc::new(seen));
        self.dirty = true;
        news.bugs.truncate(MAX_BUGS);
        news
    }

    /// Forgets items that no plan names any more.
    pub fn forget<'a>(&mut self, node: &NodeName, items: impl IntoIterator<Item = &'a Uuid>) {
        let known = |seen: &NodeSeen, id: &Uuid| seen.items.contains_key(id);
        for id in items {
            if self.observed.nodes.get(node).is_some_and(|seen| known(seen, id)) {
                self.edit(node, |seen| {
                    seen.items.remove(id);
                });
            }
        }
    }

    /// The tombstones whose items were seen gone.
    pub fn gone(&self, cluster: &Cluster) -> BTreeMap<NodeName, BTreeSet<Uuid>> {
        let mut gone: BTreeMap<NodeName, BTreeSet<Uuid>> = BTreeMap::new();
        for (id, tombstone) in &cluster.tombstones {
            if self.observed.item(&tombstone.node, *id).is_some_and(|record| record.seen.standing == Standing::Gone) {
                gone.entry(tombstone.node.clone()).or_default().insert(*id);
            }
        }
        gone
    }

    /// Whether every node that has a satellite was reached, or was tried in vain.
    pub fn settled(&self) -> bool {
        self.observed.nodes.values().all(|seen| match seen.status {
            ConnectionStatus::Connected | ConnectionStatus::Authenticated => false,
            ConnectionStatus::Offline => seen.attempts > 0,
            ConnectionStatus::Online
            | ConnectionStatus::VersionMismatch
            | ConnectionStatus::FullSyncFailed
            | ConnectionStatus::AuthenticationError
            | ConnectionStatus::Unknown
            | ConnectionStatus::HostnameMismatch
            | ConnectionStatus::OtherController
            | ConnectionStatus::NoStltConn
            | ConnectionStatus::MissingExtTools
            | ConnectionStatus::DuplicateUname => true,
        })
    }
}

/// The node cannot be used; nothing that was seen of it is the state of now (law 9).
fn away(seen: &mut NodeSeen, status: ConnectionStatus, reason: String, attempts: u64, now: Timestamp) {
    if seen.status != status {
        seen.since = now;
    }
    // Another reason why it is away does not make it known in between.
    seen.away_since = seen.away_since.or(Some(now));
    seen.status = status;
    seen.reason = Some(reason);
    seen.attempts = attempts;
    seen.items = OrdMap::new();
    seen.pools = OrdMap::new();
    seen.strangers = None;
    seen.files = None;
    seen.peers = Arc::default();
}

fn owned(cluster: &Cluster, node: &NodeName, item: Uuid) -> bool {
    match cluster.owner(item) {
        Some(ItemOwner::Resource(_, on) | ItemOwner::Snapshot(_, _, on) | ItemOwner::Tombstone(on)) => on == node,
        None => false,
    }
}

fn bug(now: Option<&Fault>, before: Option<&Fault>) -> bool {
    now.is_some_and(|fault| fault.kind == FaultKind::Bug) && now != before
}

/// Whether somebody has a device of it open.
fn used(item: &ItemSeen) -> bool {
    item.volumes.iter().any(|volume| volume.in_use)
}

fn note(news: &mut News, cluster: &Cluster, node: &NodeName, before: Option<&ItemSeen>, item: &ItemSeen) {
    if bug(item.fault.as_ref(), before.and_then(|before| before.fault.as_ref())) {
        news.bugs.extend(item.fault.clone());
    }
    match cluster.owner(item.id) {
        Some(ItemOwner::Resource(name, on) | ItemOwner::Snapshot(name, _, on)) if on == node => {
            news.resources.insert(name.clone());
            if used(item) && !before.is_some_and(used) && cluster.resource(name, node).is_some_and(|replica| tiebreaker::is_tie(replica)) {
                news.ties.insert(name.clone());
            }
            let (was, is) = (before.is_some_and(used), used(item));
            if was != is && cluster.resource(name, node).is_some_and(|replica| replica.flags.has(ResourceFlag::Diskless)) {
                news.primaries.push((name.clone(), is));
            }
            if item.standing == Standing::Working || before != Some(item) {
                news.alive.insert(name.clone());
            }
        }
        Some(ItemOwner::Tombstone(on)) if on == node && item.standing == Standing::Gone => {
            news.gone.insert(item.id);
        }
        Some(ItemOwner::Resource(..) | ItemOwner::Snapshot(..) | ItemOwner::Tombstone(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pool: &str) -> Observation {
        let pool = berth_model::observed::PoolSeen {
            name: berth_model::names::StorPoolName::parse(pool).unwrap(),
            id: Uuid::nil(),
            free_kib: None,
            total_kib: None,
            extent_kib: berth_model::size::Kib(4),
            snapshots: false,
            min_io: None,
            fault: None,
        };
        Observation { whole: true, pools: vec![pool], ..Observation::default() }
    }

    #[test]
    fn unknown_begins_with_the_loss_and_ends_with_the_first_whole_report() {
        let (cluster, node) = (Cluster::empty(Id::from_uuid(Uuid::nil())), NodeName::parse("alpha").unwrap());
        let mut seen = Seen::default();
        seen.observed.nodes.insert(node.clone(), Arc::new(NodeSeen::unknown(ConnectionStatus::Offline, Timestamp(1))));
        let away = |seen: &Seen| seen.observed.nodes[&node].away_since;
        let pool_at = |seen: &Seen| seen.observed.pool_record(&node, &whole("thin").pools[0].name).map(|record| record.at);
        seen.opened(&node, Capabilities::default(), Timestamp(2));
        assert_eq!((away(&seen), pool_at(&seen)), (Some(Timestamp(1)), None), "connected is not seen");
        seen.saw(&cluster, &node, whole("thin"), Timestamp(3));
        assert_eq!((away(&seen), pool_at(&seen)), (None, Some(Timestamp(3))));
        seen.saw(&cluster, &node, Observation { whole: false, ..whole("thin") }, Timestamp(4));
        assert_eq!(pool_at(&seen), Some(Timestamp(4)), "each report counts for what it names");
        seen.saw(&cluster, &node, Observation::default(), Timestamp(5));
        assert_eq!(pool_at(&seen), Some(Timestamp(4)), "and for nothing else");
        seen.lost(&node, "gone".to_owned(), Timestamp(6));
        seen.failed(&node, ConnectionStatus::OtherController, "not ours".to_owned(), Timestamp(7));
        seen.opened(&node, Capabilities::default(), Timestamp(8));
        assert_eq!((away(&seen), pool_at(&seen)), (Some(Timestamp(6)), None), "whatever the reason, it is unknown since the loss");
        seen.saw(&cluster, &node, whole("thin"), Timestamp(9));
        assert_eq!((away(&seen), pool_at(&seen)), (None, Some(Timestamp(9))));
    }
}
