//! Numbers of replicas that are gone (law 8).

use super::late::{create, give, one_replica, quiet_all};
use super::*;
use crate::testkit::resource;

fn node_id(world: &World, on: &str) -> u8 {
    world.cluster.resource(&resource("web"), &node(on)).unwrap().drbd.as_ref().unwrap().node_id
}

fn delete(world: &mut World, on: &str) {
    give(world, &Command::DeleteResource { resource: "web".to_owned(), node: on.to_owned(), keep_tiebreaker: None });
    quiet_all(world);
}

/// Makes `web` on bravo, and tells its node id.
fn made(world: &mut World) -> u8 {
    give(world, &create(&["bravo"]));
    quiet_all(world);
    node_id(world, "bravo")
}

#[test]
fn a_node_id_is_not_given_again_while_a_peer_may_remember_it() {
    let mut world = one_replica();
    assert_eq!(node_id(&world, "alpha"), 0);
    for expect in 1..=4 {
        assert_eq!(made(&mut world), expect, "alpha may know {} under its old address", expect - 1);
        match expect {
            // The tombstone that an absent node leaves frees the id when it is honoured.
            2 => {
                switch(&mut world, "bravo", false);
                give(&mut world, &Command::DeleteResource { resource: "web".to_owned(), node: "bravo".to_owned(), keep_tiebreaker: None });
                quiet_all(&mut world);
            }
            _ => delete(&mut world, "bravo"),
        }
    }
    for _ in 5..=31 {
        made(&mut world);
        delete(&mut world, "bravo");
    }
    assert_eq!(made(&mut world), 1, "when all were used, the lowest free one");
    delete(&mut world, "bravo");
    delete(&mut world, "alpha");
    assert_eq!(made(&mut world), 0, "where nobody is left, nobody remembers");
}
