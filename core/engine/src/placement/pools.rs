//! The pool of a volume where the request or a property names one, or the default does.

use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::names::{DEFAULT_POOL, NodeName, StorPoolName, VolumeNumber};
use berth_model::objects::{ResourceDefinition, StorPool};
use berth_model::props::{Chain, Props, STOR_POOL_NAME, Source};
use berth_model::reply::Reply;

use crate::draft::Refused;
use crate::lookup;

/// The pool for a volume of a replica with `resource_props` on `node`: as `StorPoolName` says, nearest object first, else `DfltStorPool`.
///
/// # Errors
/// 208 for a bad name or a pool without storage, 309 and 310 for a named pool that is not there, 311 where the default one is missing.
pub fn resolve_pool(
    cluster: &Cluster,
    definition: &ResourceDefinition,
    number: VolumeNumber,
    node: &NodeName,
    resource_props: &Props,
) -> Result<Arc<StorPool>, Refused> {
    let group = cluster.groups.get(&definition.group);
    let chain = Chain::new()
        .with(Source::Resource, resource_props)
        .with_some(Source::VolumeDefinition, definition.volumes.get(&number).map(|volume| &volume.props))
        .with_some(Source::VolumeGroup, group.and_then(|group| group.volume_groups.get(&number)).map(|volume| &volume.props))
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::ResourceGroup, group.map(|group| &group.props))
        .with_some(Source::Node, cluster.nodes.get(node).map(|node| &node.props));
    let Some(named) = chain.get(STOR_POOL_NAME) else {
        let default = StorPoolName::parse(DEFAULT_POOL).ok().and_then(|name| cluster.pool(node, &name));
        return default.cloned().ok_or_else(|| {
            Reply::new(
                Code::FAIL_NOT_FOUND_DFLT_STOR_POOL,
                format!("No storage pool is chosen for '{}' on node '{node}'.", definition.name),
            )
            .cause(format!("No property {STOR_POOL_NAME} names one, and the node has no pool '{DEFAULT_POOL}'."))
            .correction("Name a pool with '--storage-pool', or let the cluster choose: 'linstor resource create --auto-place 1'.")
            .into()
        });
    };
    let pool = lookup::pool(cluster, node.as_str(), named)?;
    if pool.provider == ProviderKind::Diskless {
        return Err(Reply::new(Code::FAIL_INVLD_STOR_POOL_NAME, format!("Pool '{named}' on node '{node}' holds no data."))
            .cause("It is the pool of diskless replicas.")
            .correction("Choose another pool, or ask for a diskless replica.")
            .into());
    }
    Ok(pool.clone())
}
