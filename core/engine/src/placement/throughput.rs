//! What is left of a pool's throughput. Looked at only where the weight of that strategy is above 0, as it has to look at every replica
//! on the node.

use berth_model::cluster::Cluster;
use berth_model::objects::{Node, StorPool};
use berth_model::props::{Chain, Source};

/// `Autoplacer/MaxThroughput` of the pool (else its node, the controller) less what volumes in it may read and write a second;
/// below 0 where they may more. A pool without the property has 0 to begin with.
pub(super) fn left(cluster: &Cluster, node: &Node, pool: &StorPool) -> i128 {
    let pool_definition = cluster.pool_definitions.get(&pool.name).map(|definition| &definition.props);
    let places = Chain::new()
        .with(Source::StorPool, &pool.props)
        .with_some(Source::StorPoolDfn, pool_definition)
        .with(Source::Node, &node.props)
        .with(Source::Controller, &cluster.controller.props);
    let number = |chain: &Chain<'_>, key: &str| {
        chain.get(key).and_then(|text| text.parse::<i64>().ok()).map_or(0, |number| i128::from(number.max(0)))
    };
    let mut left = number(&places, "Autoplacer/MaxThroughput");
    for replica in cluster.resources_on(&node.name) {
        for (at, volume) in replica.volumes.iter().filter(|(_, volume)| volume.pool == pool.name) {
            let definition = cluster.definitions.get(&replica.name);
            let group = definition.and_then(|definition| cluster.groups.get(&definition.group));
            let chain = places
                .clone()
                .with(Source::Volume, &volume.props)
                .with(Source::Resource, &replica.props)
                .with_some(Source::VolumeDefinition, definition.and_then(|definition| definition.volumes.get(at)).map(|one| &one.props))
                .with_some(Source::VolumeGroup, group.and_then(|group| group.volume_groups.get(at)).map(|one| &one.props))
                .with_some(Source::ResourceDefinition, definition.map(|definition| &definition.props))
                .with_some(Source::ResourceGroup, group.map(|group| &group.props));
            left -= number(&chain, "sys/fs/blkio_throttle_read") + number(&chain, "sys/fs/blkio_throttle_write");
        }
    }
    left
}
