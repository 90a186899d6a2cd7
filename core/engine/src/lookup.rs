//! From texts of a request to names and objects, each with the code that the API gives for a bad or missing one.

use std::sync::Arc;

use berth_model::change::Key;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::names::{
    BadName, KvsName, NetIfName, NodeName, ResourceGroupName, ResourceName, SnapshotName, StorPoolName, VolumeNumber,
};
use berth_model::objects::{Node, Resource, ResourceDefinition, ResourceGroup, StorPool, VolumeDefinition};
use berth_model::reply::Reply;
use berth_model::snapshot::Snapshot;

use crate::draft::Refused;

fn bad_name(code: Code, error: &BadName) -> Refused {
    let rule = match error {
        BadName::Length { min, max, .. } => format!("Choose a name of {min} to {max} characters."),
        BadName::Character { kind: "node", .. } => {
            "Choose a host name: letters, digits and '-', in parts joined by '.', each beginning with a letter or digit.".to_owned()
        }
        BadName::Character { .. } => "Begin with a letter or '_' and go on with letters, digits, '_' and '-'.".to_owned(),
        BadName::Reserved { .. } => "Choose another name.".to_owned(),
        BadName::NoLetter { .. } => "Add a letter to the name.".to_owned(),
    };
    Reply::new(code, error.to_string()).cause("The name breaks the naming rules of its kind.").correction(rule).into()
}

/// Takes a node name. Error 200.
pub fn node_name(text: &str) -> Result<NodeName, Refused> {
    NodeName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_NODE_NAME, &e))
}

/// Takes a resource name. Error 202.
pub fn resource_name(text: &str) -> Result<ResourceName, Refused> {
    ResourceName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_RSC_NAME, &e))
}

/// Takes a resource group name. Error 237.
pub fn group_name(text: &str) -> Result<ResourceGroupName, Refused> {
    ResourceGroupName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_RSC_GRP_NAME, &e))
}

/// Takes a storage pool name. Error 208.
pub fn pool_name(text: &str) -> Result<StorPoolName, Refused> {
    StorPoolName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_STOR_POOL_NAME, &e))
}

/// Takes a snapshot name. Error 218.
pub fn snapshot_name(text: &str) -> Result<SnapshotName, Refused> {
    SnapshotName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_SNAPSHOT_NAME, &e))
}

/// Takes a net interface name. Error 209.
pub fn net_if_name(text: &str) -> Result<NetIfName, Refused> {
    NetIfName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_NET_NAME, &e))
}

/// Takes the name of a key-value store. Error 223.
pub fn kvs_name(text: &str) -> Result<KvsName, Refused> {
    KvsName::parse(text).map_err(|e| bad_name(Code::FAIL_INVLD_KVS_NAME, &e))
}

/// Takes a volume number. Error 205.
pub fn volume_number(number: i64) -> Result<VolumeNumber, Refused> {
    VolumeNumber::new(number).ok_or_else(|| {
        Reply::new(Code::FAIL_INVLD_VLM_NR, format!("{number} is not a volume number"))
            .cause(format!("Volume numbers go from 0 to {}.", VolumeNumber::MAX))
            .correction("Choose a number in this range, or leave it out to get the lowest free one.")
            .into()
    })
}

/// Finds a node. Errors 200, 300.
pub fn node<'c>(cluster: &'c Cluster, text: &str) -> Result<&'c Arc<Node>, Refused> {
    let name = node_name(text)?;
    cluster.nodes.get(&name).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_NODE, format!("Node '{name}' does not exist."))
            .correction("List the nodes with 'linstor node list', or create this one first.")
            .into()
    })
}

/// Finds a resource group. Errors 237, 317.
pub fn group<'c>(cluster: &'c Cluster, text: &str) -> Result<&'c Arc<ResourceGroup>, Refused> {
    let name = group_name(text)?;
    cluster.groups.get(&name).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_RSC_GRP, format!("Resource group '{name}' does not exist."))
            .correction("List the groups with 'linstor resource-group list', or create this one first.")
            .into()
    })
}

/// Finds a resource definition. Errors 202, 301.
pub fn definition<'c>(cluster: &'c Cluster, text: &str) -> Result<&'c Arc<ResourceDefinition>, Refused> {
    let name = resource_name(text)?;
    cluster.definitions.get(&name).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_RSC_DFN, format!("Resource definition '{name}' does not exist."))
            .correction("List the definitions with 'linstor resource-definition list', or create this one first.")
            .into()
    })
}

/// Finds a volume definition. Errors 205, 303.
pub fn volume_definition(definition: &ResourceDefinition, number: i64) -> Result<(VolumeNumber, &VolumeDefinition), Refused> {
    let number = volume_number(number)?;
    match definition.volumes.get(&number) {
        Some(volume) => Ok((number, volume)),
        None => Err(Reply::new(
            Code::FAIL_NOT_FOUND_VLM_DFN,
            format!("Resource definition '{}' has no volume definition {number}.", definition.name),
        )
        .correction("List the volume definitions with 'linstor volume-definition list'.")
        .into()),
    }
}

/// Finds a replica; the definition must exist, too. Errors 200, 202, 300, 301, 302.
pub fn resource<'c>(cluster: &'c Cluster, name: &str, on: &str) -> Result<&'c Arc<Resource>, Refused> {
    let definition = definition(cluster, name)?;
    let node = node(cluster, on)?;
    cluster.resource(&definition.name, &node.name).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_RSC, format!("Resource '{}' does not exist on node '{}'.", definition.name, node.name))
            .correction("List the resources with 'linstor resource list'.")
            .into()
    })
}

/// Finds a storage pool of a node. Errors 200, 208, 300, 309 (no pool of this name anywhere), 310.
pub fn pool<'c>(cluster: &'c Cluster, on: &str, name: &str) -> Result<&'c Arc<StorPool>, Refused> {
    let node = node(cluster, on)?;
    let name = pool_name(name)?;
    if let Some(pool) = cluster.pool(&node.name, &name) {
        return Ok(pool);
    }
    let known = cluster.pool_definitions.contains_key(&name);
    let (code, message) = if known {
        (Code::FAIL_NOT_FOUND_STOR_POOL, format!("Storage pool '{name}' does not exist on node '{}'.", node.name))
    } else {
        (Code::FAIL_NOT_FOUND_STOR_POOL_DFN, format!("No node has a storage pool '{name}'."))
    };
    Err(Reply::new(code, message).correction("List the pools with 'linstor storage-pool list'.").into())
}

/// Finds a snapshot; the definition must exist, too. Errors 202, 218, 301 and `missing` (315 for most, 313 for restore and rollback).
pub fn snapshot<'c>(cluster: &'c Cluster, resource: &str, name: &str, missing: Code) -> Result<&'c Arc<Snapshot>, Refused> {
    let definition = definition(cluster, resource)?;
    let name = snapshot_name(name)?;
    cluster.snapshot(&definition.name, &name).ok_or_else(|| {
        Reply::new(missing, format!("Resource definition '{}' has no snapshot '{name}'.", definition.name))
            .correction("List the snapshots with 'linstor snapshot list'.")
            .into()
    })
}

/// Refuses a name whose record is quarantined: it stays taken until somebody has looked at the record.
pub fn unreserved(cluster: &Cluster, key: &Key) -> Result<(), Refused> {
    match cluster.reserved(key) {
        None => Ok(()),
        Some(record) => {
            Err(Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("The name '{}' belongs to a broken {} record.", record.key, record.kind))
                .cause(record.why.clone())
                .correction("Look at the record with 'berth db check', and mend or remove it with 'berth db repair'.")
                .into())
        }
    }
}
