//! What a definition needs by itself, between two rounds of balancing: its tiebreaker as soon as a node can have it, a disk for whoever uses
//! it without one for long enough, and the end of such disks that are too many. Pure; the controller asks, on a timer.
//!
//! Properties (replica, node, definition, group, controller): `DrbdOptions/auto-diskful`, minutes, 0 or less: never;
//! `DrbdOptions/auto-diskful-allow-cleanup`, on unless it is switched off. Source of the rules: contract, auto-diskful and tiebreaker.

use std::time::Duration;

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{DefinitionFlag, ResourceFlag};
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::Resource;
use berth_model::observed::Observed;
use berth_model::props::{Chain, Source};
use berth_model::reply::Reply;

use crate::balance::census;
use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::resources::{misdirected, serve};
use crate::{deletion, lookup, risk, tiebreaker};

/// Minutes as a diskless Primary after which a replica gets a disk.
pub const AUTO_DISKFUL: &str = "DrbdOptions/auto-diskful";
/// Whether a disk that was given so goes again when it is one too many.
pub const ALLOW_CLEANUP: &str = "DrbdOptions/auto-diskful-allow-cleanup";

fn chain<'c>(cluster: &'c Cluster, replica: &'c Resource) -> Chain<'c> {
    let definition = cluster.definitions.get(&replica.name);
    let group = definition.and_then(|definition| cluster.groups.get(&definition.group));
    Chain::new()
        .with(Source::Resource, &replica.props)
        .with_some(Source::Node, cluster.nodes.get(&replica.node).map(|node| &node.props))
        .with_some(Source::ResourceDefinition, definition.map(|definition| &definition.props))
        .with_some(Source::ResourceGroup, group.map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props)
}

/// How long a replica is used without a disk before it gets one; `None`: it never does.
fn patience(cluster: &Cluster, replica: &Resource) -> Option<Duration> {
    let minutes: i64 = chain(cluster, replica).get(AUTO_DISKFUL)?.trim().parse().ok()?;
    u64::try_from(minutes).ok().filter(|minutes| *minutes > 0).map(|minutes| Duration::from_secs(minutes.saturating_mul(60)))
}

fn is_used(observed: &Observed, replica: &Resource) -> bool {
    let record = observed.item(&replica.node, replica.id.uuid());
    record.is_some_and(|record| record.seen.volumes.iter().any(|volume| volume.in_use))
}

/// Whether a replica is used and has no disk of its own.
#[must_use]
pub fn is_diskless_primary(observed: &Observed, replica: &Resource) -> bool {
    replica.drbd.is_some()
        && replica.flags.has(ResourceFlag::Diskless)
        && !replica.flags.has(ResourceFlag::Delete)
        && is_used(observed, replica)
}

/// Whether a replica that has been used for this long gets a disk now.
#[must_use]
pub fn disk_is_due(cluster: &Cluster, observed: &Observed, replica: &Resource, used_for: Duration) -> bool {
    is_diskless_primary(observed, replica)
        && patience(cluster, replica).is_some_and(|patience| used_for >= patience)
        && cluster.definitions.get(&replica.name).is_some_and(|definition| !definition.flags.has(DefinitionFlag::Delete))
        && cluster.jobs_on(&replica.name).next().is_none()
}

/// The node whose disk, which the automatism gave, is one too many: nobody uses it, and as many others as the group asks for were seen to
/// hold the data.
fn surplus(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> Option<NodeName> {
    let given = |replica: &&Resource| {
        replica.flags.has(ResourceFlag::AutoDiskful)
            && !is_used(observed, replica)
            && chain(cluster, replica).get_bool(ALLOW_CLEANUP) != Some(false)
    };
    let candidate = census::staying(cluster, name).filter(given).last()?;
    let definition = cluster.definitions.get(name).filter(|definition| !definition.flags.has(DefinitionFlag::Delete))?;
    let wanted = census::wanted(cluster, definition)?;
    let good = |other: &&Resource| other.id != candidate.id && risk::holds_data(observed, other);
    let enough = census::staying(cluster, name).filter(good).count() >= wanted;
    (enough && cluster.jobs_on(name).next().is_none()).then(|| candidate.node.clone())
}

/// Whether something is to be done with a definition, beside disks that are due. Costs what its replicas cost, unless it lacks a tiebreaker.
#[must_use]
pub fn acts(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> bool {
    tiebreaker::can_be_made(cluster, observed, name) || surplus(cluster, observed, name).is_some()
}

/// Tends a definition. `disk_on`: the node where somebody has used it without a disk for long enough.
///
/// # Errors
/// 301 for an unknown definition; 300 and 302 for a node that has no replica; 310 if no pool of the node fits.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    let Command::Tend { resource, disk_on } = command else { return Err(misdirected(command)) };
    draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("RscDfn", resource)]);
    let name = lookup::definition(&draft.cluster, resource)?.name.clone();
    let observed = draft.context.observed;
    if let Some(node) = disk_on {
        give_disk(draft, &name, node)?;
    } else if let Some(node) = surplus(&draft.cluster, observed, &name) {
        let text = format!("The disk of '{name}' on node '{node}', which it got by itself, goes: it is one too many.");
        draft.say(Code::MODIFIED, text);
        deletion::replica(draft, name.as_str(), node.as_str(), true)?;
    }
    if tiebreaker::can_be_made(&draft.cluster, observed, &name) {
        tiebreaker::settle(draft, &name);
    }
    if draft.applied.replies.is_empty() {
        draft.reply(Reply::new(Code::INFO_NOOP, format!("'{name}' needs nothing.")));
    }
    Ok(())
}

fn give_disk(draft: &mut Draft<'_>, name: &ResourceName, node: &str) -> Result<(), Refused> {
    let replica = (**lookup::resource(&draft.cluster, name.as_str(), node)?).clone();
    if !is_diskless_primary(draft.context.observed, &replica) {
        draft.say(Code::INFO_NOOP, format!("Nobody uses '{name}' on node '{}' without a disk.", replica.node));
        return Ok(());
    }
    let definition = lookup::definition(&draft.cluster, name.as_str())?.clone();
    serve::give_placed_disk(draft, &definition, &replica)?;
    if let Some(full) = draft.cluster.resource(name, &replica.node) {
        let mut full = (**full).clone();
        full.flags.set(ResourceFlag::AutoDiskful);
        draft.put(Object::Resource(full));
    }
    Ok(())
}
