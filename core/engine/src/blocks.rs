//! The block size that DRBD tells of a volume: chosen from what its pools write at once.
//!
//! Peers must tell the same size, or a volume that was made on one with small blocks cannot be written to on one with large ones. It is
//! chosen with the first disks of a volume and stays: whoever uses the device relies on it. Source: contract 9.7, `Linstor/Drbd/auto-block-size`.

use berth_model::change::Object;
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::names::{ResourceName, VolumeNumber};
use berth_model::objects::{ResourceDefinition, Volume};
use berth_model::props::{Chain, Source, parse_bool};
use berth_model::reply::Reply;

use crate::draft::Draft;

/// The block size, bytes (volume definition, definition, controller).
pub const BLOCK_SIZE: &str = "DrbdOptions/Disk/block-size";
/// Whether it is chosen (volume definition, definition, group, controller); unset: it is.
pub const AUTO: &str = "Linstor/Drbd/auto-block-size";
/// Whether it stays as it is (volume definition).
pub const FREEZE: &str = "Linstor/Drbd/freeze-block-size";
/// What DRBD takes, bytes.
const ENDS: (u32, u32) = (512, 4096);

/// The size that pools with these smallest writes need; `None`: nothing is known of any.
fn needed(pools: impl Iterator<Item = u32>) -> Option<u32> {
    pools.max().map(|largest| largest.clamp(ENDS.0, ENDS.1).next_power_of_two().min(ENDS.1))
}

/// Chooses the block sizes of a definition's volumes where that is to be done; tells where the chosen one does not fit a new disk.
pub(crate) fn follow(draft: &mut Draft<'_>, name: &ResourceName) {
    let Some(definition) = draft.cluster.definitions.get(name).cloned() else { return };
    let mut changed = (*definition).clone();
    for number in definition.volumes.keys() {
        let Some(needed) = needed(smallest_writes(draft, name, *number).into_iter()) else { continue };
        match decide(draft, &definition, *number, needed) {
            Decision::Set => {
                if let Some(volume) = changed.volumes.get_mut(number) {
                    volume.props.insert_internal(BLOCK_SIZE, needed.to_string());
                }
                draft.sized.insert((name.clone(), *number));
            }
            Decision::Leave => {}
            Decision::TooSmall { has } => {
                let text = format!("Volume {number} of '{name}' has blocks of {has} bytes, a pool of it writes {needed} at once.");
                let told = Reply::new(Code::WARN_NO_EFFECT, text)
                    .cause("The block size stays as it was chosen with the first disks: whoever uses the device relies on it.")
                    .correction("Expect smaller writes to be slower on that pool, or use one like the others.");
                if !draft.applied.replies.iter().any(|reply| reply.message == told.message) {
                    draft.reply(told);
                }
            }
        }
    }
    if changed != *definition {
        draft.put(Object::ResourceDefinition(changed));
    }
}

enum Decision {
    Set,
    Leave,
    TooSmall { has: u32 },
}

fn decide(draft: &Draft<'_>, definition: &ResourceDefinition, number: VolumeNumber, needed: u32) -> Decision {
    let Some(volume) = definition.volumes.get(&number) else { return Decision::Leave };
    let group = draft.cluster.groups.get(&definition.group);
    let chain = Chain::new()
        .with(Source::VolumeDefinition, &volume.props)
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::VolumeGroup, group.and_then(|group| group.volume_groups.get(&number)).map(|volumes| &volumes.props))
        .with_some(Source::ResourceGroup, group.map(|group| &group.props))
        .with(Source::Controller, &draft.cluster.controller.props);
    if chain.get_bool(AUTO) == Some(false) || volume.props.get(FREEZE).and_then(parse_bool) == Some(true) {
        return Decision::Leave;
    }
    let has = chain.get(BLOCK_SIZE).and_then(|text| text.trim().parse::<u32>().ok());
    let chosen_now = draft.sized.contains(&(definition.name.clone(), number));
    match has {
        None => Decision::Set,
        Some(has) if has >= needed => Decision::Leave,
        Some(_) if chosen_now => Decision::Set,
        Some(has) => Decision::TooSmall { has },
    }
}

/// What the pools of a volume's disks write at once, as far as their satellites say.
fn smallest_writes(draft: &Draft<'_>, name: &ResourceName, number: VolumeNumber) -> Vec<u32> {
    let disk = |volume: &&Volume| volume.provider != ProviderKind::Diskless;
    let replicas = draft.cluster.replicas(name);
    let pools = replicas.filter_map(|replica| Some((&replica.node, replica.volumes.get(&number).filter(disk)?)));
    pools.filter_map(|(node, volume)| draft.context.observed.pool(node, &volume.pool)?.min_io).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::{Command, ResourceInput};
    use crate::testkit::{World, node, resource, told};

    /// Nodes with pools that write so many bytes at once.
    fn world(pools: &[(&str, Option<u32>)]) -> World {
        let lines = pools.iter().map(|(name, _)| format!("node {name} +DRBD; pool thin on {name} FILE_THIN 10G; "));
        let mut world = World::of(&format!("{}group drbd DRBD,STORAGE 2 thin", lines.collect::<String>()));
        for (name, min_io) in pools {
            let seen = Arc::make_mut(world.observed.nodes.get_mut(&node(name)).unwrap());
            seen.pools = seen
                .pools
                .iter()
                .map(|(pool, record)| {
                    let mut record = (**record).clone();
                    record.seen.min_io = *min_io;
                    (pool.clone(), Arc::new(record))
                })
                .collect();
        }
        world
    }

    fn spawn(world: &mut World) {
        let spawn = Command::SpawnResource {
            group: "drbd".to_owned(),
            name: Some("web".to_owned()),
            external_name: None,
            volume_sizes: vec![8192],
            partial: false,
            definitions_only: false,
            filter: Default::default(),
            props: Default::default(),
            peer_slots: None,
            passphrases: Vec::new(),
        };
        let decision = world.give(&spawn);
        assert!(decision.result.is_ok(), "{:?}", told(&decision));
    }

    fn size(world: &World) -> Option<String> {
        let volumes = &world.cluster.definitions[&resource("web")].volumes;
        volumes.values().next().unwrap().props.get(BLOCK_SIZE).map(str::to_owned)
    }

    #[test]
    fn the_largest_of_the_first_disks_counts() {
        for (pools, expected) in [
            ([("aa", Some(512)), ("bb", Some(512))], Some("512")),
            ([("aa", Some(512)), ("bb", Some(4096))], Some("4096")),
            ([("aa", Some(4096)), ("bb", None)], Some("4096")),
            ([("aa", Some(1 << 20)), ("bb", Some(0))], Some("4096")),
            ([("aa", None), ("bb", None)], None),
        ] {
            let mut world = world(&pools);
            spawn(&mut world);
            assert_eq!(size(&world).as_deref(), expected, "{pools:?}");
        }
    }

    #[test]
    fn what_somebody_set_stays_and_so_does_what_was_chosen_before() {
        let mut off = world(&[("aa", Some(4096)), ("bb", Some(512))]);
        off.set_controller(AUTO, "false");
        spawn(&mut off);
        assert_eq!(size(&off), None);
        let mut own = world(&[("aa", Some(4096)), ("bb", Some(512))]);
        own.set_controller(BLOCK_SIZE, "4096");
        spawn(&mut own);
        assert_eq!(size(&own), None);
        let mut late = world(&[("aa", Some(512)), ("bb", Some(512)), ("cc", Some(4096))]);
        let seen = Arc::make_mut(late.observed.nodes.get_mut(&node("cc")).unwrap());
        seen.pools = seen
            .pools
            .iter()
            .map(|(pool, record)| {
                let mut record = (**record).clone();
                record.seen.free_kib = Some(berth_model::size::Kib(1 << 20));
                (pool.clone(), Arc::new(record))
            })
            .collect();
        spawn(&mut late);
        crate::explain::settled_for_tests(&mut late);
        assert_eq!(size(&late).as_deref(), Some("512"));
        let replica =
            ResourceInput { node: "cc".to_owned(), props: [("StorPoolName".to_owned(), "thin".to_owned())].into(), ..Default::default() };
        let decision = late.give(&Command::CreateResources { resource: "web".to_owned(), replicas: vec![replica] });
        assert!(told(&decision).iter().any(|line| line.contains("3001")), "{:?}", told(&decision));
        assert_eq!(size(&late).as_deref(), Some("512"));
    }
}
