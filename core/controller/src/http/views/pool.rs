//! Storage pools.

use std::collections::BTreeMap;

use berth_api::pool::{StoragePool, StoragePoolDefinition};
use berth_model::layers::ProviderKind;
use berth_model::objects::{StorPool, StorPoolDfn};
use berth_model::time::Timestamp;

use crate::View;

/// A storage pool definition.
pub fn definition(definition: &StorPoolDfn) -> StoragePoolDefinition {
    StoragePoolDefinition { storage_pool_name: definition.name.to_string(), props: super::props(&definition.props) }
}

/// A storage pool. Capacities only while its node is online; a diskless pool has none.
pub fn pool(view: &View, pool: &StorPool) -> StoragePool {
    let record = view.observed.pool_record(&pool.node, &pool.name);
    let seen = record.map(|record| &record.seen);
    let node = view.observed.nodes.get(&pool.node).map(AsRef::as_ref);
    let able = match seen {
        Some(seen) => seen.snapshots,
        None => pool.provider.takes_snapshots(),
    };
    let mut traits = BTreeMap::from([("SupportsSnapshots", if able { "true" } else { "false" })]);
    if pool.provider.has_storage() {
        traits.insert("Provisioning", if pool.provider.is_thin() { "Thin" } else { "Fat" });
    }
    let mut reports = Vec::new();
    if !view.observed.online(&pool.node) {
        reports.push(super::unknown(&pool.node));
    }
    reports.extend(record.and_then(|record| record.seen.fault.as_ref().map(|fault| super::trouble(fault, record.at))));
    let has_space = pool.provider != ProviderKind::Diskless;
    StoragePool {
        storage_pool_name: pool.name.to_string(),
        node_name: pool.node.to_string(),
        provider_kind: pool.provider.word(),
        props: super::props(&pool.props),
        static_traits: traits,
        free_capacity: seen.filter(|_| has_space).and_then(|seen| seen.free_kib).map(|size| size.0),
        total_capacity: seen.filter(|_| has_space).and_then(|seen| seen.total_kib).map(|size| size.0),
        free_space_mgr_name: pool.free_space_mgr_name(),
        uuid: pool.id.to_string(),
        reports,
        supports_snapshots: able,
        external_locking: pool.external_locking,
        // A diskless pool has no state but that of its node.
        berth: super::when(
            node,
            if has_space { record.map(|record| record.at) } else { node.and_then(|node| node.reported) },
            Timestamp::default(),
        )
        .into_owned(),
    }
}
