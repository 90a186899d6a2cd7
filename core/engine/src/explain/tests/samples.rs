//! A cluster with one of everything, and one of each command for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::change::Object;
use berth_model::names::StorPoolName;
use berth_model::observed::{ItemRecord, ItemSeen, Standing, Stranger, VolumeSeen};
use berth_model::plan::Wanted;
use berth_model::props::PropChange;
use berth_model::size::Kib;
use berth_model::vault::{MasterKey, Sealed};
use uuid::Uuid;

use super::NOW;
use crate::command::{Command, FilterRequest, Given, NetIfInput, ResourceInput, SnapshotInput, VolumeDefinitionInput};
use crate::testkit::{World, break_pool, node, set, told};
use crate::{jobs, plan};

/// The names of all commands, from a match that the compiler wants whole.
macro_rules! commands {
    ($($name:ident),* $(,)?) => {
        pub(super) const ALL: &[&str] = &[$(stringify!($name)),*];
        pub(super) fn word(command: &Command) -> &'static str {
            match command { $(Command::$name { .. } => stringify!($name)),* }
        }
    };
}
commands!(
    CreateNode,
    ModifyNode,
    DeleteNode,
    LoseNode,
    ReconnectNode,
    EvacuateNode,
    EvictNode,
    RestoreNode,
    CreateNetIf,
    ModifyNetIf,
    DeleteNetIf,
    CreateStorPoolDfn,
    ModifyStorPoolDfn,
    DeleteStorPoolDfn,
    CreateStorPool,
    ModifyStorPool,
    DeleteStorPool,
    LoseStorPool,
    CreateResourceGroup,
    ModifyResourceGroup,
    DeleteResourceGroup,
    SpawnResource,
    AdjustResourceGroup,
    CreateVolumeGroup,
    ModifyVolumeGroup,
    DeleteVolumeGroup,
    CreateResourceDefinition,
    ModifyResourceDefinition,
    DeleteResourceDefinition,
    CloneResourceDefinition,
    CreateVolumeDefinition,
    ModifyVolumeDefinition,
    DeleteVolumeDefinition,
    Autoplace,
    CreateResources,
    ModifyResource,
    DeleteResource,
    MakeAvailable,
    ActivateResource,
    DeactivateResource,
    ToggleDisk,
    ModifyVolume,
    CreateSnapshot,
    CreateMultiSnapshot,
    ModifySnapshot,
    DeleteSnapshot,
    RestoreVolumeDefinitions,
    RestoreResources,
    RollbackSnapshot,
    RenameResourceDefinition,
    RenameResourceGroup,
    RenameSnapshot,
    ModifyNodeConnection,
    ModifyResourceConnection,
    ModifyDrbdProxy,
    SwitchDrbdProxy,
    PutFile,
    DeleteFile,
    DeployFile,
    CreateMasterPassphrase,
    ModifyMasterPassphrase,
    EnterMasterPassphrase,
    ModifyVolumePassphrase,
    ModifyKeyValueStore,
    DeleteKeyValueStore,
    ModifyController,
    DeleteControllerProperty,
    CreateToken,
    InitializeTokens,
    ModifyToken,
    RevokeToken,
    RemoveStranger,
    AdoptStranger,
    TakeIn,
    Balance,
    Tend,
    AutoSnapshot,
    CancelJob,
    RetryJob,
);

pub(super) fn text(text: &str) -> String {
    text.to_owned()
}

pub(super) fn spawn(name: &str, group: &str) -> Command {
    Command::SpawnResource {
        group: text(group),
        name: Some(text(name)),
        external_name: None,
        volume_sizes: vec![8192],
        partial: false,
        definitions_only: false,
        filter: FilterRequest::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

fn interface(name: &str, address: &str) -> NetIfInput {
    NetIfInput { name: text(name), address: Some(text(address)), ..NetIfInput::default() }
}

pub(super) fn definition(name: &str) -> Command {
    Command::CreateResourceDefinition {
        name: Some(text(name)),
        external_name: None,
        group: None,
        layers: vec![text("STORAGE")],
        props: BTreeMap::new(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    }
}

fn volume(name: &str, size_kib: i64) -> Command {
    let volume = VolumeDefinitionInput { size_kib, ..VolumeDefinitionInput::default() };
    Command::CreateVolumeDefinition { resource: text(name), volume }
}

fn on(nodes: &[&str]) -> Vec<ResourceInput> {
    let props = BTreeMap::from([(text("StorPoolName"), text("thin"))]);
    nodes.iter().map(|node| ResourceInput { node: text(node), props: props.clone(), ..ResourceInput::default() }).collect()
}

fn snapshot(name: &str, snapshot: &str) -> Command {
    Command::CreateSnapshot { resource: text(name), name: text(snapshot), nodes: Vec::new(), props: BTreeMap::new() }
}

/// Satellites do all that they are told until nothing is left to do.
pub(super) fn settle(world: &mut World) {
    for _ in 0..20 {
        let mut gone = Vec::new();
        let names: Vec<_> = world.cluster.nodes.keys().filter(|name| world.observed.online(name)).cloned().collect();
        for name in &names {
            let mut seen = (**world.observed.nodes.get(name).unwrap()).clone();
            for item in plan::whole(&world.cluster, name).items {
                let standing = if item.wanted() == Wanted::Absent { Standing::Gone } else { Standing::Settled };
                if standing == Standing::Gone {
                    gone.push((name.clone(), item.id()));
                }
                let seen_item = ItemSeen { id: item.id(), generation: world.cluster.serial, standing, volumes: Vec::new(), fault: None };
                seen.items.insert(item.id(), Arc::new(ItemRecord { seen: seen_item, at: NOW }));
            }
            world.observed.nodes.insert(name.clone(), Arc::new(seen));
        }
        let ids = world.ids();
        let open: Vec<_> = world.cluster.jobs.keys().copied().collect();
        let mut changes = jobs::advance(&world.cluster, &world.observed, NOW, ids, open).changes;
        for (node, id) in gone {
            changes.extend(jobs::bury(&world.cluster, &node, [id]));
        }
        if changes.is_empty() {
            return;
        }
        world.cluster.fold(&changes);
        world.cluster.serial += 1;
    }
    panic!("does not come to rest");
}

fn must(world: &mut World, command: Command) {
    let decision = world.give(&command);
    assert!(decision.result.is_ok(), "{command:?}: {:?}", told(&decision));
    settle(world);
}

/// A cluster with one of everything, at rest: `web` and `old` on two nodes with a snapshot, `kept` on a node that went away then.
pub(super) fn world() -> World {
    let mut world = World::of(
        "ties; node alpha +DRBD; node bravo +DRBD; node witness +DRBD; node empty; node away; node charlie; pool thin on alpha FILE_THIN 10G; \
         pool thin on bravo FILE_THIN 10G; pool thin on charlie FILE_THIN 9G; pool spare on alpha FILE_THIN 1G; pool dead on bravo FILE_THIN 1G; \
         group plain STORAGE 2 thin; group idle STORAGE 1; \
         group vacant STORAGE 1; group drbd DRBD,STORAGE 2 thin",
    );
    for command in [
        Command::CreateNode {
            name: text("netted"),
            node_type: None,
            net_interfaces: vec![interface("default", "10.0.0.9")],
            props: BTreeMap::new(),
        },
        Command::CreateNetIf { node: text("netted"), interface: interface("second", "10.0.0.10") },
        spawn("web", "plain"),
        spawn("old", "plain"),
        spawn("mirror", "drbd"),
        definition("bare"),
        volume("bare", 8192),
        definition("target"),
        definition("void"),
        definition("kept"),
        volume("kept", 4096),
        Command::CreateResources { resource: text("kept"), replicas: on(&["charlie"]) },
        snapshot("web", "s1"),
        snapshot("old", "s1"),
        Command::ModifyResourceDefinition {
            name: text("old"),
            props: set(crate::autosnap::RUN_EVERY, "15"),
            drbd_port: None,
            drbd_peer_slots: None,
            layers: None,
            group: None,
        },
        snapshot("kept", "s1"),
        Command::CreateVolumeGroup { group: text("idle"), number: None, flags: Vec::new(), props: BTreeMap::new() },
        Command::CreateStorPoolDfn { name: text("lone"), props: BTreeMap::new() },
        Command::ModifyController { props: set("Aux/here", "1") },
        Command::CreateToken { token_sha256: "a".repeat(64), description: Some(text("ci")), expires_at: None, ip_filter: None, role: None },
        Command::ModifyController { props: set("Aux/stays", "1") },
        Command::CreateMasterPassphrase { key: master_key("b2xk") },
        Command::PutFile { path: text("/etc/x.conf"), content: Some(text("eA==")), alt_suffixes: None },
        Command::ModifyKeyValueStore {
            name: text("store"),
            expected: BTreeMap::new(),
            override_props: [(text("db-password"), text("hush"))].into(),
            delete_props: Vec::new(),
            delete_namespaces: Vec::new(),
        },
        Command::RestoreVolumeDefinitions { resource: text("web"), name: text("s1"), to_resource: text("target") },
    ] {
        must(&mut world, command);
    }
    let mut away = (**world.cluster.nodes.get(&node("away")).unwrap()).clone();
    away.flags.set(berth_model::flags::NodeFlag::Evicted);
    world.put(Object::Node(away));
    let empty = Arc::make_mut(world.observed.nodes.get_mut(&node("empty")).unwrap());
    let able = empty.capabilities.as_mut().map(Arc::make_mut).unwrap();
    able.providers.push(berth_model::layers::ProviderKind::FileThin);
    let alpha = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    alpha.strangers = Some((Arc::new(vec![stranger(LEFT, "lost_00003", "lost/3"), stranger(COPY, "lost_00003.s9", "lost/3@s9")]), NOW));
    break_pool(&mut world, "bravo", "dead");
    let charlie = Arc::make_mut(world.observed.nodes.get_mut(&node("charlie")).unwrap());
    charlie.status = berth_model::observed::ConnectionStatus::Offline;
    charlie.reason = Some("It was unplugged.".to_owned());
    world
}

/// A master key as the shell makes it.
pub(super) fn master_key(secret: &str) -> MasterKey {
    let id = berth_model::ids::Id::from_uuid(Uuid::nil());
    let (memory_kib, passes, lanes) = (8, 1, 1);
    let (created, changed) = (NOW, NOW);
    MasterKey { id, memory_kib, passes, lanes, salt: text("salt"), secret: Sealed::new(secret), created, changed }
}

/// A volume and a snapshot's copy on `alpha` that nobody names.
pub(super) const LEFT: Uuid = Uuid::from_u128(0x1ef7);
pub(super) const COPY: Uuid = Uuid::from_u128(0xc09f);

fn stranger(id: Uuid, backing: &str, name: &str) -> Stranger {
    let pool = StorPoolName::parse("thin").unwrap();
    let snapshot = name.contains('@');
    Stranger { pool, backing: text(backing), snapshot, id, content: Uuid::from_u128(7), name: text(name), size_kib: Kib(8192) }
}

/// At least one of each command, all of which fit [`world`].
pub(super) fn samples() -> Vec<Command> {
    let (alpha, web) = (text("alpha"), text("web"));
    let filter = FilterRequest::default();
    vec![
        Command::CreateNode {
            name: text("delta"),
            node_type: None,
            net_interfaces: vec![interface("default", "10.0.0.1")],
            props: BTreeMap::new(),
        },
        Command::ModifyNode { node: alpha.clone(), node_type: None, props: set("Aux/zone", "b") },
        Command::DeleteNode { node: text("empty") },
        Command::LoseNode { node: text("charlie") },
        Command::ReconnectNode { node: alpha.clone() },
        Command::EvacuateNode { node: alpha.clone(), target: Vec::new(), do_not_target: Vec::new() },
        Command::EvictNode { node: text("charlie") },
        Command::RestoreNode { node: text("away"), delete_resources: false, delete_snapshots: false },
        Command::CreateNetIf { node: alpha.clone(), interface: interface("fast", "10.0.0.2") },
        Command::ModifyNetIf { node: text("netted"), interface: interface("second", "10.0.0.11") },
        Command::DeleteNetIf { node: text("netted"), name: text("second") },
        Command::CreateStorPoolDfn { name: text("fresh"), props: BTreeMap::new() },
        Command::ModifyStorPoolDfn { name: text("thin"), props: set("Aux/x", "y") },
        Command::DeleteStorPoolDfn { name: text("lone") },
        Command::CreateStorPool {
            node: text("empty"),
            name: text("thin"),
            provider_kind: text("FILE_THIN"),
            shared_space: None,
            external_locking: false,
            props: [(text("StorDriver/StorPoolName"), text("/pools/e"))].into(),
        },
        Command::ModifyStorPool { node: alpha.clone(), name: text("spare"), props: set("StorDriver/StorPoolName", "/pools/s") },
        Command::DeleteStorPool { node: alpha.clone(), name: text("spare") },
        Command::LoseStorPool { node: text("bravo"), name: text("dead") },
        Command::CreateResourceGroup {
            name: text("gold"),
            description: None,
            filter: filter.clone(),
            peer_slots: None,
            props: BTreeMap::new(),
        },
        Command::ModifyResourceGroup {
            name: text("idle"),
            description: Some(text("for nothing")),
            filter: filter.clone(),
            peer_slots: None,
            props: PropChange::default(),
        },
        Command::DeleteResourceGroup { name: text("idle") },
        spawn("extra", "plain"),
        Command::AdjustResourceGroup { group: Some(text("plain")), filter: filter.clone() },
        Command::CreateVolumeGroup { group: text("vacant"), number: None, flags: Vec::new(), props: BTreeMap::new() },
        Command::ModifyVolumeGroup { group: text("idle"), number: 0, flags: Vec::new(), props: set("Aux/x", "y") },
        Command::DeleteVolumeGroup { group: text("idle"), number: 0 },
        definition("more"),
        Command::ModifyResourceDefinition {
            name: web.clone(),
            props: set("Aux/owner", "me"),
            drbd_port: None,
            drbd_peer_slots: None,
            layers: None,
            group: None,
        },
        Command::DeleteResourceDefinition { name: text("bare") },
        Command::CloneResourceDefinition {
            source: web.clone(),
            name: Some(text("copy")),
            external_name: None,
            layers: Vec::new(),
            group: None,
            props: PropChange::default(),
            use_zfs_clone: None,
            passphrases: Vec::new(),
        },
        volume("web", 4096),
        Command::ModifyVolumeDefinition {
            resource: web.clone(),
            number: 0,
            size_kib: Some(16384),
            flags: Vec::new(),
            props: PropChange::default(),
        },
        Command::DeleteVolumeDefinition { resource: web.clone(), number: 0 },
        Command::Autoplace {
            resource: text("bare"),
            filter: FilterRequest { filter: berth_model::objects::SelectFilter { place_count: Some(1), ..Default::default() }, ..filter },
            diskless_on_remaining: None,
            layers: None,
        },
        Command::CreateResources { resource: text("bare"), replicas: on(&["alpha"]) },
        Command::ModifyResource {
            resource: web.clone(),
            node: alpha.clone(),
            props: set("Aux/x", "y"),
            drbd_tiebreaker: None,
            drbd_client: None,
        },
        Command::DeleteResource { resource: web.clone(), node: alpha.clone(), keep_tiebreaker: None },
        Command::DeleteResource { resource: text("kept"), node: text("charlie"), keep_tiebreaker: None },
        Command::MakeAvailable {
            resource: web.clone(),
            node: alpha.clone(),
            diskful: true,
            layers: Vec::new(),
            drbd_tcp_ports: Vec::new(),
        },
        Command::ActivateResource { resource: web.clone(), node: alpha.clone() },
        Command::DeactivateResource { resource: web.clone(), node: alpha.clone() },
        Command::ToggleDisk {
            resource: text("mirror"),
            node: alpha.clone(),
            operation: text("INTO_DRBD_DISKLESS"),
            storage_pool: None,
            migrate_from: None,
        },
        Command::ModifyVolume { resource: web.clone(), node: alpha.clone(), number: 0, props: set("Aux/x", "y") },
        snapshot("web", "s2"),
        Command::CreateMultiSnapshot {
            snapshots: ["web", "old"]
                .map(|name| SnapshotInput { resource: text(name), name: text("both"), nodes: Vec::new(), props: BTreeMap::new() })
                .into(),
        },
        Command::ModifySnapshot { resource: web.clone(), name: text("s1"), props: set("Aux/x", "y") },
        Command::DeleteSnapshot { resource: web.clone(), name: text("s1"), nodes: Vec::new() },
        Command::DeleteSnapshot { resource: text("kept"), name: text("s1"), nodes: Vec::new() },
        Command::RestoreVolumeDefinitions { resource: web.clone(), name: text("s1"), to_resource: text("void") },
        Command::RestoreResources {
            resource: web.clone(),
            name: text("s1"),
            to_resource: text("target"),
            nodes: Vec::new(),
            stor_pool_rename: BTreeMap::new(),
        },
        Command::AutoSnapshot { resource: text("old") },
        Command::RollbackSnapshot { resource: web, name: text("s1"), zfs_rollback_strategy: None },
        Command::RenameResourceDefinition { name: text("mirror"), new_name: text("looking-glass") },
        Command::RenameResourceDefinition { name: text("web"), new_name: text("net") },
        Command::RenameResourceGroup { name: text("plain"), new_name: text("simple") },
        Command::RenameSnapshot { resource: text("web"), name: text("s1"), new_name: text("first") },
        Command::ModifyNodeConnection { node_a: text("bravo"), node_b: text("alpha"), props: set("Aux/link", "10g") },
        Command::ModifyResourceConnection {
            resource: text("mirror"),
            node_a: text("alpha"),
            node_b: text("bravo"),
            props: set("Aux/link", "10g"),
        },
        Command::ModifyDrbdProxy {
            resource: text("mirror"),
            props: set("DrbdOptions/Proxy/memlimit", "100000000"),
            compression_type: Some(text("zlib")),
            compression_props: [(text("level"), text("9"))].into(),
        },
        Command::SwitchDrbdProxy { resource: text("mirror"), node_a: text("alpha"), node_b: text("bravo"), on: false },
        Command::PutFile { path: text("/etc/y.conf"), content: Some(text("eQ==")), alt_suffixes: None },
        Command::DeleteFile { path: text("/etc/x.conf") },
        Command::DeployFile { resource: text("web"), path: text("/etc/x.conf"), deployed: true },
        Command::ModifyMasterPassphrase { key: Some(master_key("b3RoZXI=")) },
        Command::EnterMasterPassphrase { right: true },
        Command::ModifyVolumePassphrase { resource: text("bare"), number: 0, passphrase: Given::Sealed(Sealed::new("c2VhbGVk")) },
        Command::ModifyKeyValueStore {
            name: text("store"),
            expected: BTreeMap::new(),
            override_props: [(text("db-password"), text("sesame"))].into(),
            delete_props: Vec::new(),
            delete_namespaces: Vec::new(),
        },
        Command::DeleteKeyValueStore { name: text("store") },
        Command::ModifyController { props: set("Aux/there", "2") },
        Command::DeleteControllerProperty { key: text("Aux/here") },
        Command::CreateToken {
            token_sha256: "c".repeat(64),
            description: Some(text("another")),
            expires_at: None,
            ip_filter: None,
            role: Some(text("viewer")),
        },
        Command::InitializeTokens { token_sha256: "d".repeat(64), description: None, only_satellites: false, no_https: true },
        Command::ModifyToken { id: text("1"), description: Some(text("new")), ip_filter: None, is_active: None, role: None },
        Command::RevokeToken { id: text("1") },
        Command::RemoveStranger { node: alpha.clone(), pool: text("thin"), id: LEFT.to_string() },
        Command::RemoveStranger { node: alpha.clone(), pool: text("thin"), id: COPY.to_string() },
        Command::AdoptStranger { node: alpha, pool: text("thin"), id: LEFT.to_string(), resource: text("found") },
    ]
}

/// Each command with the cluster that it fits: [`samples`], and what needs an open job.
pub(super) fn cases() -> Vec<(World, Command)> {
    let copy = |world: &World| World { cluster: world.cluster.clone(), observed: world.observed.clone(), ..World::of("") };
    let rest = world();
    let mut busy = copy(&rest);
    let evacuate = Command::EvacuateNode { node: text("charlie"), target: Vec::new(), do_not_target: Vec::new() };
    assert!(busy.give(&evacuate).result.is_ok());
    let id = busy.cluster.jobs.keys().next().expect("an evacuation").to_string();
    let mut keyless = copy(&rest);
    keyless.cluster.fold([&berth_model::change::Change::Delete(berth_model::change::Key::MasterKey)]);
    let first = (keyless, Command::CreateMasterPassphrase { key: master_key("bmV3") });
    // One replica too many.
    let mut full = copy(&rest);
    let mut group = (**full.cluster.groups.values().find(|group| group.name.as_str() == "drbd").expect("the group")).clone();
    group.filter.place_count = Some(1);
    full.put(Object::ResourceGroup(group));
    let mut controller = (*full.cluster.controller).clone();
    controller.props.insert_internal(crate::balance::GRACE_PERIOD, "0");
    full.put(Object::Controller(controller));
    let replicas: Vec<_> = full.cluster.replicas(&crate::testkit::resource("mirror")).cloned().collect();
    for replica in replicas {
        let volume = |(number, volume): (&berth_model::names::VolumeNumber, &berth_model::objects::Volume)| VolumeSeen {
            number: *number,
            device_path: None,
            backing_kib: volume.backing_kib,
            allocated_kib: Kib(0),
            in_use: false,
            content: Some(volume.content.id.uuid()),
            up_to_date: Some(true),
        };
        let volumes = replica.volumes.iter().map(volume).collect();
        let (id, generation) = (replica.id.uuid(), full.cluster.serial);
        let seen = ItemSeen { id, generation, standing: Standing::Settled, volumes, fault: None };
        let node = Arc::make_mut(full.observed.nodes.get_mut(&replica.node).expect("its node"));
        node.items.insert(id, Arc::new(ItemRecord { seen, at: NOW }));
    }
    // The same one, which it got by itself.
    let mut given = copy(&full);
    let last = given.cluster.replicas(&crate::testkit::resource("mirror")).last().expect("a replica").clone();
    let mut last = (*last).clone();
    last.flags.set(berth_model::flags::ResourceFlag::AutoDiskful);
    given.put(Object::Resource(last));
    let tend = (given, Command::Tend { resource: text("mirror"), disk_on: None });
    let balance = (full, Command::Balance { resources: vec![text("mirror")] });
    let mut unmarked = copy(&rest);
    let item = unmarked.cluster.resource(&crate::testkit::resource("web"), &node("alpha")).expect("a replica").id.uuid();
    let alpha = Arc::make_mut(unmarked.observed.nodes.get_mut(&node("alpha")).expect("its node"));
    let record = Arc::make_mut(alpha.items.get_mut(&item).expect("it was seen"));
    record.seen.standing = Standing::Faulty;
    record.seen.fault = Some(berth_model::observed::Fault {
        kind: berth_model::observed::FaultKind::Foreign,
        message: text("It carries no mark."),
        cause: String::new(),
        correction: String::new(),
        details: String::new(),
        holders: Vec::new(),
    });
    let take_in = (unmarked, Command::TakeIn { node: text("alpha"), pool: None, resource: Some(text("web")) });
    let of_rest = samples().into_iter().map(|command| (copy(&rest), command));
    let of_busy = [Command::CancelJob { id: id.clone() }, Command::RetryJob { id }].map(|command| (copy(&busy), command));
    of_rest.chain(of_busy).chain([balance, tend, first, take_in]).collect()
}
