//! What definitions need by themselves: a tiebreaker as soon as there is a node for it, disks where they are used without one.

use std::time::Duration;

use berth_model::flags::ResourceFlag;

use super::cancel::Machines;
use super::ties::{kinds, mirrored, tell, three};
use super::*;
use crate::tending::{self, ALLOW_CLEANUP, AUTO_DISKFUL};
use crate::testkit::resource;

const MINUTE: Duration = Duration::from_secs(60);

fn tend(disk_on: Option<&str>) -> Command {
    Command::Tend { resource: "web".to_owned(), disk_on: disk_on.map(str::to_owned) }
}

fn acts(machines: &Machines) -> bool {
    tending::acts(&machines.world.cluster, &machines.world.observed, &resource("web"))
}

fn is_due(machines: &Machines, on: &str, used_for: Duration) -> bool {
    let (cluster, observed) = (&machines.world.cluster, &machines.world.observed);
    tending::disk_is_due(cluster, observed, cluster.resource(&resource("web"), &node(on)).unwrap(), used_for)
}

/// Somebody uses the replica of a node, or nobody does.
fn using(machines: &mut Machines, on: &str, used: bool) {
    let item = machines.world.cluster.resource(&resource("web"), &node(on)).unwrap().id.uuid();
    if used {
        machines.in_use.insert(item);
    } else {
        machines.in_use.remove(&item);
    }
    machines.quiet(&["alpha", "bravo", "charlie"]);
}

#[test]
fn a_tiebreaker_comes_as_soon_as_a_node_is_there() {
    let mut machines = mirrored("node charlie offline");
    assert!(kinds(&machines).len() == 2 && !acts(&machines), "there is no node for it");
    let mut seen = (**machines.world.observed.nodes.get(&node("alpha")).unwrap()).clone();
    seen.items.clear();
    machines.world.observed.nodes.insert(node("charlie"), Arc::new(seen));
    assert!(acts(&machines));
    assert!(tell(&mut machines, &tend(None)).contains(&10003));
    assert_eq!(kinds(&machines)[2], "charlie tie");
    assert!(!acts(&machines));
}

#[test]
fn who_uses_it_without_a_disk_for_long_enough_gets_one_which_goes_when_it_is_one_too_many() {
    let mut machines = three();
    using(&mut machines, "charlie", true);
    assert!(!is_due(&machines, "charlie", MINUTE * 600), "nobody asked for it");
    machines.world.set_controller(AUTO_DISKFUL, "5");
    assert!(!is_due(&machines, "charlie", MINUTE * 4) && is_due(&machines, "charlie", MINUTE * 5));
    assert!(!is_due(&machines, "alpha", MINUTE * 600), "it has a disk");
    tell(&mut machines, &tend(Some("charlie")));
    assert_eq!(kinds(&machines)[2], "charlie disk");
    let given = |machines: &Machines| {
        let charlie = machines.world.cluster.resource(&resource("web"), &node("charlie")).cloned();
        charlie.is_some_and(|replica| replica.flags.has(ResourceFlag::AutoDiskful))
    };
    assert!(given(&machines) && !acts(&machines), "it is in use, and those that were placed stay");
    using(&mut machines, "charlie", false);
    machines.world.set_controller(ALLOW_CLEANUP, "False");
    assert!(!acts(&machines), "it may not go");
    machines.world.set_controller(ALLOW_CLEANUP, "True");
    assert!(acts(&machines));
    tell(&mut machines, &tend(None));
    assert_eq!(kinds(&machines), ["alpha disk", "bravo disk", "charlie tie"]);
    assert!(!given(&machines) && !acts(&machines));
}

#[test]
fn nobody_gets_a_disk_who_does_not_use_it_any_more() {
    let mut machines = three();
    machines.world.set_controller(AUTO_DISKFUL, "5");
    assert!(tell(&mut machines, &tend(Some("charlie"))).contains(&10007));
    assert_eq!(kinds(&machines)[2], "charlie tie");
}
