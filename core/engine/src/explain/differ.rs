//! Intent against what was seen, by node and item.

use std::collections::BTreeSet;

use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::names::{NodeName, ResourceName, SnapshotName, StorPoolName};
use berth_model::observed::{FaultKind, ItemRecord, NodeSeen, Observed, Standing, Stranger};
use berth_model::plan::{PlanItem, VolumePlan, Wanted};
use berth_model::time::Timestamp;
use uuid::Uuid;

use crate::plan;

/// How what was seen stands to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was seen as wanted.
    Agrees,
    /// It was seen otherwise.
    Differs,
    /// Nobody can say: its node is away, or has not looked yet.
    Unknown,
}

impl Verdict {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that is wanted on a node, and what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The node.
    pub node: NodeName,
    /// What it is.
    pub thing: Thing,
    /// Generation id.
    pub id: Uuid,
    /// What is wanted, for people.
    pub wanted: String,
    /// What was seen, for people; `None`: unknown.
    pub seen: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it differs or is unknown; empty: it agrees.
    pub why: String,
    /// What to do about it; empty: nothing, it comes by itself, or nothing is known.
    pub correction: String,
    /// What kind of fault it is, if it is one.
    pub fault: Option<FaultKind>,
    /// An object without our mark lies in the place of data that was there before; `berth drift adopt` takes it in.
    pub unclaimed: bool,
    /// When it was seen; `None`: it is unknown now.
    pub seen_at: Option<Timestamp>,
    /// Since when it is unknown; `None`: it is known, or was never seen.
    pub unknown_since: Option<Timestamp>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A replica.
    Resource(ResourceName),
    /// A snapshot's copy.
    Snapshot(ResourceName, SnapshotName),
    /// A storage pool.
    StorPool(StorPoolName),
    /// What a deletion left, by the resource's name.
    Leftover(ResourceName, Option<SnapshotName>),
}

impl Thing {
    /// The word on the wire.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Resource(_) => "resource",
            Self::Snapshot(..) => "snapshot",
            Self::StorPool(_) => "storage_pool",
            Self::Leftover(..) => "leftover",
        }
    }

    /// Its name: names joined by `/` and `@`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Resource(name) | Self::Leftover(name, None) => name.to_string(),
            Self::Snapshot(name, snapshot) | Self::Leftover(name, Some(snapshot)) => format!("{name}@{snapshot}"),
            Self::StorPool(name) => name.to_string(),
        }
    }
}

/// Everything that is wanted on a node, in the order of its plan: pools, leftovers, replicas, copies of snapshots.
#[must_use]
pub fn node(cluster: &Cluster, observed: &Observed, node: &NodeName) -> Vec<Compared> {
    let body = plan::whole(cluster, node);
    let seen = observed.nodes.get(node);
    let pools = body.pools.iter().flatten().map(|pool| {
        let known = observed.pool_record(node, &pool.name).filter(|record| record.seen.id == pool.id.uuid());
        let thing = Thing::StorPool(pool.name.clone());
        let wanted = format!("{} at '{}'", pool.provider.word(), pool.place);
        let blank = blank(node, thing, pool.id.uuid(), wanted, seen);
        match known {
            None => blank,
            Some(known) => {
                let at = Some(known.at);
                match &known.seen.fault {
                    None => {
                        Compared { seen: Some("usable".to_owned()), verdict: Verdict::Agrees, why: String::new(), seen_at: at, ..blank }
                    }
                    Some(fault) => Compared {
                        seen: Some("cannot be used".to_owned()),
                        verdict: Verdict::Differs,
                        why: fault.message.clone(),
                        correction: fault.correction.clone(),
                        fault: Some(fault.kind),
                        seen_at: at,
                        ..blank
                    },
                }
            }
        }
    });
    let items = body.items.iter().map(|item| self::item(cluster, observed, node, item));
    pools.chain(items).collect()
}

fn blank(node: &NodeName, thing: Thing, id: Uuid, wanted: String, seen: Option<&std::sync::Arc<NodeSeen>>) -> Compared {
    let away = seen.filter(|seen| seen.status != berth_model::observed::ConnectionStatus::Online);
    let (why, correction, unknown_since) = match (seen, away) {
        (_, Some(away)) => {
            let reason = away.reason.as_deref().unwrap_or("Its satellite is not connected.");
            (
                format!("The node is away: {reason}"),
                "Start its satellite; if the node is gone for good: 'linstor node lost'.",
                Some(away.since),
            )
        }
        (None, None) => ("The node was never connected.".to_owned(), "Start its satellite.", None),
        (Some(_), None) => ("It was not looked at yet.".to_owned(), "", None),
    };
    Compared {
        node: node.clone(),
        thing,
        id,
        wanted,
        seen: None,
        verdict: Verdict::Unknown,
        why,
        correction: correction.to_owned(),
        fault: None,
        unclaimed: false,
        seen_at: None,
        unknown_since,
    }
}

fn item(cluster: &Cluster, observed: &Observed, node: &NodeName, item: &PlanItem) -> Compared {
    let leftover = matches!(cluster.owner(item.id()), Some(ItemOwner::Tombstone(_)));
    let thing = match (item, leftover) {
        (PlanItem::Resource(plan), false) => Thing::Resource(plan.resource.clone()),
        (PlanItem::Resource(plan), true) => Thing::Leftover(plan.resource.clone(), None),
        (PlanItem::Snapshot(plan), false) => Thing::Snapshot(plan.resource.clone(), plan.snapshot.clone()),
        (PlanItem::Snapshot(plan), true) => Thing::Leftover(plan.resource.clone(), Some(plan.snapshot.clone())),
    };
    let mut blank = blank(node, thing, item.id(), wanted(item), observed.nodes.get(node));
    blank.unclaimed = crate::adoption::is_unclaimed(observed, node, item);
    let Some(record) = observed.item(node, item.id()) else { return blank };
    // What was seen under a plan that did not have the present wish says nothing about it.
    let since = cluster.jobs_on(item.resource()).filter(|job| job.task.awaited().iter().any(|awaited| awaited.item == item.id()));
    if since.map(|job| job.serial).max().is_some_and(|serial| record.seen.generation < serial) {
        return Compared { why: "It was not looked at yet since it was changed.".to_owned(), ..blank };
    }
    compared(item, record, blank)
}

fn compared(item: &PlanItem, record: &ItemRecord, blank: Compared) -> Compared {
    let seen = &record.seen;
    let volumes = match item {
        PlanItem::Resource(plan) => plan.volumes.iter().filter_map(|volume| otherwise(volume, record)).collect::<Vec<_>>(),
        PlanItem::Snapshot(_) => Vec::new(),
    };
    let sizes: Vec<String> = seen.volumes.iter().map(volume_words).collect();
    let told = match sizes.is_empty() {
        true => super::decision::standing(seen.standing).to_owned(),
        false => format!("{}: {}", super::decision::standing(seen.standing), sizes.join(", ")),
    };
    let (verdict, why) = match (seen.standing, &seen.fault) {
        (_, Some(fault)) => (Verdict::Differs, fault.message.clone()),
        (Standing::Faulty, None) => (Verdict::Differs, "The satellite reports a fault and does not say which.".to_owned()),
        (Standing::Working, None) => (Verdict::Differs, "The satellite is at work on it.".to_owned()),
        (Standing::Settled | Standing::Gone, None) if !volumes.is_empty() => (Verdict::Differs, volumes.join("; ")),
        (Standing::Settled | Standing::Gone, None) => (Verdict::Agrees, String::new()),
    };
    Compared {
        seen: Some(told),
        verdict,
        why,
        // The satellite does not know under which name the controller knows it.
        correction: seen
            .fault
            .as_ref()
            .map(|fault| fault.correction.replace(" adopt NODE ", &format!(" adopt {} ", blank.node)))
            .unwrap_or_default(),
        fault: seen.fault.as_ref().map(|fault| fault.kind),
        seen_at: Some(record.at),
        unknown_since: None,
        ..blank
    }
}

fn volume_words(volume: &berth_model::observed::VolumeSeen) -> String {
    let device = volume.device_path.as_deref().map(|path| format!(" as {path}")).unwrap_or_default();
    let used = if volume.in_use { ", in use" } else { "" };
    format!("volume {} of {} KiB{device}{used}", volume.number, volume.backing_kib.0)
}

/// How a volume that was seen is not the wanted one; `None`: it is, or it was not seen.
fn otherwise(wanted: &VolumePlan, record: &ItemRecord) -> Option<String> {
    let seen = record.seen.volumes.iter().find(|seen| seen.number == wanted.number)?;
    if wanted.wanted == Wanted::Absent || wanted.backing.is_empty() {
        return None;
    }
    if seen.content.is_some_and(|content| content != wanted.content.id.uuid()) {
        return Some(format!("volume {} has other data than it shall have", wanted.number));
    }
    (seen.content.is_some() && seen.backing_kib < wanted.backing_kib)
        .then(|| format!("volume {} has {} KiB and shall have {} KiB", wanted.number, seen.backing_kib.0, wanted.backing_kib.0))
}

fn wanted(item: &PlanItem) -> String {
    let word = match item.wanted() {
        Wanted::Active => "there and served",
        Wanted::Inactive => "there, not served",
        Wanted::Absent => "gone",
    };
    match item {
        PlanItem::Resource(plan) if plan.wanted != Wanted::Absent => {
            let one = |volume: &VolumePlan| match volume.wanted {
                Wanted::Absent => format!("volume {} gone", volume.number),
                Wanted::Active | Wanted::Inactive => {
                    format!("volume {} of {} KiB in '{}'", volume.number, volume.backing_kib.0, volume.pool)
                }
            };
            let volumes: Vec<String> = plan.volumes.iter().map(one).collect();
            if volumes.is_empty() { word.to_owned() } else { format!("{word}: {}", volumes.join(", ")) }
        }
        PlanItem::Snapshot(plan) if plan.wanted != Wanted::Absent => "there".to_owned(),
        PlanItem::Resource(_) | PlanItem::Snapshot(_) => word.to_owned(),
    }
}

/// What is on a machine and not in its plan, or in its plan and lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The node.
    pub node: NodeName,
    /// Objects of ours that nobody names, and when they were looked for; `None`: nobody looked, see `why`.
    pub strangers: Option<(Vec<Stranger>, Timestamp)>,
    /// What is known and missing.
    pub lost: Vec<Compared>,
    /// In whose place lies an object that carries no mark, or another one, while their data was there before ([`crate::adoption`]).
    pub unclaimed: Vec<Compared>,
    /// Why it is not known what is there; empty: it is.
    pub why: String,
    /// Since when it is unknown.
    pub unknown_since: Option<Timestamp>,
}

/// The drift of a node. What a plan has named since the node looked is left out.
#[must_use]
pub fn drift(cluster: &Cluster, observed: &Observed, name: &NodeName) -> Drift {
    let mut drift =
        Drift { node: name.clone(), strangers: None, lost: Vec::new(), unclaimed: Vec::new(), why: String::new(), unknown_since: None };
    let Some(seen) = observed.nodes.get(name).filter(|_| observed.online(name)) else {
        let seen = observed.nodes.get(name);
        drift.why = match seen.and_then(|seen| seen.reason.as_deref()) {
            Some(reason) => format!("The node is away: {reason}"),
            None => "The node is away.".to_owned(),
        };
        drift.unknown_since = seen.map(|seen| seen.since);
        return drift;
    };
    let all = node(cluster, observed, name);
    drift.unclaimed = all.iter().filter(|one| one.unclaimed && one.verdict == Verdict::Differs).cloned().collect();
    drift.lost = all.into_iter().filter(|one| one.fault == Some(FaultKind::Lost)).collect();
    match &seen.strangers {
        None => drift.why = "Its satellite has not looked for such objects yet.".to_owned(),
        Some((strangers, at)) => {
            let known = known(cluster, name);
            let unnamed = strangers.iter().filter(|stranger| !known.contains(&stranger.id)).cloned().collect();
            drift.strangers = Some((unnamed, *at));
        }
    }
    drift
}

/// Generation ids of all objects that the node's plan names.
fn known(cluster: &Cluster, node: &NodeName) -> BTreeSet<Uuid> {
    let mut ids = BTreeSet::new();
    for item in plan::whole(cluster, node).items {
        match item {
            PlanItem::Resource(plan) => ids.extend(plan.volumes.iter().map(|volume| volume.id.uuid())),
            PlanItem::Snapshot(plan) => ids.extend(plan.volumes.iter().map(|volume| volume.id.uuid())),
        }
    }
    ids
}
