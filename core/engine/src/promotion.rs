//! Whether DRBD would let a replica become Primary: what clients wait for before they start a service elsewhere.
//!
//! Source of the rule: drbdsetup-events2(8), `may_promote`; REST API v1, `EventMayPromoteChange`.

use berth_model::cluster::Cluster;
use berth_model::flags::ResourceFlag;
use berth_model::objects::Resource;
use berth_model::observed::{ItemSeen, Observed, Standing};

use crate::drbd::has_data;

/// Whether a replica could be made Primary now; `None`: DRBD is not in its stack, or nobody has seen it.
///
/// It can, when it is served, nobody uses another replica or this one (a Primary may not be promoted once more), and the data of now is
/// within its reach: on itself, or on a peer that is seen. What is on a node that is not online is nobody's reach.
#[must_use]
pub fn may_promote(cluster: &Cluster, observed: &Observed, replica: &Resource) -> Option<bool> {
    replica.drbd.as_ref()?;
    let seen = |replica: &Resource| observed.item(&replica.node, replica.id.uuid()).map(|record| &record.seen);
    let own = seen(replica)?;
    let flags = &replica.flags;
    let served = own.standing == Standing::Settled
        && ![ResourceFlag::Delete, ResourceFlag::Inactive, ResourceFlag::InactivePermanently].iter().any(|flag| flags.has(*flag));
    let used = |seen: &ItemSeen| seen.volumes.iter().any(|volume| volume.in_use);
    let mut within_reach = false;
    for (peer, seen) in cluster.replicas(&replica.name).filter_map(|peer| Some((peer, seen(peer)?))) {
        if used(seen) {
            return Some(false);
        }
        within_reach |= has_data(peer, seen);
    }
    Some(served && within_reach)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use berth_model::observed::{ItemRecord, VolumeSeen};
    use berth_model::size::Kib;
    use berth_model::time::Timestamp;

    use super::*;
    use crate::command::{Command, FilterRequest};
    use crate::testkit::{World, node, resource};

    /// Two replicas on alpha and bravo, with DRBD.
    pub(crate) fn world() -> World {
        let mut world = World::of(
            "node alpha +DRBD; node bravo +DRBD; pool thin on alpha LVM_THIN 10G; pool thin on bravo LVM_THIN 10G; group two DRBD,STORAGE 2",
        );
        let decision = world.give(&Command::SpawnResource {
            group: "two".into(),
            name: Some("web".into()),
            external_name: None,
            volume_sizes: vec![1 << 20],
            definitions_only: false,
            partial: false,
            filter: FilterRequest::default(),
            props: Default::default(),
            peer_slots: None,
            passphrases: Vec::new(),
        });
        assert!(decision.result.is_ok(), "{:?}", decision.result);
        world
    }

    pub(crate) fn see(world: &mut World, on: &str, standing: Standing, up_to_date: bool, in_use: bool) {
        let replica = Arc::clone(world.cluster.resource(&resource("web"), &node(on)).unwrap());
        let volume = |(number, _): (&berth_model::names::VolumeNumber, &berth_model::objects::Volume)| VolumeSeen {
            number: *number,
            device_path: Some("/dev/loop1".to_owned()),
            backing_kib: Kib(4),
            allocated_kib: Kib(4),
            in_use,
            content: None,
            up_to_date: Some(up_to_date),
        };
        let volumes = replica.volumes.iter().map(volume).collect();
        let seen = ItemSeen { id: replica.id.uuid(), generation: 1, standing, volumes, fault: None };
        let on = Arc::make_mut(world.observed.nodes.get_mut(&node(on)).unwrap());
        on.items.insert(seen.id, Arc::new(ItemRecord { seen, at: Timestamp(1) }));
    }

    fn told(world: &World) -> [Option<bool>; 2] {
        ["alpha", "bravo"].map(|on| {
            let replica = world.cluster.resource(&resource("web"), &node(on)).unwrap();
            may_promote(&world.cluster, &world.observed, replica)
        })
    }

    #[test]
    fn a_replica_may_become_primary_while_nobody_uses_it_and_data_is_within_reach() {
        let mut world = world();
        assert_eq!(told(&world), [None, None], "nobody has seen them");
        see(&mut world, "alpha", Standing::Settled, true, false);
        assert_eq!(told(&world), [Some(true), None]);
        see(&mut world, "bravo", Standing::Settled, false, false);
        assert_eq!(told(&world), [Some(true), Some(true)], "the peer has the data");
        see(&mut world, "alpha", Standing::Settled, true, true);
        assert_eq!(told(&world), [Some(false), Some(false)], "one is in use");
        see(&mut world, "alpha", Standing::Working, true, false);
        assert_eq!(told(&world), [Some(false), Some(true)], "it is not served");
        see(&mut world, "alpha", Standing::Settled, false, false);
        assert_eq!(told(&world), [Some(false), Some(false)], "nobody has the data");
        let alpha = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
        alpha.status = berth_model::observed::ConnectionStatus::Offline;
        assert_eq!(told(&world), [None, Some(false)], "a node that is away has no state");
    }

    #[test]
    fn a_stack_without_drbd_has_no_primary() {
        let mut world = world();
        see(&mut world, "alpha", Standing::Settled, true, false);
        let mut replica = (**world.cluster.resource(&resource("web"), &node("alpha")).unwrap()).clone();
        replica.drbd = None;
        world.put(berth_model::change::Object::Resource(replica));
        assert_eq!(told(&world)[0], None);
    }
}
