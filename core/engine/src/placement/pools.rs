//! The pool of a volume where the request or a property names one, or the default does.

use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::names::{DEFAULT_POOL, NodeName, StorPoolName, VolumeNumber};
use berth_model::objects::{ResourceDefinition, SelectFilter, StorPool};
use berth_model::observed::Observed;
use berth_model::props::{Chain, Props, STOR_POOL_NAME, Source};
use berth_model::reply::Reply;

use super::{PlaceError, Request, place};
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

/// The pool that placement chooses on one node for a replica of `definition`; the layers of `filter` must be chosen.
///
/// # Errors
/// Why there is none, for people.
pub fn pool_on(
    cluster: &Cluster,
    observed: &Observed,
    definition: &ResourceDefinition,
    filter: &SelectFilter,
    node: &NodeName,
) -> Result<StorPoolName, String> {
    let filter = SelectFilter { node_name_list: Some(vec![node.to_string()]), ..filter.clone() };
    let request = Request::new(cluster, definition, &filter, 1, filter.layer_stack.as_deref().unwrap_or_default());
    match place(cluster, observed, &request) {
        Ok(placement) => {
            placement.chosen.into_iter().next().map(|chosen| chosen.pool.name.clone()).ok_or_else(|| "nothing was chosen".to_owned())
        }
        Err(PlaceError::TooFew { tried, .. } | PlaceError::TooHard { tried, .. }) => {
            let reasons = tried.iter().filter(|one| one.node == *node).map(|one| match &one.pool {
                Some(pool) => format!("pool {pool}: {}", one.why),
                None => one.why.to_string(),
            });
            Err(reasons.collect::<Vec<_>>().join("; "))
        }
        Err(error @ (PlaceError::Undecidable { .. } | PlaceError::BadRegex { .. } | PlaceError::Contradiction(_))) => {
            Err(error.to_string())
        }
    }
}
