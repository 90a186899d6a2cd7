//! Tiebreakers come and go with the disks, on every path, and are in nobody's way.

use berth_model::change::{Key, Object};
use berth_model::flags::{DefinitionFlag, ResourceFlag};
use berth_model::names::ResourceName;
use berth_model::objects::{Resource, SelectFilter};
use berth_model::props::{AUTO_TIEBREAKER, QUORUM};

use super::cancel::Machines;
use super::*;
use crate::apply::Decision;
use crate::testkit::{resource, told};
use crate::tiebreaker::{self, Verdict, judge};

/// Counted by the flags alone: disks, other diskless ones, tiebreakers; of those that stay.
fn count(cluster: &Cluster, name: &ResourceName) -> (usize, usize, usize) {
    let stays = |replica: &&Arc<Resource>| !["DELETE", "EVICTED", "EVACUATE"].iter().any(|word| replica.flags.shown().contains(word));
    let replicated = cluster.replicas(name).filter(stays).filter(|replica| replica.drbd.is_some());
    replicated.fold((0, 0, 0), |(disks, others, ties), replica| {
        let shown = replica.flags.shown();
        match (shown.contains(&"DISKLESS"), shown.contains(&"TIE_BREAKER")) {
            (false, _) => (disks + 1, others, ties),
            (true, false) => (disks, others + 1, ties),
            (true, true) => (disks, others, ties + 1),
        }
    })
}

/// At no moment there are two tiebreakers, one beside another diskless replica, or one for a number of disks that is odd.
pub(super) fn check(cluster: &Cluster) {
    for (name, definition) in &cluster.definitions {
        let (disks, others, ties) = count(cluster, name);
        if definition.flags.has(DefinitionFlag::Delete) {
            continue;
        }
        assert!(
            ties == 0 || (ties == 1 && others == 0 && disks >= 2 && disks % 2 == 0),
            "{name}: {disks} disks, {others} clients, {ties} ties"
        );
        let quorum = definition.props.get(QUORUM);
        assert!(ties == 0 || quorum == Some("majority"), "{name}: the quorum is {quorum:?} although there is a tiebreaker");
    }
}

/// What was asked for while nodes were away is made up for by balancing.
pub(super) fn check_at_rest(world: &mut World) {
    let names: Vec<ResourceName> = world.cluster.definitions.keys().cloned().collect();
    for name in &names {
        if judge(&world.cluster, name) == Verdict::Missing {
            world.give(&Command::Balance { resources: vec![name.to_string()] });
            quiet(world);
        }
        let (cluster, observed) = (&world.cluster, &world.observed);
        assert!(!tiebreaker::can_be_made(cluster, observed, name), "{name} has no tiebreaker and could: {:?}", count(cluster, name));
    }
    check(&world.cluster);
}

const THREE: [&str; 3] = ["alpha", "bravo", "charlie"];

/// `web` with disks on alpha and bravo.
pub(super) fn mirrored(more: &str) -> Machines {
    let text = format!(
        "ties; node alpha +DRBD; node bravo +DRBD; {more}; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; \
         group drbd DRBD,STORAGE 2 thin; group plain STORAGE 2 thin"
    );
    let mut machines = Machines::of(World::of(&text));
    assert!(machines.give(&spawn("web", "drbd")));
    machines.quiet(if more.contains("offline") { &["alpha", "bravo"] } else { &THREE });
    machines
}

pub(super) fn three() -> Machines {
    mirrored("node charlie +DRBD; pool thin on charlie FILE_THIN 5G")
}

/// Each replica with its kind: `disk`, `tie`, `client`.
pub(super) fn kinds(machines: &Machines) -> Vec<String> {
    let kind = |replica: &Arc<Resource>| {
        let kind = match (replica.flags.has(ResourceFlag::Diskless), replica.flags.has(ResourceFlag::TieBreaker)) {
            (false, _) => "disk",
            (true, true) => "tie",
            (true, false) => "client",
        };
        format!("{} {kind}", replica.node)
    };
    machines.world.cluster.replicas(&resource("web")).map(kind).collect()
}

fn quorum(machines: &Machines) -> String {
    machines.world.cluster.definitions[&resource("web")].props.get(QUORUM).unwrap_or("-").to_owned()
}

/// Gives a command that must go well; its entries by code.
pub(super) fn tell(machines: &mut Machines, command: &Command) -> Vec<u64> {
    let decision = machines.world.give(command);
    let applied = decision.result.unwrap_or_else(|refused| panic!("{command:?}: {:?}", refused.replies));
    advance(&mut machines.world);
    machines.quiet(&THREE);
    check(&machines.world.cluster);
    assert!(machines.world.cluster.jobs.is_empty(), "{command:?} leaves {:?}", machines.world.cluster.jobs);
    assert!(machines.world.cluster.tombstones.is_empty(), "{command:?} leaves {:?}", machines.world.cluster.tombstones);
    applied.replies.iter().map(|reply| reply.code.number()).collect()
}

fn delete(on: &str, keep: Option<bool>) -> Command {
    Command::DeleteResource { resource: "web".to_owned(), node: on.to_owned(), keep_tiebreaker: keep }
}

fn place(count: i32) -> Command {
    let filter = FilterRequest { filter: SelectFilter { place_count: Some(count), ..SelectFilter::default() }, ..FilterRequest::default() };
    Command::Autoplace { resource: "web".to_owned(), filter, diskless_on_remaining: None, layers: None }
}

fn create(on: &str, flags: &[&str]) -> Command {
    let input = crate::command::ResourceInput {
        node: on.to_owned(),
        flags: flags.iter().map(|word| (*word).to_owned()).collect(),
        props: flags.is_empty().then(|| ("StorPoolName".to_owned(), "thin".to_owned())).into_iter().collect(),
        ..Default::default()
    };
    Command::CreateResources { resource: "web".to_owned(), replicas: vec![input] }
}

fn set_on_definition(value: Option<&str>) -> Command {
    set_props(value.map(|value| (AUTO_TIEBREAKER, value)), value.is_none().then_some(AUTO_TIEBREAKER))
}

fn set_props(set: Option<(&str, &str)>, unset: Option<&str>) -> Command {
    let props = PropChange {
        override_props: set.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
        delete_props: unset.map(str::to_owned).into_iter().collect(),
        ..PropChange::default()
    };
    Command::ModifyResourceDefinition { name: "web".to_owned(), props, drbd_port: None, drbd_peer_slots: None, layers: None, group: None }
}

#[test]
fn two_disks_get_one_with_the_answer_and_its_place_is_told() {
    let mut world = World::of(
        "ties; node alpha +DRBD; node bravo +DRBD; node charlie +DRBD; pool thin on alpha FILE_THIN 10G; \
         pool thin on bravo FILE_THIN 10G; group drbd DRBD,STORAGE 2 thin; group plain STORAGE 2 thin",
    );
    let decision: Decision = world.give(&spawn("web", "drbd"));
    assert!(told(&decision).iter().any(|one| one.starts_with("INFO Resource 10003 Node=charlie RscDfn=web")), "{:?}", told(&decision));
    assert!(decision.asked.iter().any(|asked| asked.kind == crate::places::Kind::Diskless && asked.chosen[0].node == node("charlie")));
    let tie = world.cluster.resource(&resource("web"), &node("charlie")).unwrap();
    assert_eq!(tie.flags.shown(), ["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"]);
    assert_eq!(world.cluster.definitions[&resource("web")].props.get(QUORUM), Some("majority"));
    assert!(world.cluster.jobs.values().all(|job| job.task.awaited().iter().all(|one| one.node != node("charlie"))), "nobody waits for it");
    world.give(&spawn("two", "plain"));
    assert_eq!(world.cluster.replicas(&resource("two")).count(), 2, "what does not replicate has no tie to break");
}

#[test]
fn disks_and_clients_take_its_place_and_give_it_back() {
    let mut machines = three();
    let (disks, tie) = (vec!["alpha disk", "bravo disk", "charlie disk"], vec!["alpha disk", "bravo disk", "charlie tie"]);
    assert_eq!(kinds(&machines), tie);
    assert!(!tell(&mut machines, &place(3)).contains(&996), "a tiebreaker gets a disk");
    assert_eq!((kinds(&machines), quorum(&machines)), (disks.iter().map(|one| (*one).to_owned()).collect(), "majority".to_owned()));
    assert!(tell(&mut machines, &delete("charlie", None)).contains(&10006), "what is deleted stays as tiebreaker");
    assert_eq!((kinds(&machines), quorum(&machines)), (tie.iter().map(|one| (*one).to_owned()).collect(), "majority".to_owned()));
    assert!(tell(&mut machines, &create("charlie", &[])).contains(&10006));
    assert_eq!(kinds(&machines), disks);
    tell(&mut machines, &delete("charlie", None));
    assert!(tell(&mut machines, &create("charlie", &["DISKLESS"])).contains(&10006));
    assert_eq!(kinds(&machines)[2], "charlie client");
    assert!(tell(&mut machines, &delete("charlie", Some(true))).contains(&10006));
    assert_eq!(kinds(&machines), tie);
    let available = Command::MakeAvailable {
        resource: "web".to_owned(),
        node: "charlie".to_owned(),
        diskful: false,
        layers: Vec::new(),
        drbd_tcp_ports: Vec::new(),
    };
    tell(&mut machines, &available);
    assert_eq!(kinds(&machines)[2], "charlie client");
    tell(&mut machines, &toggle("web".to_owned(), "charlie".to_owned(), "INTO_DRBD_DISKFUL"));
    tell(&mut machines, &toggle("web".to_owned(), "alpha".to_owned(), "INTO_DRBD_DISKLESS"));
    assert_eq!(kinds(&machines), ["alpha client", "bravo disk", "charlie disk"], "a client breaks the tie as well");
}

#[test]
fn one_that_is_deleted_does_not_come_back_until_it_is_wanted_again() {
    let mut machines = three();
    assert_eq!(tell(&mut machines, &delete("charlie", Some(true))).len(), 1, "with keep_tiebreaker it stays");
    assert_eq!(kinds(&machines)[2], "charlie tie");
    let codes = tell(&mut machines, &delete("charlie", None));
    assert!(codes.contains(&10002), "{codes:?}");
    assert_eq!((kinds(&machines), quorum(&machines)), (vec!["alpha disk".to_owned(), "bravo disk".to_owned()], "off".to_owned()));
    assert_eq!(machines.world.cluster.definitions[&resource("web")].props.get(AUTO_TIEBREAKER), Some("False"));
    assert!(tell(&mut machines, &set_on_definition(None)).contains(&10003));
    assert_eq!(kinds(&machines)[2], "charlie tie");
    assert!(tell(&mut machines, &set_on_definition(Some("no"))).contains(&10004));
    assert_eq!(kinds(&machines).len(), 2);
}

#[test]
fn each_property_that_decides_is_followed_wherever_it_stands() {
    let mut machines = three();
    let controller = |key: &str, value: Option<&str>| Command::ModifyController {
        props: PropChange {
            override_props: value.map(|value| (key.to_owned(), value.to_owned())).into_iter().collect(),
            delete_props: value.is_none().then(|| key.to_owned()).into_iter().collect(),
            ..PropChange::default()
        },
    };
    assert!(tell(&mut machines, &controller(AUTO_TIEBREAKER, Some("False"))).contains(&10004));
    assert!(tell(&mut machines, &controller(AUTO_TIEBREAKER, Some("True"))).contains(&10003));
    assert!(tell(&mut machines, &controller(QUORUM, Some("off"))).contains(&10004));
    assert_eq!(quorum(&machines), "-", "what was chosen for all holds");
    assert!(tell(&mut machines, &controller(QUORUM, None)).contains(&10003));
    assert_eq!(quorum(&machines), "majority");
    assert!(tell(&mut machines, &set_props(Some((QUORUM, "off")), None)).contains(&10004));
    assert!(tell(&mut machines, &set_props(None, Some(QUORUM))).contains(&10003));
    let group = Command::ModifyResourceGroup {
        name: "drbd".to_owned(),
        description: None,
        filter: FilterRequest::default(),
        peer_slots: None,
        props: PropChange::set([(AUTO_TIEBREAKER.to_owned(), "no".to_owned())].into()),
    };
    assert!(tell(&mut machines, &group).contains(&10004));
    assert_eq!(kinds(&machines).len(), 2);
}

#[test]
fn without_a_node_for_it_the_answer_warns_and_balancing_makes_up_for_it() {
    let mut machines = mirrored("node charlie offline");
    assert_eq!(kinds(&machines).len(), 2);
    let decision = machines.world.give(&spawn("two", "drbd"));
    assert!(told(&decision).iter().any(|one| one.starts_with("WARNING Resource 1013 RscDfn=two")), "{:?}", told(&decision));
    let finding = |machines: &Machines| {
        crate::balance::look(&machines.world.cluster, &machines.world.observed, Timestamp(1), &resource("web")).unwrap()
    };
    assert!(!finding(&machines).acts());
    let mut seen = (**machines.world.observed.nodes.get(&node("alpha")).unwrap()).clone();
    seen.items.clear();
    machines.world.observed.nodes.insert(node("charlie"), Arc::new(seen));
    assert!(finding(&machines).acts());
    machines.quiet(&THREE);
    assert!(tell(&mut machines, &Command::Balance { resources: vec!["web".to_owned()] }).contains(&10003));
    assert_eq!(kinds(&machines)[2], "charlie tie");
}

#[test]
fn it_goes_where_the_group_wants_replicas_apart() {
    let mut world = World::of(
        "ties; node alpha +DRBD Aux/site=a; node bravo +DRBD Aux/site=b; node charlie +DRBD Aux/site=a; node delta +DRBD Aux/site=c; \
         pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; group drbd DRBD,STORAGE 2 thin",
    );
    let name = berth_model::names::ResourceGroupName::parse("drbd").unwrap();
    let mut group = (*world.cluster.groups[&name]).clone();
    group.filter.replicas_on_different = Some(vec!["Aux/site".to_owned()]);
    group.filter.node_name_list = Some(vec!["alpha".to_owned(), "bravo".to_owned()]);
    world.put(Object::ResourceGroup(group));
    world.give(&spawn("web", "drbd"));
    let on = |world: &World| world.cluster.replicas(&resource("web")).find(|one| tiebreaker::is_tie(one)).map(|one| one.node.to_string());
    assert_eq!(on(&world).as_deref(), Some("delta"), "on a site of its own, whatever nodes may have the data");
    // Without such a site any node is better than none.
    world.cluster.fold([&Change::Delete(Key::ResourceDefinition(resource("web")))]);
    world.observed.nodes.remove(&node("delta"));
    world.give(&spawn("two", "drbd"));
    assert!(world.cluster.resource(&resource("two"), &node("charlie")).is_some());
}

#[test]
fn nodes_that_go_take_it_along_and_another_takes_over() {
    let more = "node charlie +DRBD; node delta +DRBD; pool thin on charlie FILE_THIN 5G";
    let mut machines = mirrored(more);
    let four = ["alpha", "bravo", "charlie", "delta"];
    machines.quiet(&four);
    assert_eq!(kinds(&machines)[2], "charlie tie");
    assert!(machines.give(&Command::EvacuateNode { node: "charlie".to_owned(), target: Vec::new(), do_not_target: Vec::new() }));
    machines.quiet(&four);
    assert_eq!(kinds(&machines)[2], "delta tie");
    assert!(machines.give(&Command::RestoreNode { node: "charlie".to_owned(), delete_resources: false, delete_snapshots: false }));
    // A node whose satellite answers goes when it has cleaned up.
    assert!(machines.give(&Command::DeleteNode { node: "delta".to_owned() }));
    assert!(machines.world.cluster.nodes.contains_key(&node("delta")), "its satellite is told first");
    machines.quiet(&four);
    assert!(!machines.world.cluster.nodes.contains_key(&node("delta")));
    assert_eq!(kinds(&machines)[2], "charlie tie");
    // The disk of alpha finds no other place than where the tiebreaker is.
    assert!(machines.give(&Command::EvacuateNode { node: "alpha".to_owned(), target: Vec::new(), do_not_target: Vec::new() }));
    machines.quiet(&THREE);
    assert_eq!(kinds(&machines), ["bravo disk", "charlie disk"]);
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
}

#[test]
fn a_disk_that_moves_counts_once() {
    let mut machines = three();
    let migrate = Command::ToggleDisk {
        resource: "web".to_owned(),
        node: "charlie".to_owned(),
        operation: "INTO_DRBD_DISKFUL".to_owned(),
        storage_pool: Some("thin".to_owned()),
        migrate_from: Some("alpha".to_owned()),
    };
    let decision = machines.world.give(&migrate);
    let said = told(&decision);
    assert!(decision.result.is_ok() && !said.iter().any(|one| one.contains(" 1000") || one.contains(" 1013")), "{said:?}");
    advance(&mut machines.world);
    machines.quiet(&THREE);
    assert_eq!(kinds(&machines), ["alpha tie", "bravo disk", "charlie disk"], "the node that is left has it");
}

#[test]
fn a_lost_node_s_is_replaced() {
    let mut machines = mirrored("node charlie +DRBD; node delta +DRBD");
    assert_eq!(kinds(&machines)[2], "charlie tie");
    switch(&mut machines.world, "charlie", false);
    assert!(machines.give(&Command::LoseNode { node: "charlie".to_owned() }));
    assert_eq!(kinds(&machines)[2], "delta tie");
}

#[test]
fn one_in_use_is_a_client_and_stays() {
    let mut machines = three();
    let tie = machines.world.cluster.resource(&resource("web"), &node("charlie")).unwrap().clone();
    let volume = VolumeSeen {
        number: *tie.volumes.keys().next().unwrap(),
        device_path: None,
        backing_kib: berth_model::size::Kib(0),
        allocated_kib: berth_model::size::Kib(0),
        in_use: true,
        content: None,
        up_to_date: None,
    };
    let seen = ItemSeen { id: tie.id.uuid(), generation: 1, standing: Standing::Settled, volumes: vec![volume], fault: None };
    let charlie = Arc::make_mut(machines.world.observed.nodes.get_mut(&node("charlie")).unwrap());
    charlie.items.insert(tie.id.uuid(), Arc::new(ItemRecord { seen, at: Timestamp(1) }));
    assert!(machines.world.give(&delete("charlie", None)).result.is_err(), "in use");
    assert!(machines.world.give(&set_on_definition(Some("False"))).result.is_ok());
    assert_eq!(kinds(&machines)[2], "charlie client");
}

#[test]
fn work_on_all_replicas_does_not_wait_for_one_that_is_away() {
    let mut machines = mirrored("node charlie +DRBD");
    assert_eq!(kinds(&machines)[2], "charlie tie");
    switch(&mut machines.world, "charlie", false);
    let grow = Command::ModifyVolumeDefinition {
        resource: "web".to_owned(),
        number: 0,
        size_kib: Some(131_072),
        flags: Vec::new(),
        props: PropChange::default(),
    };
    assert!(machines.give(&grow));
    machines.quiet(&["alpha", "bravo"]);
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
    let volume = crate::command::VolumeDefinitionInput { size_kib: 4096, ..Default::default() };
    assert!(machines.give(&Command::CreateVolumeDefinition { resource: "web".to_owned(), volume }));
    machines.quiet(&["alpha", "bravo"]);
    assert!(machines.give(&Command::DeleteVolumeDefinition { resource: "web".to_owned(), number: 1 }));
    machines.quiet(&["alpha", "bravo"]);
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
}

#[test]
fn a_cancelled_spawn_leaves_none() {
    let mut machines = three();
    assert!(machines.give(&spawn("two", "drbd")));
    let job = machines.world.cluster.jobs.keys().next().unwrap().to_string();
    assert!(machines.give(&Command::CancelJob { id: job }));
    machines.quiet(&THREE);
    assert!(!machines.world.cluster.definitions.contains_key(&resource("two")), "{:?}", machines.world.cluster.jobs);
    assert_eq!(machines.world.cluster.replicas(&resource("two")).count(), 0);
}

#[test]
fn diskless_resources_are_counted_without_it() {
    let mut machines = three();
    let mut wide = place(2);
    if let Command::Autoplace { diskless_on_remaining, .. } = &mut wide {
        *diskless_on_remaining = Some(true);
    }
    assert!(tell(&mut machines, &wide).contains(&10006));
    assert_eq!(kinds(&machines), ["alpha disk", "bravo disk", "charlie client"]);
}
