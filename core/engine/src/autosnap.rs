//! Automatic snapshots: a definition whose `AutoSnapshot/RunEvery` says so gets a snapshot every so many minutes, and the oldest of them go.
//! Pure; the controller asks for a part of the definitions at a time, on a slow timer.
//!
//! Properties of the definition, its group or the controller (contract, section 11.8). A snapshot of somebody's own is never counted, and
//! never removed.

use std::sync::Arc;
use std::time::Duration;

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{DefinitionFlag, ResourceFlag, SnapshotFlag};
use berth_model::names::{ResourceName, SnapshotName};
use berth_model::objects::ResourceDefinition;
use berth_model::props::{Chain, Source};
use berth_model::reply::Reply;
use berth_model::snapshot::Snapshot;
use berth_model::time::Timestamp;

use crate::command::{Command, SnapshotInput};
use crate::draft::{Draft, Refused};
use crate::resources::misdirected;
use crate::{lookup, snapshots};

/// Minutes between two automatic snapshots; 0 or less: none are taken.
pub const RUN_EVERY: &str = "AutoSnapshot/RunEvery";
/// How many are kept; 0 or less: all.
pub const KEEP: &str = "AutoSnapshot/Keep";
/// Number that is tried first for the next one.
pub const NEXT_ID: &str = "AutoSnapshot/NextAutoId";

/// Beginning of the names.
const PREFIX: &str = "autoSnap";
const DEFAULT_KEEP: i64 = 10;
/// Names that are tried before it is given up until the next time.
const MOST_TRIED: u64 = 1000;
/// Of one definition so many go at once.
const MOST_REMOVED: usize = 10;

fn number(cluster: &Cluster, definition: &ResourceDefinition, key: &str) -> Option<i64> {
    let chain = Chain::new()
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::ResourceGroup, cluster.groups.get(&definition.group).map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props);
    chain.get(key)?.trim().parse().ok()
}

/// Time between two automatic snapshots of a definition; `None`: none are taken.
#[must_use]
pub fn every(cluster: &Cluster, definition: &ResourceDefinition) -> Option<Duration> {
    let minutes = number(cluster, definition, RUN_EVERY).and_then(|minutes| u64::try_from(minutes).ok()).filter(|minutes| *minutes > 0)?;
    Some(Duration::from_secs(minutes.saturating_mul(60)))
}

fn is_automatic(snapshot: &Snapshot) -> bool {
    snapshot.flags.has(SnapshotFlag::AutoSnapshot)
}

/// Whether a snapshot of the definition is due at `now`: the newest automatic one is old enough, or there is none.
fn is_due(cluster: &Cluster, now: Timestamp, definition: &ResourceDefinition, every: Duration) -> bool {
    let automatic = cluster.snapshots_of(&definition.name).filter(|snapshot| is_automatic(snapshot)).map(|snapshot| snapshot.created);
    // What lies in the future was made before the clock was set back.
    let newest = automatic.filter(|at| *at <= now).max();
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    newest.is_none_or(|at| now.0.saturating_sub(at.0) >= every)
}

/// Whether there is anything to take a snapshot of.
fn has_data(cluster: &Cluster, definition: &ResourceDefinition) -> bool {
    !definition.flags.has(DefinitionFlag::Delete)
        && !definition.volumes.is_empty()
        && cluster
            .replicas(&definition.name)
            .any(|replica| !replica.flags.has(ResourceFlag::Diskless) && !replica.flags.has(ResourceFlag::Delete))
}

/// The complete automatic snapshots that are too many, the oldest first.
fn surplus(cluster: &Cluster, definition: &ResourceDefinition) -> Vec<Arc<Snapshot>> {
    let keep = number(cluster, definition, KEEP).unwrap_or(DEFAULT_KEEP);
    let Some(keep) = usize::try_from(keep).ok().filter(|keep| *keep > 0) else { return Vec::new() };
    let whole = |snapshot: &&Arc<Snapshot>| {
        is_automatic(snapshot) && snapshot.flags.has(SnapshotFlag::Successful) && !snapshot.flags.has(SnapshotFlag::Delete)
    };
    let mut all: Vec<Arc<Snapshot>> = cluster.snapshots_of(&definition.name).filter(whole).cloned().collect();
    all.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    all.truncate(all.len().saturating_sub(keep));
    all
}

/// Whether something is to be done with a definition at `now`. Costs what its properties and snapshots cost.
#[must_use]
pub fn acts(cluster: &Cluster, now: Timestamp, name: &ResourceName) -> bool {
    let Some(definition) = cluster.definitions.get(name) else { return false };
    let Some(every) = every(cluster, definition) else { return false };
    has_data(cluster, definition) && (is_due(cluster, now, definition, every) || !surplus(cluster, definition).is_empty())
}

/// Takes the automatic snapshot of a definition that is due, and removes those that are too many.
///
/// # Errors
/// 301 for an unknown definition, and what a snapshot is refused with.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    let Command::AutoSnapshot { resource } = command else { return Err(misdirected(command)) };
    draft.about(Operation::Create, ObjectMask::Snapshot, &[("RscDfn", resource)]);
    let definition = lookup::definition(&draft.cluster, resource)?.clone();
    let due = every(&draft.cluster, &definition).filter(|every| is_due(&draft.cluster, draft.context.now, &definition, *every));
    let surplus = surplus(&draft.cluster, &definition);
    if due.is_none() && surplus.is_empty() {
        draft.say(Code::INFO_NOOP, format!("No automatic snapshot of '{}' is due.", definition.name));
        return Ok(());
    }
    for old in surplus.iter().take(MOST_REMOVED) {
        // One that is being read goes the next time.
        if let Err(refused) = snapshots::remove(draft, &old.resource, &old.name) {
            draft.applied.replies.extend(refused.replies.into_iter().map(as_told));
        }
    }
    if due.is_some() {
        take(draft, &definition)?;
    }
    Ok(())
}

/// A refusal that hinders nothing else.
fn as_told(why: Reply) -> Reply {
    Reply::new(Code::WARN_NO_EFFECT, why.message).cause(why.cause).correction(why.correction)
}

fn take(draft: &mut Draft<'_>, definition: &ResourceDefinition) -> Result<(), Refused> {
    let first = number(&draft.cluster, definition, NEXT_ID).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0).unwrap_or(1);
    let is_free = |name: &SnapshotName| draft.cluster.snapshot(&definition.name, name).is_none();
    let named = |id: u64| SnapshotName::parse(&format!("{PREFIX}{id:05}")).ok().filter(is_free).map(|name| (id, name));
    let Some((id, name)) = (first..first.saturating_add(MOST_TRIED)).find_map(named) else {
        return Err(Reply::new(
            Code::FAIL_EXISTS_SNAPSHOT_DFN,
            format!("There is no name left for an automatic snapshot of '{}'.", definition.name),
        )
        .cause(format!("{MOST_TRIED} names from '{PREFIX}{first:05}' on are taken."))
        .correction(format!("Set '{NEXT_ID}' to a number that is free, or delete these snapshots."))
        .into());
    };
    draft.refer("Snapshot", &name);
    let input = SnapshotInput { resource: definition.name.to_string(), name: name.to_string(), ..SnapshotInput::default() };
    snapshots::take_with(draft, &input, &[SnapshotFlag::AutoSnapshot])?;
    if let Some(found) = draft.cluster.definitions.get(&definition.name).cloned() {
        let mut counted = (*found).clone();
        counted.props.insert_internal(NEXT_ID, id.saturating_add(1).to_string());
        draft.put(Object::ResourceDefinition(counted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use berth_model::props::PropChange;

    use super::*;
    use crate::command::{ResourceInput, VolumeDefinitionInput};
    use crate::explain::settled_for_tests;
    use crate::testkit::{World, node, resource, set, told};

    fn world() -> World {
        let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 100G");
        let definition = Command::CreateResourceDefinition {
            name: Some("web".to_owned()),
            external_name: None,
            group: None,
            layers: vec!["STORAGE".to_owned()],
            props: Default::default(),
            drbd_port: None,
            drbd_secret: None,
            drbd_transport_type: None,
            drbd_peer_slots: None,
        };
        let volume = VolumeDefinitionInput { size_kib: 4096, ..Default::default() };
        let replica = ResourceInput {
            node: "alpha".to_owned(),
            props: [("StorPoolName".to_owned(), "thin".to_owned())].into(),
            ..Default::default()
        };
        for command in [
            definition,
            Command::CreateVolumeDefinition { resource: "web".to_owned(), volume },
            Command::CreateResources { resource: "web".to_owned(), replicas: vec![replica] },
        ] {
            assert!(world.give(&command).result.is_ok());
        }
        settled_for_tests(&mut world);
        world
    }

    fn change(world: &mut World, props: PropChange) {
        let command = Command::ModifyResourceDefinition {
            name: "web".to_owned(),
            props,
            drbd_port: None,
            drbd_peer_slots: None,
            layers: None,
            group: None,
        };
        let decision = world.give(&command);
        assert!(told(&decision).iter().all(|line| line.starts_with("SUCCESS")), "{:?}", told(&decision));
    }

    fn names(world: &World) -> Vec<String> {
        world.cluster.snapshots_of(&resource("web")).map(|snapshot| snapshot.name.to_string()).collect()
    }

    /// As many milliseconds after the moment at which test worlds decide.
    fn later(minutes: i64) -> Timestamp {
        Timestamp(1 + minutes * 60_000)
    }

    fn round(world: &mut World) {
        let _ = world.give(&Command::AutoSnapshot { resource: "web".to_owned() });
        settled_for_tests(world);
    }

    /// Makes the snapshots that are there older than they are.
    fn age(world: &mut World, minutes: i64) {
        let all: Vec<_> = world.cluster.snapshots_of(&resource("web")).cloned().collect();
        for snapshot in all {
            let created = Timestamp(snapshot.created.0 - minutes * 60_000);
            world.put(Object::Snapshot(Snapshot { created, ..(*snapshot).clone() }));
        }
    }

    #[test]
    fn one_is_taken_as_often_as_is_asked_for() {
        let mut world = world();
        let web = resource("web");
        assert!(!acts(&world.cluster, later(0), &web), "nobody asked for it");
        assert_eq!(told(&world.give(&Command::AutoSnapshot { resource: "web".to_owned() })), ["INFO Snapshot 10007 RscDfn=web"]);
        change(&mut world, set(RUN_EVERY, "15"));
        assert!(acts(&world.cluster, later(0), &web));
        let decision = world.give(&Command::AutoSnapshot { resource: "web".to_owned() });
        assert_eq!(told(&decision)[0], "SUCCESS Snapshot 1 RscDfn=web Snapshot=autoSnap00001");
        settled_for_tests(&mut world);
        let taken = world.cluster.snapshots_of(&web).next().unwrap();
        assert!(taken.flags.has(SnapshotFlag::AutoSnapshot) && taken.flags.has(SnapshotFlag::Successful));
        assert!(!acts(&world.cluster, later(14), &web) && acts(&world.cluster, later(15), &web));
        age(&mut world, 15);
        round(&mut world);
        assert_eq!(names(&world), ["autoSnap00001", "autoSnap00002"]);
        // A clock that was set back makes none of them every moment.
        age(&mut world, -60);
        assert!(acts(&world.cluster, later(0), &web));
        round(&mut world);
        assert_eq!((names(&world).len(), acts(&world.cluster, later(14), &web)), (3, false));
        // The definition says so itself; it wins over the controller.
        world.set_controller(RUN_EVERY, "1");
        assert!(!acts(&world.cluster, later(14), &web));
        change(&mut world, set(RUN_EVERY, "0"));
        assert!(!acts(&world.cluster, later(10_000), &web), "0 stops them");
        assert!(!acts(&world.cluster, later(10_000), &resource("none")));
    }

    #[test]
    fn the_oldest_go_and_nobody_s_own() {
        let mut world = world();
        change(&mut world, set(RUN_EVERY, "1"));
        change(&mut world, set(KEEP, "2"));
        let own = Command::CreateSnapshot {
            resource: "web".to_owned(),
            name: "autoSnap00003".to_owned(),
            nodes: Vec::new(),
            props: Default::default(),
        };
        assert!(world.give(&own).result.is_ok());
        settled_for_tests(&mut world);
        for _ in 0..4 {
            round(&mut world);
            age(&mut world, 1);
        }
        round(&mut world);
        assert_eq!(
            names(&world),
            ["autoSnap00003", "autoSnap00004", "autoSnap00005", "autoSnap00006"],
            "the name of somebody's own is passed over, and one more than is kept is there until the next look"
        );
        assert!(acts(&world.cluster, later(0), &resource("web")), "there is one too many");
        round(&mut world);
        assert_eq!(names(&world), ["autoSnap00003", "autoSnap00005", "autoSnap00006"]);
        change(&mut world, set(KEEP, "0"));
        for _ in 0..12 {
            age(&mut world, 1);
            round(&mut world);
        }
        assert_eq!(names(&world).len(), 15, "0 keeps all");
        change(&mut world, PropChange { delete_props: vec![KEEP.to_owned()], ..PropChange::default() });
        round(&mut world);
        assert_eq!(names(&world).len(), 11, "ten are kept where nobody says how many");
    }

    #[test]
    fn nothing_is_taken_where_nothing_is() {
        let mut world = world();
        change(&mut world, set(RUN_EVERY, "1"));
        let gone = Command::DeleteResource { resource: "web".to_owned(), node: "alpha".to_owned(), keep_tiebreaker: None };
        assert!(world.give(&gone).result.is_ok());
        settled_for_tests(&mut world);
        assert!(world.cluster.resource(&resource("web"), &node("alpha")).is_none());
        assert!(!acts(&world.cluster, later(0), &resource("web")));
    }
}
