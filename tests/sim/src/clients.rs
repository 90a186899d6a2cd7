//! Clients: each has resources of its own, asks for one thing after the other, and writes to its volumes.

use std::sync::Arc;

use berth_engine::balance;
use berth_engine::command::{Command, FilterRequest, NetIfInput};
use berth_model::cluster::Cluster;
use berth_model::flags::ResourceFlag;
use berth_model::layers::LayerKind;
use berth_model::names::{NodeName, ResourceGroupName, ResourceName};
use berth_model::objects::Resource;
use berth_model::plan::ContentSource;
use berth_model::props::PropChange;
use berth_plugin_sdk::{Files, Mark};
use tokio_util::sync::CancellationToken;

use crate::stage::Stage;
use crate::world::Draw;

/// Resource groups, and what they ask for: layers, replicas.
const GROUPS: [(&str, &[&str], i32); 3] = [("single", &["STORAGE"], 1), ("twin", &["STORAGE"], 2), ("pair", &["DRBD", "STORAGE"], 2)];
/// What people add to the name of a group, and take off again.
const RENAMED: &str = "-b";
/// Names of one client.
const NAMES: usize = 3;
/// Names of a resource's snapshots.
const SNAPSHOTS: [&str; 3] = ["s1", "s2", "s3"];
/// Smallest size.
const SMALL: i64 = 16 << 10;

fn props(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The command that makes a machine a node.
#[must_use]
pub fn create_node(name: &str, address: std::net::SocketAddr) -> Command {
    Command::CreateNode {
        name: name.to_owned(),
        node_type: Some("Satellite".to_owned()),
        net_interfaces: vec![NetIfInput {
            name: "default".to_owned(),
            address: Some(address.ip().to_string()),
            satellite_port: Some(i64::from(address.port())),
            satellite_encryption_type: None,
            is_active: Some(true),
        }],
        props: props(&[]),
    }
}

/// The commands that give a node its pools.
#[must_use]
pub fn create_pools(node: &str) -> Vec<Command> {
    let pool = |(name, kind): (&str, &str)| Command::CreateStorPool {
        node: node.to_owned(),
        name: name.to_owned(),
        provider_kind: kind.to_owned(),
        shared_space: None,
        external_locking: false,
        props: props(&[("StorDriver/StorPoolName", &format!("/{name}"))]),
    };
    [("thin", "FILE_THIN"), ("thick", "FILE")].map(pool).into()
}

/// The commands that make the groups.
#[must_use]
pub fn create_groups() -> Vec<Command> {
    let group = |(name, layers, count): &(&str, &[&str], i32)| {
        let mut filter = FilterRequest::default();
        filter.filter.place_count = Some(*count);
        filter.layer_stack = Some(layers.iter().map(|layer| (*layer).to_owned()).collect());
        let create =
            Command::CreateResourceGroup { name: (*name).to_owned(), description: None, filter, peer_slots: None, props: props(&[]) };
        let volume = Command::CreateVolumeGroup { group: (*name).to_owned(), number: None, flags: Vec::new(), props: props(&[]) };
        [create, volume]
    };
    GROUPS.iter().flat_map(group).collect()
}

/// The command that makes rounds of balancing frequent: every so many seconds, of replicas that are a few seconds old.
#[must_use]
pub fn balance_often(rng: &mut fastrand::Rng) -> Command {
    let props = props(&[(balance::INTERVAL, &rng.u32(1..20).to_string()), (balance::GRACE_PERIOD, &rng.u32(0..10).to_string())]);
    Command::ModifyController { props: PropChange::set(props) }
}

/// One client, until `done`.
pub async fn client(stage: Arc<Stage>, number: usize, names: Vec<String>, done: CancellationToken) {
    let actor = format!("client-{number}");
    let mut rng = stage.world.fork(&actor);
    loop {
        let pause = rng.millis(20, 1500);
        tokio::select! {
            biased;
            () = done.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let Some(view) = stage.view() else { continue };
        if rng.permille(250) {
            write(&stage, &view.cluster, number, &names, &mut rng);
            continue;
        }
        for command in next(&view.cluster, &names, &mut rng) {
            // A client that hangs up learns nothing; what it asked for goes on.
            let patience = if rng.permille(150) { rng.millis(1, 200) } else { rng.millis(60_000, 60_000) };
            let told = tokio::time::timeout(patience, stage.ask(&actor, command)).await;
            if !told.is_ok_and(|told| told.is_success()) {
                break;
            }
        }
    }
}

/// The names of one client's resources.
#[must_use]
pub fn names(number: usize) -> Vec<String> {
    (0..NAMES).map(|name| format!("c{number}-{name}")).collect()
}

fn name_of(names: &[String], rng: &mut fastrand::Rng) -> String {
    rng.one_of(names).cloned().unwrap_or_default()
}

/// The name that a group has now: people rename them.
fn present(cluster: &Cluster, group: &str) -> String {
    let other = format!("{group}{RENAMED}");
    let is_there = ResourceGroupName::parse(&other).is_ok_and(|name| cluster.groups.contains_key(&name));
    if is_there { other } else { group.to_owned() }
}

/// What a client asks for next: commands of which each needs the one before.
fn next(cluster: &Cluster, names: &[String], rng: &mut fastrand::Rng) -> Vec<Command> {
    let jobs: Vec<String> = cluster.jobs.keys().map(ToString::to_string).collect();
    if let Some(id) = rng.one_of(&jobs).filter(|_| rng.permille(300)).cloned() {
        // Anybody's job.
        return vec![if rng.permille(300) { Command::RetryJob { id } } else { Command::CancelJob { id } }];
    }
    if rng.permille(20) {
        let (group, _, _) = GROUPS[rng.usize(..GROUPS.len())];
        let (now, other) = (present(cluster, group), format!("{group}{RENAMED}"));
        let new_name = if now == other { group.to_owned() } else { other };
        return vec![Command::RenameResourceGroup { name: now, new_name }];
    }
    if rng.permille(50) {
        // Somebody thinks anew of how safe the data shall be.
        let mut filter = FilterRequest::default();
        filter.filter.place_count = Some(rng.i32(1..4));
        let name = present(cluster, "pair");
        return vec![Command::ModifyResourceGroup { name, description: None, filter, peer_slots: None, props: PropChange::default() }];
    }
    let snapshots: Vec<_> = cluster.snapshots.values().flat_map(|snapshots| snapshots.values()).collect();
    let own = |snapshot: &&&std::sync::Arc<berth_model::snapshot::Snapshot>| names.iter().any(|name| snapshot.resource.as_str() == name);
    let free = names.iter().find(|name| ResourceName::parse(name).is_ok_and(|name| !cluster.definitions.contains_key(&name)));
    if let (Some(snapshot), Some(free)) = (rng.one_of(&snapshots).filter(|one| own(one)), free)
        && rng.permille(300)
    {
        return restore(snapshot, free);
    }
    vec![single(cluster, names, rng)]
}

/// Makes a new resource of a snapshot.
fn restore(snapshot: &berth_model::snapshot::Snapshot, name: &str) -> Vec<Command> {
    let (resource, of) = (snapshot.resource.to_string(), snapshot.name.to_string());
    vec![
        Command::CreateResourceDefinition {
            name: Some(name.to_owned()),
            external_name: None,
            group: None,
            layers: snapshot.layers.iter().map(ToString::to_string).collect(),
            props: props(&[]),
            drbd_port: None,
            drbd_secret: None,
            drbd_transport_type: None,
            drbd_peer_slots: None,
        },
        Command::RestoreVolumeDefinitions { resource: resource.clone(), name: of.clone(), to_resource: name.to_owned() },
        Command::RestoreResources {
            resource,
            name: of,
            to_resource: name.to_owned(),
            nodes: Vec::new(),
            stor_pool_rename: Default::default(),
        },
    ]
}

/// One command on one of the names.
fn single(cluster: &Cluster, names: &[String], rng: &mut fastrand::Rng) -> Command {
    let name = name_of(names, rng);
    let known = ResourceName::parse(&name).ok().and_then(|name| cluster.definitions.get(&name).cloned());
    let Some(definition) = known else {
        let (group, _, _) = GROUPS[rng.usize(..GROUPS.len())];
        return Command::SpawnResource {
            group: present(cluster, group),
            name: Some(name),
            external_name: None,
            volume_sizes: vec![SMALL * rng.i64(1..8)],
            partial: false,
            definitions_only: false,
            filter: FilterRequest::default(),
            props: props(&[]),
            peer_slots: None,
            passphrases: Vec::new(),
        };
    };
    let snapshot_name = SNAPSHOTS[rng.usize(..SNAPSHOTS.len())].to_owned();
    let nodes: Vec<String> = cluster.replicas(&definition.name).map(|replica| replica.node.to_string()).collect();
    let node = rng.one_of(&nodes).cloned().unwrap_or_else(|| "alpha".to_owned());
    let size = definition.volumes.values().next().map_or(SMALL, |volume| i64::try_from(volume.size_kib.0).unwrap_or(SMALL));
    match rng.u32(..100) {
        0..15 => Command::DeleteResourceDefinition { name },
        15..30 => Command::ModifyVolumeDefinition {
            resource: name,
            number: 0,
            size_kib: Some(size + SMALL * rng.i64(1..4)),
            flags: Vec::new(),
            props: Default::default(),
        },
        30..48 => Command::CreateSnapshot { resource: name, name: snapshot_name, nodes: Vec::new(), props: props(&[]) },
        48..56 => Command::DeleteSnapshot { resource: name, name: snapshot_name, nodes: Vec::new() },
        56..66 => Command::RollbackSnapshot { resource: name, name: snapshot_name, zfs_rollback_strategy: None },
        66..74 => Command::CloneResourceDefinition {
            source: name,
            name: Some(name_of(names, rng)),
            external_name: None,
            layers: Vec::new(),
            group: None,
            props: Default::default(),
            use_zfs_clone: None,
            passphrases: Vec::new(),
        },
        74..80 => Command::DeactivateResource { resource: name, node },
        80..88 => Command::ActivateResource { resource: name, node },
        88..92 => Command::DeleteResource { resource: name, node, keep_tiebreaker: None },
        92..94 => Command::DeleteVolumeDefinition { resource: name, number: 0 },
        94..96 => Command::RenameResourceDefinition { name, new_name: name_of(names, rng) },
        96..98 => {
            let new_name = SNAPSHOTS[rng.usize(..SNAPSHOTS.len())].to_owned();
            Command::RenameSnapshot { resource: name, name: snapshot_name, new_name }
        }
        _ => Command::Autoplace { resource: name, filter: FilterRequest::default(), diskless_on_remaining: None, layers: None },
    }
}

/// Writes to every replica of a resource that nobody works on, through its device.
fn write(stage: &Stage, cluster: &Cluster, number: usize, names: &[String], rng: &mut fastrand::Rng) {
    let Ok(name) = ResourceName::parse(&name_of(names, rng)) else { return };
    // What a controller shows that is cut off from its disk is not what is asked for now.
    let truth = stage.checks.truth();
    let quiet = |cluster: &Cluster| {
        let source = |resource: &Resource| resource.volumes.values().all(|volume| volume.content.source == ContentSource::Kept);
        cluster.jobs.values().all(|job| job.resource() != Some(&name) && !job_reads(job, &name))
            && cluster.replicas(&name).all(|r| source(r))
    };
    if !quiet(cluster) || !quiet(&truth) {
        return;
    }
    let value = rng.u64(1..);
    for replica in truth.replicas(&name) {
        let replicated = replica.layers.contains(&LayerKind::Drbd);
        if replicated || replica.flags.has(ResourceFlag::Inactive) || replica.flags.has(ResourceFlag::Diskless) {
            continue;
        }
        let Some(machine) = stage.machines.iter().find(|machine| machine.name == replica.node.as_str()) else { continue };
        for (volume_number, volume) in &replica.volumes {
            let file = format!("{}.img", volume.backing);
            let Some(device) = machine.link(&name, *volume_number) else { continue };
            for pool in machine.pools().values() {
                let seen = pool.look(&file).ok().flatten();
                let mark = seen.and_then(|seen| seen.mark).and_then(|mark| Mark::parse(&mark).ok());
                let mine = mark.is_some_and(|m| m.generation == volume.id.uuid() && m.content == volume.content.id.uuid());
                let served = pool.device(&file).ok().flatten().is_some_and(|found| found.path == device);
                if mine && served {
                    pool.write(&file, value);
                    // What was not synced may be lost with the power, which is the client's own affair.
                    let _ = pool.sync(&file);
                    stage.checks.wrote(volume.content.id.uuid(), value);
                    stage.world.note(&format!("client-{number} writes {value:x} to '{name}' on {}", machine.name));
                }
            }
        }
    }
}

/// Whether a job copies from this resource.
fn job_reads(job: &berth_model::job::Job, name: &ResourceName) -> bool {
    use berth_model::job::Task;
    matches!(&job.task, Task::Clone { from, .. } | Task::Restore { from, .. } if from == name)
}

/// The operator gives a node up.
pub async fn lose_node(stage: &Stage, node: &NodeName) {
    let _told = stage.ask("operator", Command::LoseNode { node: node.to_string() }).await;
}

/// The operator wants a node empty.
pub async fn evacuate_node(stage: &Stage, node: &NodeName) {
    let command = Command::EvacuateNode { node: node.to_string(), target: Vec::new(), do_not_target: Vec::new() };
    let _told = stage.ask("operator", command).await;
}

/// The operator takes a node in again.
pub async fn restore_node(stage: &Stage, node: &NodeName) {
    let command = Command::RestoreNode { node: node.to_string(), delete_resources: false, delete_snapshots: false };
    let _told = stage.ask("operator", command).await;
}

/// The operator deletes what is left of replicas that a deletion had begun to remove when it was taken back, and those whose data nobody
/// is left to give.
pub async fn delete_the_half_deleted(stage: &Stage) {
    let Some(view) = stage.view() else { return };
    let half = stage.checks.half_deleted(&view).into_iter().map(|resource| (*resource).clone());
    for resource in half.chain(stage.checks.orphans()) {
        let command =
            Command::DeleteResource { resource: resource.name.to_string(), node: resource.node.to_string(), keep_tiebreaker: None };
        let _told = stage.ask("operator", command).await;
    }
}

/// The operator removes what drifted: objects of the cluster that no plan names.
pub async fn remove_strangers(stage: &Stage) {
    let Some(view) = stage.view() else { return };
    for (node, seen) in &view.observed.nodes {
        let Some((strangers, _)) = &seen.strangers else { continue };
        // Only of nodes that were given up: anything else that is left behind is a fault, and is not cleared away here.
        for found in strangers.iter().filter(|found| stage.checks.is_abandoned(found.id)) {
            let command = Command::RemoveStranger { node: node.to_string(), pool: found.pool.to_string(), id: found.id.to_string() };
            let _told = stage.ask("operator", command).await;
        }
    }
}
