//! Definitions that get as many replicas as are wanted, and what random clusters look like after evacuations and balancing.

use std::collections::BTreeSet;

use berth_model::change::Object;
use berth_model::flags::{DefinitionFlag, ResourceFlag};
use berth_model::names::{NodeName, ResourceGroupName, ResourceName};
use berth_model::objects::{Resource, SelectFilter};
use berth_model::observed::Observed;

use super::cancel::{Deed, Machines};
use super::*;
use crate::balance::{Action, Finding, look as find};
use crate::testkit::{resource, told};

fn machines(count: usize) -> Machines {
    let nodes: Vec<String> =
        (0..count).map(|at| format!("node n{at} +DRBD Aux/rack=r{}; pool thin on n{at} FILE_THIN {}G", at / 2, 90 - at)).collect();
    let mut machines = Machines::of(World::of(&format!("{}; group drbd DRBD,STORAGE 2 thin; group plain STORAGE 2 thin", nodes.join(";"))));
    machines.world.set_controller("BalanceResourcesGracePeriod", "0");
    machines
}

fn edit_group(machines: &mut Machines, name: &str, edit: impl FnOnce(&mut SelectFilter)) {
    let mut group = (**machines.world.cluster.groups.get(&ResourceGroupName::parse(name).unwrap()).unwrap()).clone();
    edit(&mut group.filter);
    machines.world.put(Object::ResourceGroup(group));
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("n{at}")).collect()
}

fn quiet(machines: &mut Machines, count: usize) {
    let names = names(count);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    machines.quiet(&names);
}

fn finding(machines: &Machines, name: &str) -> Finding {
    find(&machines.world.cluster, &machines.world.observed, Timestamp(1), &resource(name)).unwrap()
}

fn on(machines: &Machines, name: &str) -> Vec<String> {
    machines.world.cluster.replicas(&resource(name)).map(|replica| replica.node.to_string()).collect()
}

fn why(machines: &Machines, name: &str) -> String {
    match finding(machines, name).action {
        Action::LeaveAlone { why } | Action::Remove { why, .. } => why,
        other => format!("{other:?}"),
    }
}

fn balance(machines: &mut Machines, name: &str) -> Vec<String> {
    let decision = machines.world.give(&Command::Balance { resources: vec![name.to_owned()] });
    advance(&mut machines.world);
    told(&decision)
}

#[test]
fn what_is_missing_is_placed_and_what_is_too_much_goes() {
    let mut world = machines(4);
    assert!(world.give(&spawn("web", "drbd")));
    assert!(world.give(&spawn("own", "plain")));
    quiet(&mut world, 4);
    assert_eq!(finding(&world, "web").action, Action::Nothing);
    for group in ["drbd", "plain"] {
        edit_group(&mut world, group, |filter| filter.place_count = Some(3));
    }
    assert_eq!(finding(&world, "web").action, Action::Add { count: 1 });
    assert!(why(&world, "own").contains("do not replicate"));
    assert_eq!(balance(&mut world, "web")[0], "INFO ResourceDefinition 10007 RscDfn=web");
    quiet(&mut world, 4);
    assert_eq!(on(&world, "web"), ["n0", "n1", "n2"]);
    edit_group(&mut world, "drbd", |filter| filter.place_count = Some(1));
    // The pools of n2 are the smallest.
    assert!(matches!(finding(&world, "web").action, Action::Remove { node, .. } if node.as_str() == "n2"));
    for left in [2, 1] {
        balance(&mut world, "web");
        assert!(!finding(&world, "web").acts(), "one at a time");
        quiet(&mut world, 4);
        assert_eq!(on(&world, "web").len(), left);
    }
    assert_eq!((finding(&world, "web").action, on(&world, "web")), (Action::Nothing, vec!["n0".to_owned()]));
    assert!(world.world.cluster.jobs.is_empty());
}

#[test]
fn a_clone_gets_a_replica_more_and_balancing_takes_the_worst_away() {
    let clone = |name: &str, of: &str| Command::CloneResourceDefinition {
        source: of.to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        layers: Vec::new(),
        group: None,
        props: Default::default(),
        use_zfs_clone: None,
        passphrases: Vec::new(),
    };
    let mut world = machines(4);
    assert!(world.give(&spawn("web", "drbd")));
    assert!(world.give(&spawn("own", "plain")));
    quiet(&mut world, 4);
    assert!(world.give(&clone("still", "web")));
    quiet(&mut world, 4);
    let disks = |world: &Machines, name: &str| -> Vec<String> {
        let name = resource(name);
        let disks = world.world.cluster.replicas(&name).filter(|one| !one.flags.has(ResourceFlag::Diskless));
        disks.map(|one| one.node.to_string()).collect()
    };
    assert_eq!(disks(&world, "still"), ["n0", "n1"], "only where it is asked for");
    world.world.set_controller("Clone/BalanceAfterClone", "True");
    for (name, of) in [("copy", "web"), ("mine", "own")] {
        assert!(world.give(&clone(name, of)));
        quiet(&mut world, 4);
    }
    assert!(world.world.cluster.jobs.is_empty());
    assert_eq!(disks(&world, "mine"), ["n0", "n1"], "another replica would have other data");
    assert_eq!(disks(&world, "copy"), ["n0", "n1", "n2"]);
    // The look that made it was later than the commands of this world are.
    let later = find(&world.world.cluster, &world.world.observed, Timestamp(5), &resource("copy")).unwrap();
    assert!(matches!(&later.action, Action::Remove { node, .. } if node.as_str() == "n2"), "{later:?}");
    // Where there is no place, the clone is done all the same.
    ["n2", "n3"].into_iter().for_each(|name| switch(&mut world.world, name, false));
    assert!(world.give(&clone("alone", "web")));
    for _ in 0..4 {
        ["n0", "n1"].into_iter().for_each(|name| world.look(name, Deed::Do));
    }
    assert_eq!(disks(&world, "alone"), ["n0", "n1"]);
    assert!(!world.world.cluster.jobs_on(&resource("alone")).any(|_| true));
    assert!(!world.world.cluster.definitions[&resource("alone")].flags.has(DefinitionFlag::Cloning));
}

#[test]
fn what_is_in_use_or_young_or_not_up_to_date_stays() {
    let mut world = machines(4);
    edit_group(&mut world, "drbd", |filter| filter.place_count = Some(3));
    assert!(world.give(&spawn("web", "drbd")));
    quiet(&mut world, 4);
    edit_group(&mut world, "drbd", |filter| filter.place_count = Some(2));
    let item = |world: &Machines, on: &str| world.world.cluster.resource(&resource("web"), &node(on)).unwrap().id.uuid();
    world.in_use.insert(item(&world, "n2"));
    quiet(&mut world, 4);
    assert!(matches!(finding(&world, "web").action, Action::Remove { node, why } if node.as_str() == "n1" && why.contains("n2 (in use)")));
    world.in_use.extend(["n0", "n1"].map(|on| item(&world, on)));
    quiet(&mut world, 4);
    assert!(why(&world, "web").starts_with("none of its replicas can go: "), "{}", why(&world, "web"));
    world.in_use.clear();
    quiet(&mut world, 4);
    world.world.set_controller("BalanceResourcesGracePeriod", "60");
    assert!(why(&world, "web").contains("younger than BalanceResourcesGracePeriod"));
    let later = find(&world.world.cluster, &world.world.observed, Timestamp(60_001), &resource("web")).unwrap();
    assert!(later.acts());
    world.world.set_controller("BalanceResourcesGracePeriod", "0");
    switch(&mut world.world, "n0", false);
    assert_eq!(why(&world, "web"), "2 of its 3 replicas were seen to hold the data, 2 must");
    switch(&mut world.world, "n1", false);
    switch(&mut world.world, "n2", false);
    edit_group(&mut world, "drbd", |filter| filter.place_count = Some(4));
    assert!(why(&world, "web").contains("nothing to copy"));
}

#[test]
fn a_replica_that_breaks_a_rule_goes_first() {
    let mut world = machines(4);
    edit_group(&mut world, "drbd", |filter| filter.place_count = Some(3));
    assert!(world.give(&spawn("web", "drbd")));
    quiet(&mut world, 4);
    assert_eq!(on(&world, "web"), ["n0", "n1", "n2"]);
    // n0 and n1 are in one rack: n1, the smaller of them, goes although n2 is smaller still.
    edit_group(&mut world, "drbd", |filter| {
        filter.place_count = Some(2);
        filter.replicas_on_different = Some(vec!["Aux/rack".to_owned()]);
    });
    assert!(matches!(finding(&world, "web").action, Action::Remove { node, .. } if node.as_str() == "n1"));
    edit_group(&mut world, "drbd", |filter| {
        filter.replicas_on_different = None;
        filter.node_name_list = Some(vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()]);
    });
    assert!(
        matches!(finding(&world, "web").action, Action::Remove { node, why } if node.as_str() == "n0" && why.contains("breaks a rule"))
    );
}

#[test]
fn properties_and_open_work_keep_it_away() {
    let mut world = machines(3);
    assert!(world.give(&spawn("web", "drbd")));
    edit_group(&mut world, "drbd", |filter| filter.place_count = Some(3));
    assert!(why(&world, "web").starts_with("a create of it is under way"));
    quiet(&mut world, 3);
    assert!(finding(&world, "web").acts());
    world.world.set_controller("BalanceResourcesEnabled", "False");
    assert_eq!(why(&world, "web"), "BalanceResourcesEnabled is off on the controller");
    let mut definition = (**world.world.cluster.definitions.get(&resource("web")).unwrap()).clone();
    definition.props.insert_internal("BalanceResourcesEnabled", "True");
    world.world.put(Object::ResourceDefinition(definition));
    assert!(finding(&world, "web").acts(), "the definition goes before the controller");
    for on in ["n0", "n1"] {
        let mut replica = (**world.world.cluster.resource(&resource("web"), &node(on)).unwrap()).clone();
        replica.props.insert_internal("DrbdOptions/SkipDisk", "True");
        world.world.put(Object::Resource(replica));
    }
    assert!(why(&world, "web").contains("BalanceResourcesSkipDiskLimit is 1") || why(&world, "web").contains("nobody has placed it"));
    world.world.set_controller("BalanceResourcesInterval", "-5");
    assert_eq!(crate::balance::interval(&world.world.cluster), std::time::Duration::from_secs(1));
}

#[test]
fn a_lost_node_is_replaced() {
    let mut world = machines(3);
    assert!(world.give(&spawn("web", "drbd")));
    quiet(&mut world, 3);
    switch(&mut world.world, "n1", false);
    assert_eq!(finding(&world, "web").action, Action::Nothing, "a node that is away may come back");
    assert!(world.give(&Command::LoseNode { node: "n1".to_owned() }));
    assert_eq!(finding(&world, "web").action, Action::Add { count: 1 });
    balance(&mut world, "web");
    ["n0", "n2"].iter().for_each(|name| world.look(name, Deed::Do));
    assert_eq!((on(&world, "web"), world.world.cluster.jobs.len()), (vec!["n0".to_owned(), "n2".to_owned()], 0));
}

#[test]
fn no_replica_comes_while_a_volume_goes() {
    let mut world = machines(3);
    assert!(world.give(&spawn("web", "drbd")));
    quiet(&mut world, 3);
    assert!(world.give(&Command::DeleteVolumeDefinition { resource: "web".to_owned(), number: 0 }));
    let filter = FilterRequest { filter: SelectFilter { place_count: Some(3), ..SelectFilter::default() }, ..FilterRequest::default() };
    let more = Command::Autoplace { resource: "web".to_owned(), filter, diskless_on_remaining: None, layers: None };
    assert!(!world.give(&more), "the deletion would not know its volume");
    quiet(&mut world, 3);
    assert!(world.give(&more));
}

/// Which pairs of replicas break "different racks", by the nodes' own words.
fn broken(machines: &Machines, name: &ResourceName) -> BTreeSet<(NodeName, NodeName)> {
    let cluster = &machines.world.cluster;
    let definition = &cluster.definitions[name];
    if cluster.groups[&definition.group].filter.replicas_on_different.is_none() {
        return BTreeSet::new();
    }
    let rack = |node: &NodeName| cluster.nodes[node].props.get("Aux/rack").map(str::to_owned);
    let nodes: Vec<&NodeName> = cluster.replicas(name).filter(|one| !one.flags.has(ResourceFlag::Delete)).map(|one| &one.node).collect();
    let mut pairs = BTreeSet::new();
    for (at, one) in nodes.iter().enumerate() {
        for other in nodes.iter().skip(at + 1).filter(|other| rack(other) == rack(one)) {
            pairs.insert(((*one).clone(), (**other).clone()));
        }
    }
    pairs
}

fn holds(observed: &Observed, replica: &Resource) -> bool {
    !replica.flags.has(ResourceFlag::Delete) && crate::risk::holds_data(observed, replica)
}

/// How many replicas of each definition stay and hold the data.
fn good(machines: &Machines) -> BTreeMap<ResourceName, usize> {
    let count = |name: &ResourceName| machines.world.cluster.replicas(name).filter(|one| holds(&machines.world.observed, one)).count();
    machines.world.cluster.definitions.keys().map(|name| (name.clone(), count(name))).collect()
}

proptest! {
    #![proptest_config(cases(40))]

    /// Evacuation and balancing of random clusters: at no step fewer replicas hold the data than before or than are wanted; nothing
    /// moves that need not; no rule is broken that was not.
    #[test]
    fn random_clusters_move_as_little_as_possible_and_break_no_rule(
        count in 3usize..7,
        placed in prop::collection::vec((1i32..4, any::<bool>()), 1..5),
        afterwards in 1i32..4,
        emptied in 0usize..7,
        racks: bool,
    ) {
        let mut world = machines(count);
        for (at, (wanted, _)) in placed.iter().enumerate() {
            edit_group(&mut world, "drbd", |filter| filter.place_count = Some(*wanted));
            world.give(&spawn(&format!("w{at}"), "drbd"));
        }
        quiet(&mut world, count);
        edit_group(&mut world, "drbd", |filter| {
            filter.place_count = Some(afterwards);
            filter.replicas_on_different = racks.then(|| vec!["Aux/rack".to_owned()]);
        });
        let wanted = usize::try_from(afterwards).unwrap();
        let leaving = node(&format!("n{}", emptied % count));
        let evacuates = placed[0].1;
        let places = |world: &Machines, name: &ResourceName| -> BTreeSet<NodeName> { world.world.cluster.replicas(name).map(|one| one.node.clone()).collect() };
        let names: Vec<ResourceName> = world.world.cluster.definitions.keys().cloned().collect();
        let before: BTreeMap<ResourceName, BTreeSet<NodeName>> = names.iter().map(|name| (name.clone(), places(&world, name))).collect();
        let rules: BTreeMap<ResourceName, _> = names.iter().map(|name| (name.clone(), broken(&world, name))).collect();
        let least: BTreeMap<ResourceName, usize> = good(&world).into_iter().map(|(name, good)| (name, good.min(wanted))).collect();
        let check = |world: &Machines| {
            for (name, now) in good(world) {
                assert!(now >= least[&name], "{name}: {now} of {} hold the data", least[&name]);
                let new: Vec<_> = broken(world, &name).difference(&rules[&name]).filter(|(a, b)| a != &leaving && b != &leaving).cloned().collect();
                assert!(new.is_empty(), "{name}: {new:?} break the rule");
            }
        };
        if evacuates {
            assert!(world.give(&Command::EvacuateNode { node: leaving.to_string(), target: Vec::new(), do_not_target: Vec::new() }));
        }
        for _ in 0..12 {
            if !evacuates {
                for name in &names {
                    let twice = [(); 2].map(|()| find(&world.world.cluster, &world.world.observed, Timestamp(1), name));
                    assert_eq!(twice[0], twice[1]);
                    world.world.give(&Command::Balance { resources: vec![name.to_string()] });
                    check(&world);
                }
                advance(&mut world.world);
            }
            for name in self::names(count) {
                world.look(&name, Deed::Do);
                check(&world);
            }
        }
        for name in &names {
            let (was, is) = (&before[name], places(&world, name));
            let stayed: BTreeSet<NodeName> = was.iter().filter(|node| !evacuates || **node != leaving).cloned().collect();
            let created = is.difference(was).count();
            let gone: Vec<_> = was.difference(&is).collect();
            if evacuates {
                assert!(stayed.is_subset(&is), "{name}: what was not on the node did not move: {was:?} {is:?}");
                let missing = usize::from(was.contains(&leaving) && stayed.len() < wanted);
                assert!(created <= missing && (created == missing || is.contains(&leaving)), "{name}: {was:?} {is:?}, {wanted} wanted");
            } else {
                assert!(created == 0 || gone.is_empty(), "{name}: {was:?} {is:?}");
                assert!(created <= wanted.saturating_sub(was.len()), "{name}: {was:?} {is:?}");
                assert!(is.len() == wanted || is.len() < wanted, "{name}: {was:?} {is:?}, {wanted} wanted");
                let same = find(&world.world.cluster, &world.world.observed, Timestamp(1), name).unwrap();
                assert!(!matches!(same.action, Action::Remove { .. }), "{same:?}");
            }
        }
    }
}
