//! Resource definitions and volume definitions.

use berth_api::definition::{
    DefinitionLayer, DrbdDefinitionData, DrbdVolumeDefinitionData, ResourceDefinition as DefinitionDocument,
    VolumeDefinition as VolumeDefinitionDocument, VolumeDefinitionLayer,
};
use berth_model::cluster::Cluster;
use berth_model::layers::LayerKind;
use berth_model::names::VolumeNumber;
use berth_model::objects::{ResourceDefinition, VolumeDefinition};

/// Stripes of DRBD's activity log.
pub const AL_STRIPES: u32 = 1;
/// Size of one of them, in KiB.
pub const AL_STRIPE_KIB: u64 = 32;

/// The stack that a definition shows: the one that was asked for, else that of its first replica.
fn layers<'c>(cluster: &'c Cluster, definition: &'c ResourceDefinition) -> &'c [LayerKind] {
    if definition.layers.is_empty() {
        cluster.replicas(&definition.name).next().map_or(&[], |resource| resource.layers.as_slice())
    } else {
        &definition.layers
    }
}

/// A resource definition, with its volume definitions where asked for.
pub fn definition(cluster: &Cluster, definition: &ResourceDefinition, with_volumes: bool) -> DefinitionDocument {
    let layer_data = layers(cluster, definition).iter().map(|layer| DefinitionLayer {
        kind: layer.word(),
        data: (*layer == LayerKind::Drbd).then(|| DrbdDefinitionData {
            peer_slots: berth_engine::numbers::peer_slots(cluster, definition),
            al_stripes: AL_STRIPES,
            al_stripe_size_kib: AL_STRIPE_KIB,
            port: definition.drbd.port.map_or(-1, i32::from),
            transport_type: definition.drbd.transport.clone().unwrap_or_else(|| "IP".to_owned()),
            secret: definition.drbd.secret.clone(),
            down: false,
        }),
    });
    DefinitionDocument {
        name: definition.name.to_string(),
        external_name: definition.external_name.clone(),
        props: super::props(&definition.props),
        flags: definition.flags.shown(),
        layer_data: layer_data.collect(),
        uuid: definition.id.to_string(),
        resource_group_name: definition.group.to_string(),
        volume_definitions: if with_volumes {
            definition.volumes.iter().map(|(number, volume)| volume_definition(cluster, definition, *number, volume)).collect()
        } else {
            Vec::new()
        },
    }
}

/// A volume definition.
pub fn volume_definition(
    cluster: &Cluster,
    definition: &ResourceDefinition,
    number: VolumeNumber,
    volume: &VolumeDefinition,
) -> VolumeDefinitionDocument {
    let layer_data = layers(cluster, definition).iter().map(|layer| VolumeDefinitionLayer {
        kind: layer.word(),
        data: volume
            .minor
            .filter(|_| *layer == LayerKind::Drbd)
            .map(|minor_number| DrbdVolumeDefinitionData { volume_number: number.get(), minor_number }),
    });
    VolumeDefinitionDocument {
        volume_number: number.get(),
        size_kib: volume.size_kib.0,
        props: super::props(&volume.props),
        flags: volume.flags.shown(),
        layer_data: layer_data.collect(),
        uuid: volume.id.to_string(),
    }
}
