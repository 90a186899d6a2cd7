//! Storage pools and their definitions.

mod losing;
mod provided;

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::layers::ProviderKind;
use berth_model::names::{DEFAULT_POOL, DISKLESS_POOL, SharedSpaceName, StorPoolName};
use berth_model::objects::{Node, StorPool, StorPoolDfn};
use berth_model::props::{DRIVER_POOL, Owner, PROVIDER, PropChange, Props};
use berth_model::reply::Reply;

use crate::change_props;
use crate::command::Command;
use crate::draft::{AwaitedPool, Draft, Refused};
use crate::resources::misdirected;
use crate::{lookup, stack};

pub(crate) use losing::lose_some;

/// Property of a pool: the unit of its volumes' sizes in KiB, as far as it is known without asking the node.
const GRANULARITY: &str = "StorDriver/internal/AllocationGranularity";

/// Commands on storage pools and their definitions.
///
/// # Errors
/// As the operations of REST API v1 on storage pools.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateStorPoolDfn { name, props } => {
            draft.about(Operation::Create, ObjectMask::StorPoolDfn, &[("StorPoolDfn", name)]);
            create_definition(draft, name, props)
        }
        Command::ModifyStorPoolDfn { name, props } => {
            draft.about(Operation::Modify, ObjectMask::StorPoolDfn, &[("StorPoolDfn", name)]);
            modify_definition(draft, name, props)
        }
        Command::DeleteStorPoolDfn { name } => {
            draft.about(Operation::Delete, ObjectMask::StorPoolDfn, &[("StorPoolDfn", name)]);
            delete_definition(draft, name)
        }
        Command::CreateStorPool { node, name, provider_kind, shared_space, external_locking, props } => {
            draft.about(Operation::Create, ObjectMask::StorPool, &[("StorPoolDfn", name), ("Node", node)]);
            let request = Request { provider_kind, shared_space: shared_space.as_deref(), external_locking: *external_locking, props };
            create(draft, node, name, &request)
        }
        Command::ModifyStorPool { node, name, props } => {
            draft.about(Operation::Modify, ObjectMask::StorPool, &[("StorPoolDfn", name), ("Node", node)]);
            modify(draft, node, name, props)
        }
        Command::DeleteStorPool { node, name } => {
            draft.about(Operation::Delete, ObjectMask::StorPool, &[("StorPoolDfn", name), ("Node", node)]);
            delete(draft, node, name)
        }
        Command::LoseStorPool { node, name } => {
            draft.about(Operation::Delete, ObjectMask::StorPool, &[("StorPoolDfn", name), ("Node", node)]);
            losing::lose(draft, node, name)
        }
        other => Err(misdirected(other)),
    }
}

/// Takes the word of a provider: that of the API or of the command line (`LVM_THIN`, `lvmthin`), in any case.
#[must_use]
pub fn provider_kind(word: &str) -> Option<ProviderKind> {
    let bare = |text: &str| text.replace(['_', '-'], "").to_ascii_uppercase();
    let wanted = bare(word);
    ProviderKind::ALL.iter().copied().find(|kind| bare(kind.word()) == wanted)
}

/// Whether definitions of this name are always there.
fn is_built_in(name: &StorPoolName) -> bool {
    [DEFAULT_POOL, DISKLESS_POOL].iter().any(|built_in| name.as_str().eq_ignore_ascii_case(built_in))
}

fn is_diskless_pool(name: &StorPoolName) -> bool {
    name.as_str().eq_ignore_ascii_case(DISKLESS_POOL)
}

/// The definition's spelling of a pool's name; makes the definition where there is none.
pub(crate) fn definition_for(draft: &mut Draft<'_>, name: &StorPoolName) -> StorPoolName {
    if let Some(definition) = draft.cluster.pool_definitions.get(name) {
        return definition.name.clone();
    }
    let id = draft.context.ids.next();
    draft.put(Object::StorPoolDfn(StorPoolDfn { id, name: name.clone(), props: Props::default() }));
    name.clone()
}

fn pools_named(draft: &Draft<'_>, name: &StorPoolName) -> usize {
    draft.cluster.pools_named(name)
}

/// Removes a definition that went with its last pool. One with properties of its own stays, and so do the built-in ones.
pub(crate) fn drop_idle_definition(draft: &mut Draft<'_>, name: &StorPoolName) {
    let plain = draft.cluster.pool_definitions.get(name).is_some_and(|definition| definition.props.is_empty());
    if plain && !is_built_in(name) && pools_named(draft, name) == 0 {
        draft.delete(Key::StorPoolDfn(name.clone()));
    }
}

fn find_definition(draft: &Draft<'_>, text: &str) -> Result<StorPoolDfn, Refused> {
    let name = lookup::pool_name(text)?;
    draft.cluster.pool_definitions.get(&name).map(|definition| (**definition).clone()).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_STOR_POOL_DFN, format!("Storage pool definition '{name}' does not exist."))
            .correction("List the definitions with 'linstor storage-pool-definition list'.")
            .into()
    })
}

fn create_definition(draft: &mut Draft<'_>, text: &str, props: &BTreeMap<String, String>) -> Result<(), Refused> {
    let name = lookup::pool_name(text)?;
    lookup::unreserved(&draft.cluster, &Key::StorPoolDfn(name.clone()))?;
    if draft.cluster.pool_definitions.contains_key(&name) {
        return Err(Reply::new(Code::FAIL_EXISTS_STOR_POOL_DFN, format!("Storage pool definition '{name}' exists already."))
            .cause("It was made by itself or with the first pool of this name.")
            .correction("Choose another name, or change the definition that is there.")
            .into());
    }
    let props = change_props::first(Owner::StorPoolDfn, props)?.naming(&[]).told(draft);
    let id = draft.context.ids.next();
    draft.put(Object::StorPoolDfn(StorPoolDfn { id, name: name.clone(), props }));
    let text = format!("New storage pool definition '{name}' created.");
    draft.reply(Reply::new(Code::CREATED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn modify_definition(draft: &mut Draft<'_>, text: &str, props: &PropChange) -> Result<(), Refused> {
    let mut definition = find_definition(draft, text)?;
    definition.props = change_props::changed(draft, Owner::StorPoolDfn, &definition.props, props)?;
    let (id, text) = (definition.id, format!("Storage pool definition '{}' modified.", definition.name));
    draft.put(Object::StorPoolDfn(definition));
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn delete_definition(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let definition = find_definition(draft, text)?;
    let name = definition.name;
    let refuse = |cause: String, correction: &str| -> Refused {
        Reply::new(Code::FAIL_IN_USE, format!("Storage pool definition '{name}' cannot be deleted."))
            .cause(cause)
            .correction(correction)
            .into()
    };
    if is_built_in(&name) {
        return Err(refuse("Every cluster has it.".to_owned(), "Leave it; it costs nothing."));
    }
    let pools = pools_named(draft, &name);
    if pools > 0 {
        return Err(refuse(
            format!("{pools} nodes have a pool of this name."),
            "Delete these pools first: 'linstor storage-pool list' shows them.",
        ));
    }
    draft.delete(Key::StorPoolDfn(name.clone()));
    let text = format!("Storage pool definition '{name}' deleted.");
    draft.reply(Reply::new(Code::DELETED, text).details(format!("UUID: {}", definition.id)).refer("UUID", definition.id));
    Ok(())
}

struct Request<'a> {
    provider_kind: &'a str,
    shared_space: Option<&'a str>,
    external_locking: bool,
    props: &'a BTreeMap<String, String>,
}

fn provider(word: &str) -> Result<ProviderKind, Refused> {
    provider_kind(word).ok_or_else(|| {
        let known = ProviderKind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
        Reply::new(Code::FAIL_INVLD_LAYER_KIND, format!("'{word}' is no kind of storage pool."))
            .correction(format!("Choose from {known}."))
            .alone()
            .into()
    })
}

/// The space that the pool shares; only where one storage is reachable from several nodes at once.
fn shared_space(provider: ProviderKind, text: Option<&str>) -> Result<Option<SharedSpaceName>, Refused> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let name = SharedSpaceName::parse(text).map_err(|error| {
        Reply::new(Code::FAIL_INVLD_FREE_SPACE_MGR_NAME, error.to_string())
            .cause("The name breaks the naming rules of its kind.")
            .correction("Use 1 to 48 letters, digits, '_', '-' and '.', beginning with a letter, a digit or '_'.")
    })?;
    match provider {
        ProviderKind::Lvm | ProviderKind::Diskless => Ok(Some(name)),
        ProviderKind::LvmThin
        | ProviderKind::Zfs
        | ProviderKind::ZfsThin
        | ProviderKind::File
        | ProviderKind::FileThin
        | ProviderKind::Spdk
        | ProviderKind::RemoteSpdk
        | ProviderKind::EbsInit
        | ProviderKind::EbsTarget
        | ProviderKind::StorageSpaces
        | ProviderKind::StorageSpacesThin
        | ProviderKind::Plugin => {
            Err(Reply::new(Code::FAIL_INVLD_FREE_SPACE_MGR_NAME, format!("A pool of kind {provider} cannot be shared by several nodes."))
                .cause("Two nodes that write to such a storage at once destroy it.")
                .correction("Leave out the shared space, or use LVM on storage that all of the nodes reach.")
                .into())
        }
    }
}

/// Refuses a kind of pool that the node cannot serve, or of which nobody knows. Error 989.
fn supported(draft: &Draft<'_>, node: &Node, provider: ProviderKind) -> Result<(), Refused> {
    if provider == ProviderKind::Diskless {
        return Ok(());
    }
    let refuse = |cause: String, correction: String| -> Refused {
        Reply::new(Code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER, format!("Node '{}' cannot serve pools of kind {provider}.", node.name))
            .cause(cause)
            .correction(correction)
            .into()
    };
    match stack::capabilities(draft.context.observed, &node.name) {
        None => Err(refuse(
            "Its satellite was not connected yet, so it is not known what it can do.".to_owned(),
            format!("Start its satellite and look with 'linstor node list' until '{}' is online.", node.name),
        )),
        Some(able) if able.providers.contains(&provider) => Ok(()),
        Some(able) => {
            let why = able.unsupported_providers.get(&provider).map(|reasons| reasons.join("; ")).filter(|why| !why.is_empty());
            Err(refuse(
                why.unwrap_or_else(|| "Its satellite does not offer this kind.".to_owned()),
                "Choose another kind, or a node that serves this one: 'linstor node info' says which do, and what others lack.".to_owned(),
            ))
        }
    }
}

/// A pool with storage needs a place, and folders are named from the root. Errors 213, 600.
fn place(provider: ProviderKind, props: &Props) -> Result<(), Refused> {
    if !provider.has_storage() {
        return Ok(());
    }
    let Some(place) = props.get(DRIVER_POOL).filter(|place| !place.is_empty()) else {
        return Err(Reply::new(Code::FAIL_MISSING_PROPS, format!("A pool of kind {provider} needs a place on its node."))
            .cause(format!("'{DRIVER_POOL}' is not set."))
            .correction("Name the folder, volume group, thin pool or dataset after the name of the pool.")
            .into());
    };
    if matches!(provider, ProviderKind::File | ProviderKind::FileThin) && !place.starts_with('/') {
        return Err(Reply::new(Code::FAIL_INVLD_PROP, format!("'{place}' is no folder for a pool of kind {provider}."))
            .cause("Folders are named from the root of the file system.")
            .correction("Give a path that begins with '/'.")
            .into());
    }
    Ok(())
}

fn create(draft: &mut Draft<'_>, on: &str, text: &str, request: &Request<'_>) -> Result<(), Refused> {
    let node = lookup::node(&draft.cluster, on)?.clone();
    let name = lookup::pool_name(text)?;
    let provider = provider(request.provider_kind)?;
    lookup::unreserved(&draft.cluster, &Key::StorPool(node.name.clone(), name.clone()))?;
    lookup::unreserved(&draft.cluster, &Key::StorPoolDfn(name.clone()))?;
    if draft.cluster.pool(&node.name, &name).is_some() {
        return Err(Reply::new(Code::FAIL_EXISTS_STOR_POOL, format!("Node '{}' has a storage pool '{name}' already.", node.name))
            .cause("Names are compared without regard to case.")
            .correction("Choose another name, or change the pool that is there.")
            .into());
    }
    if is_diskless_pool(&name) && provider != ProviderKind::Diskless {
        return Err(Reply::new(Code::FAIL_INVLD_STOR_POOL_NAME, format!("'{name}' is the name of the pool without storage."))
            .correction("Choose another name.")
            .into());
    }
    if !node.node_type.has_satellite() {
        return Err(Reply::new(Code::FAIL_INVLD_NODE_TYPE, format!("Node '{}' of type {} has no storage.", node.name, node.node_type))
            .correction("Choose a node with a satellite.")
            .into());
    }
    let shared_space = shared_space(provider, request.shared_space)?;
    supported(draft, &node, provider)?;
    let mut props = change_props::first(Owner::StorPool, request.props)?.told(draft);
    place(provider, &props)?;
    provided::check(draft, &node, provider, &props, &Props::default())?;
    crate::nodes::known_interface(&node, &props)?;
    if matches!(provider, ProviderKind::File | ProviderKind::FileThin) {
        props.insert_internal(GRANULARITY, "1");
    }
    let name = definition_for(draft, &name);
    let pool = StorPool {
        id: draft.context.ids.next(),
        node: node.name.clone(),
        name: name.clone(),
        provider,
        shared_space,
        external_locking: request.external_locking,
        props,
    };
    let id = pool.id;
    if provider.has_storage() && draft.context.observed.online(&node.name) {
        draft.applied.await_pool = Some(AwaitedPool { node: node.name.clone(), name: name.clone(), id: id.uuid() });
    }
    draft.put(Object::StorPool(pool));
    let text = format!("New storage pool '{name}' on node '{}' registered.", node.name);
    draft.reply(Reply::new(Code::CREATED, text).details(format!("UUID: {id}")).refer("UUID", id));
    tell_shared_folder(draft, &node, &name);
    tell_offline(draft, Operation::Create, &node, "it takes up the pool when it is back");
    Ok(())
}

/// A warning where another pool of the node lies in the same folder: each would offer the same space.
fn tell_shared_folder(draft: &mut Draft<'_>, node: &Node, name: &StorPoolName) {
    let Some(folder) = draft.cluster.pool(&node.name, name).and_then(|pool| folder(pool)) else { return };
    let pools = draft.cluster.pools.get(&node.name).into_iter().flat_map(|pools| pools.values());
    let others: Vec<String> = pools
        .filter(|other| other.name != *name && self::folder(other).as_ref() == Some(&folder))
        .map(|other| format!("'{}'", other.name))
        .collect();
    if others.is_empty() {
        return;
    }
    draft.reply(
        Reply::new(
            Code::WARN_STORAGE_ERROR,
            format!("Storage pool '{name}' on '{}' shares its folder with {}.", node.name, others.join(", ")),
        )
        .of(Operation::Create, ObjectMask::StorPool)
        .cause(format!("All of them lie in '/{}', so its free space is counted once for each, and promised as often.", folder.join("/")))
        .correction(format!(
            "Give each pool a folder of its own: 'linstor storage-pool delete {} {name}', then create it again.",
            node.name
        )),
    );
}

/// The folder of a pool of files, as the parts of its path: `/a//b/.` and `/a/b/` are the same. Links are not followed: only the machine
/// knows them.
fn folder(pool: &StorPool) -> Option<Vec<String>> {
    let place = pool.props.get(DRIVER_POOL).filter(|_| matches!(pool.provider, ProviderKind::File | ProviderKind::FileThin))?;
    let mut parts: Vec<String> = Vec::new();
    for part in place.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// A warning where the node's satellite cannot act upon the change now.
fn tell_offline(draft: &mut Draft<'_>, operation: Operation, node: &Node, later: &str) {
    if !draft.context.observed.online(&node.name) {
        draft.reply(
            Reply::new(Code::WARN_NOT_CONNECTED, format!("Node '{}' is not connected; {later}.", node.name))
                .of(operation, ObjectMask::StorPool)
                .correction("Start its satellite, or look with 'linstor node list' why it does not answer."),
        );
    }
}

fn modify(draft: &mut Draft<'_>, on: &str, text: &str, change: &PropChange) -> Result<(), Refused> {
    let mut pool = (**lookup::pool(&draft.cluster, on, text)?).clone();
    let node = lookup::node(&draft.cluster, on)?.clone();
    let props = change_props::changed(draft, Owner::StorPool, &pool.props, change)?;
    place(pool.provider, &props)?;
    provided::check(draft, &node, pool.provider, &props, &pool.props)?;
    if change.override_props.keys().any(|key| key.ends_with("PrefNic")) {
        crate::nodes::known_interface(&node, &props)?;
    }
    let used = draft.cluster.pool_use(&pool.node, &pool.name);
    if props.get(DRIVER_POOL) != pool.props.get(DRIVER_POOL) && (used.volumes > 0 || used.snapshot_volumes > 0) {
        return Err(Reply::new(
            Code::FAIL_IN_USE,
            format!("Storage pool '{}' on node '{}' holds volumes and cannot change its place.", pool.name, pool.node),
        )
        .cause(format!(
            "{} volumes and {} volumes of snapshots lie in '{}'.",
            used.volumes,
            used.snapshot_volumes,
            pool.props.get(DRIVER_POOL).unwrap_or_default()
        ))
        .correction("Create another pool for the new place and move the volumes to it.")
        .into());
    }
    if props.get(PROVIDER) != pool.props.get(PROVIDER) && (used.volumes > 0 || used.snapshot_volumes > 0) {
        return Err(Reply::new(
            Code::FAIL_IN_USE,
            format!("Storage pool '{}' on node '{}' holds volumes and cannot change its provider.", pool.name, pool.node),
        )
        .cause("Another provider would not know what the first one made.")
        .correction("Create another pool with the other provider and move the volumes to it.")
        .into());
    }
    pool.props = props;
    let (id, text) = (pool.id, format!("Storage pool '{}' on node '{}' modified.", pool.name, pool.node));
    draft.put(Object::StorPool(pool));
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    tell_offline(draft, Operation::Modify, &node, "it hears of the change when it is back");
    Ok(())
}

/// A pool with its node.
type Placed = (Arc<Node>, Arc<StorPool>);

/// The pool that is to go; `None`: there is none, which is told.
fn going(draft: &mut Draft<'_>, on: &str, text: &str) -> Result<Option<Placed>, Refused> {
    let node_name = lookup::node_name(on)?;
    let name = lookup::pool_name(text)?;
    if is_diskless_pool(&name) {
        return Err(Reply::new(Code::FAIL_INVLD_STOR_POOL_NAME, format!("Storage pool '{name}' cannot be deleted."))
            .cause("Every node with a satellite has it, for replicas without a disk.")
            .correction("Leave it; it takes no space.")
            .into());
    }
    let found = draft.cluster.nodes.get(&node_name).cloned().zip(draft.cluster.pool(&node_name, &name).cloned());
    if found.is_none() {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Storage pool '{name}' on node '{node_name}' not found."))
                .cause("It does not exist, or was deleted already."),
        );
    }
    Ok(found)
}

fn delete(draft: &mut Draft<'_>, on: &str, text: &str) -> Result<(), Refused> {
    let Some((node, pool)) = going(draft, on, text)? else { return Ok(()) };
    let used = draft.cluster.pool_use(&pool.node, &pool.name);
    if used.volumes > 0 || used.snapshot_volumes > 0 {
        return Err(Reply::new(Code::FAIL_IN_USE, format!("Storage pool '{}' on node '{}' is in use.", pool.name, pool.node))
            .cause(format!("{} volumes and {} volumes of snapshots lie in it.", used.volumes, used.snapshot_volumes))
            .correction(format!(
                "Delete these first; 'linstor volume list --nodes {} --storage-pools {}' shows the volumes.",
                pool.node, pool.name
            ))
            .into());
    }
    draft.delete(Key::StorPool(pool.node.clone(), pool.name.clone()));
    drop_idle_definition(draft, &pool.name);
    let text = format!("Storage pool '{}' on node '{}' deleted.", pool.name, pool.node);
    draft.reply(Reply::new(Code::DELETED, text).details(format!("UUID: {}", pool.id)).refer("UUID", pool.id));
    tell_offline(draft, Operation::Modify, &node, "it hears of the deletion when it is back");
    Ok(())
}

#[cfg(test)]
mod tests;
