//! Resources and volumes. Written from borrowed values: the list of all of them is the most asked for.

use std::collections::BTreeMap;

use berth_api::resource::uuid_text::UuidText;
use berth_api::resource::{
    Connection, DrbdResource, DrbdVolume, DrbdVolumeDefinition, EffectiveProp, LayerObject, ReplicationState, Resource as ResourceDocument,
    ResourceState, StorageResource, StorageVolume, Volume as VolumeDocument, VolumeLayer, VolumeLayerData, VolumeState,
};
use berth_api::seen::SeenWhen;
use berth_engine::drbd::{self, Disk, Link, Peer, Told};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::VolumeNumber;
use berth_model::objects::{Resource, Volume};
use berth_model::observed::{ConnectionStatus, ItemRecord, VolumeSeen};
use berth_model::props::{Chain, SKIP_DISK, Source};
use uuid::Uuid;

use super::definition::{AL_STRIPE_KIB, AL_STRIPES};
use crate::View;

fn uuid_text(uuid: Uuid) -> UuidText {
    let mut text = [0u8; 36];
    uuid.hyphenated().encode_lower(&mut text);
    UuidText(text)
}

fn signed(kib: u64) -> i64 {
    i64::try_from(kib).unwrap_or(i64::MAX)
}

/// The device of a volume for use: that of DRBD, if it has a minor, else what was seen.
pub fn device_path(minor: Option<u32>, seen: Option<&VolumeSeen>) -> Option<String> {
    match minor {
        Some(minor) => Some(format!("/dev/drbd{minor}")),
        None => seen.and_then(|seen| seen.device_path.clone()),
    }
}

/// The minor of a volume's DRBD device, if the stack of its replica has DRBD.
pub fn minor(view: &View, resource: &Resource, number: VolumeNumber) -> Option<u32> {
    let definition = view.cluster.definitions.get(&resource.name).filter(|_| resource.layers.contains(&LayerKind::Drbd))?;
    definition.volumes.get(&number)?.minor
}

/// One volume with what is known of it.
struct Known<'a> {
    number: VolumeNumber,
    volume: &'a Volume,
    seen: Option<&'a VolumeSeen>,
    /// Minor of its definition, if the stack has DRBD.
    minor: Option<u32>,
    usable_kib: u64,
    /// What DRBD says of its disk; `None`: nothing.
    disk: Option<Disk>,
}

impl<'a> Known<'a> {
    fn all(view: &'a View, resource: &'a Resource, record: Option<&'a ItemRecord>) -> Vec<Self> {
        let definition = view.cluster.definitions.get(&resource.name);
        resource
            .volumes
            .iter()
            .map(|(number, volume)| {
                let defined = definition.and_then(|definition| definition.volumes.get(number));
                Known {
                    number: *number,
                    volume,
                    seen: record.and_then(|record| record.seen.volumes.iter().find(|seen| seen.number == *number)),
                    minor: minor(view, resource, *number),
                    usable_kib: if resource.layers.len() == 1 {
                        volume.backing_kib.0
                    } else {
                        defined.map_or(volume.backing_kib.0, |defined| defined.size_kib.0)
                    },
                    disk: record.and_then(|record| drbd::disk(resource, &record.seen, *number)),
                }
            })
            .collect()
    }

    fn allocated(&self) -> i64 {
        match self.seen {
            Some(seen) => signed(seen.allocated_kib.0),
            None if self.volume.provider.is_thin() => 0,
            None => signed(self.volume.backing_kib.0),
        }
    }

    fn device(&self) -> Option<&'a str> {
        self.seen.and_then(|seen| seen.device_path.as_deref())
    }

    fn storage(&self) -> StorageVolume<'a> {
        StorageVolume {
            volume_number: self.number.get(),
            device_path: self.device(),
            allocated_size_kib: self.allocated(),
            usable_size_kib: signed(self.volume.backing_kib.0),
            disk_state: self.seen.map(|seen| if seen.device_path.is_some() { "Attached" } else { "Created" }),
        }
    }

    fn drbd(&self) -> DrbdVolume<'a> {
        DrbdVolume {
            drbd_volume_definition: DrbdVolumeDefinition { volume_number: self.number.get(), minor_number: self.minor.unwrap_or(0) },
            device_path: device_path(self.minor, None).unwrap_or_default(),
            backing_device: self.device().filter(|_| self.volume.provider != ProviderKind::Diskless).unwrap_or_default(),
            allocated_size_kib: self.allocated(),
            usable_size_kib: signed(self.usable_kib),
            disk_state: self.disk.map_or("", Disk::word),
        }
    }

    fn state(&self, told: Option<&Told<'a>>) -> Option<VolumeState<'a>> {
        let own = self.disk?;
        let replication =
            |peer: &Peer<'a>| (peer.replica.node.as_str(), ReplicationState { replication_state: peer.replication(self.number, own) });
        let replication_states = told.map(|told| told.peers.iter().map(replication).collect()).unwrap_or_default();
        Some(VolumeState { disk_state: Some(own.word()), replication_states })
    }

    fn document(&self, layers: &[LayerKind], (told, reports): Of<'_, 'a>, berth: SeenWhen<'a>) -> VolumeDocument<'a> {
        VolumeDocument {
            volume_number: self.number.get(),
            storage_pool_name: self.volume.pool.as_str(),
            provider_kind: self.volume.provider.word(),
            device_path: device_path(self.minor, self.seen),
            allocated_size_kib: (self.volume.provider != ProviderKind::Diskless).then(|| self.allocated()),
            props: self.volume.props.as_pairs(),
            flags: self.volume.flags.shown(),
            state: self.state(told),
            layer_data_list: layers
                .iter()
                .map(|layer| VolumeLayer {
                    kind: layer.word(),
                    data: match layer {
                        LayerKind::Drbd => Some(VolumeLayerData::Drbd(self.drbd())),
                        LayerKind::Storage => Some(VolumeLayerData::Storage(self.storage())),
                        LayerKind::Luks | LayerKind::Nvme | LayerKind::Writecache | LayerKind::Cache | LayerKind::Bcache => None,
                    },
                })
                .collect(),
            uuid: uuid_text(self.volume.id.uuid()),
            reports,
            berth,
        }
    }
}

/// What DRBD says of the replica, and what is to be reported of it.
type Of<'t, 'a> = (Option<&'t Told<'a>>, Vec<berth_api::reply::ApiCallRc>);

fn layer_object<'a>(resource: &'a Resource, layers: &[LayerKind], volumes: &[Known<'a>], told: Option<&Told<'a>>) -> LayerObject<'a> {
    let (layer, below) = layers.split_first().map_or((LayerKind::Storage, [].as_slice()), |(layer, below)| (*layer, below));
    let drbd = resource.drbd.as_ref().filter(|_| layer == LayerKind::Drbd).map(|drbd| DrbdResource {
        node_id: drbd.node_id,
        peer_slots: drbd.peer_slots,
        al_stripes: AL_STRIPES,
        al_size: AL_STRIPE_KIB,
        tcp_ports: &drbd.ports,
        flags: Vec::new(),
        drbd_volumes: volumes.iter().map(Known::drbd).collect(),
        connections: told.map(|told| told.peers.iter().map(connection).collect()).unwrap_or_default(),
        promotion_score: told.map(|told| told.promotion_score),
        may_promote: told.map(|told| told.may_promote),
    });
    LayerObject {
        children: if below.is_empty() { Vec::new() } else { vec![layer_object(resource, below, volumes, told)] },
        kind: layer.word(),
        drbd,
        storage: (layer == LayerKind::Storage).then(|| StorageResource { storage_volumes: volumes.iter().map(Known::storage).collect() }),
    }
}

fn connection<'a>(peer: &Peer<'a>) -> (&'a str, Connection) {
    (peer.replica.node.as_str(), Connection { connected: peer.link == Link::Connected, message: peer.link.word() })
}

/// The properties that clients must know wherever they stand: only the one that takes a disk out of use (contract 5.10).
fn effective_props<'a>(view: &'a View, resource: &'a Resource) -> BTreeMap<&'static str, EffectiveProp<'a>> {
    let cluster = &view.cluster;
    let definition = cluster.definitions.get(&resource.name);
    let group = definition.and_then(|definition| cluster.groups.get(&definition.group));
    let mut chain = Chain::new().with(Source::Resource, &resource.props);
    for volume in resource.volumes.values() {
        chain = chain.with_some(Source::StorPool, cluster.pool(&resource.node, &volume.pool).map(|pool| &pool.props));
    }
    chain = chain
        .with_some(Source::Node, cluster.nodes.get(&resource.node).map(|node| &node.props))
        .with_some(Source::ResourceDefinition, definition.map(|definition| &definition.props))
        .with_some(Source::ResourceGroup, group.map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props);
    let one = |source: Source, value: &'a str| EffectiveProp {
        kind: source_word(source),
        value,
        descr: format!("set on the {}", source_word(source).to_ascii_lowercase().replace('_', " ")),
        other: Vec::new(),
    };
    let Some(effective) = chain.effective(SKIP_DISK) else { return BTreeMap::new() };
    let other = effective.others.iter().map(|(source, value)| one(*source, value)).collect();
    BTreeMap::from([(SKIP_DISK, EffectiveProp { other, ..one(effective.from, effective.value) })])
}

/// Name of a kind of object in `effective_props`.
fn source_word(source: Source) -> &'static str {
    match source {
        Source::Controller => "CONTROLLER",
        Source::Node => "NODE",
        Source::StorPoolDfn => "STORAGE_POOL_DEFINITION",
        Source::StorPool => "STORAGE_POOL",
        Source::ResourceGroup => "RESOURCE_GROUP",
        Source::VolumeGroup => "VOLUME_GROUP",
        Source::ResourceDefinition => "RESOURCE_DEFINITION",
        Source::VolumeDefinition => "VOLUME_DEFINITION",
        Source::Resource => "RESOURCE",
        Source::Volume => "VOLUME",
        Source::NodeConnection => "NODE_CONNECTION",
        Source::ResourceConnection => "RESOURCE_CONNECTION",
    }
}

/// A replica; its state only while its node is online and has looked at it.
pub fn resource<'a>(view: &'a View, resource: &'a Resource, with_volumes: bool) -> ResourceDocument<'a> {
    let node = view.observed.nodes.get(&resource.node).map(AsRef::as_ref);
    let online = node.filter(|node| node.status == ConnectionStatus::Online);
    let record = online.and_then(|node| node.items.get(&resource.id.uuid())).map(AsRef::as_ref);
    let berth = super::when(node, record.map(|record| record.at), resource.created);
    let volumes = Known::all(view, resource, record);
    let told = drbd::told(&view.cluster, &view.observed, resource);
    let in_use = record.is_some_and(|record| record.seen.volumes.iter().any(|volume| volume.in_use));
    let reports = || {
        let trouble = record.and_then(|record| record.seen.fault.as_ref().map(|fault| super::trouble(fault, record.at)));
        trouble.into_iter().collect()
    };
    let document = |volume: &Known<'a>| volume.document(&resource.layers, (told.as_ref(), reports()), berth.clone());
    ResourceDocument {
        name: resource.name.as_str(),
        node_name: resource.node.as_str(),
        props: resource.props.as_pairs(),
        effective_props: effective_props(view, resource),
        flags: resource.flags.shown(),
        layer_object: layer_object(resource, &resource.layers, &volumes, told.as_ref()),
        // A stack without DRBD says "in use" or nothing, as clients expect.
        state: record.map(|_| ResourceState { in_use: (in_use || resource.drbd.is_some()).then_some(in_use) }),
        uuid: uuid_text(resource.id.uuid()),
        create_timestamp: resource.created.0,
        volumes: with_volumes.then(|| volumes.iter().map(document).collect()),
        berth,
    }
}

/// The volumes of a replica.
pub fn volumes<'a>(view: &'a View, resource: &'a Resource) -> Vec<VolumeDocument<'a>> {
    self::resource(view, resource, true).volumes.unwrap_or_default()
}
