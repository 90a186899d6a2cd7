//! Properties of the cluster, key-value stores, and what an empty cluster begins with.

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::ids::{Id, IdSource, kind};
use berth_model::names::{DEFAULT_POOL, DISKLESS_POOL, StorPoolName};
use berth_model::objects::{ControllerObject, KeyValueStore, StorPoolDfn};
use berth_model::props::{MINOR_RANGE, Owner, PropChange, Props, TCP_PORT_RANGE};
use berth_model::reply::Reply;

use crate::change_props;
use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::lookup;
use crate::resources::misdirected;

/// The controller's property with the cluster's id; set at the beginning, read only.
pub const LOCAL_ID: &str = "Cluster/LocalID";

/// Commands on the cluster's properties and on key-value stores.
///
/// # Errors
/// As the operations of REST API v1 on `controller/properties` and `key-value-store`.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::ModifyController { props } => {
            draft.about(Operation::Create, ObjectMask::Controller, &[]);
            modify_controller(draft, props)
        }
        Command::DeleteControllerProperty { key } => {
            draft.about(Operation::Delete, ObjectMask::Controller, &[]);
            modify_controller(draft, &PropChange { delete_props: vec![key.clone()], ..PropChange::default() })
        }
        Command::ModifyKeyValueStore { name, expected, override_props, delete_props, delete_namespaces } => {
            draft.about(Operation::Modify, ObjectMask::Controller, &[]);
            let change = PropChange {
                override_props: override_props.clone(),
                delete_props: delete_props.clone(),
                delete_namespaces: delete_namespaces.clone(),
            };
            as_expected(draft, name, expected).and_then(|()| modify_store(draft, name, &change)).map_err(alone)
        }
        Command::DeleteKeyValueStore { name } => {
            draft.about(Operation::Delete, ObjectMask::KeyValueStore, &[]);
            delete_store(draft, name).map_err(alone)
        }
        other => Err(misdirected(other)),
    }
}

/// Refusals about key-value stores name no context (recorded behaviour of the API).
fn alone(refused: Refused) -> Refused {
    Refused { replies: refused.replies.into_iter().map(Reply::alone).collect() }
}

/// One entry for each key. Numbers that are taken stay taken when a range moves: each has a claim of its own.
fn modify_controller(draft: &mut Draft<'_>, change: &PropChange) -> Result<(), Refused> {
    lookup::unreserved(&draft.cluster, &Key::Controller)?;
    let outcome = change_props::judge(Owner::Controller, &draft.cluster.controller.props, change)?;
    for old in &outcome.deprecated {
        draft.reply(change_props::deprecated(old).of(Operation::Modify, ObjectMask::Controller));
    }
    for set in &outcome.set {
        if [TCP_PORT_RANGE, MINOR_RANGE].contains(&set.key.as_str()) {
            let text = format!("New numbers are taken from {}; those in use stay.", set.new);
            draft.reply(Reply::new(Code::MODIFIED, text).of(Operation::Modify, ObjectMask::Controller));
        }
        let text = format!("Controller property '{}' set to '{}'.", set.key, set.new);
        draft.reply(Reply::new(Code::CREATED, text).of(Operation::Create, ObjectMask::Controller));
    }
    for key in &change.delete_props {
        let was = if outcome.not_set.contains(key) { "was not set" } else { "removed" };
        let text = format!("Controller property '{key}' {was}.");
        draft.reply(Reply::new(Code::DELETED, text).of(Operation::Delete, ObjectMask::Controller));
    }
    if !outcome.swept.is_empty() {
        let text = format!("Controller properties removed: {}.", outcome.swept.join(", "));
        draft.reply(Reply::new(Code::DELETED, text).of(Operation::Delete, ObjectMask::Controller));
    }
    if !outcome.without_effect.is_empty() {
        draft.reply(change_props::without_effect(&outcome.without_effect).of(Operation::Modify, ObjectMask::Controller));
    }
    if outcome.props != draft.cluster.controller.props {
        let object = ControllerObject { props: outcome.props };
        draft.put(Object::Controller(object));
    }
    Ok(())
}

/// Whether the keys of a store have the values that whoever writes them saw: else somebody was faster (992).
fn as_expected(draft: &Draft<'_>, text: &str, expected: &BTreeMap<String, Option<String>>) -> Result<(), Refused> {
    let name = lookup::kvs_name(text)?;
    let props = draft.cluster.stores.get(&name).map(|store| &store.props);
    let differs = |(key, value): &(&String, &Option<String>)| props.and_then(|props| props.get(*key)) != value.as_ref();
    match expected.iter().find(differs) {
        Some((key, _)) => Err(Reply::new(Code::FAIL_RSC_BUSY, format!("Key '{key}' of key-value store '{name}' is not as expected."))
            .cause("Somebody else wrote it meanwhile; nothing was changed.")
            .correction("Read it again, and decide anew.")
            .into()),
        None => Ok(()),
    }
}

fn modify_store(draft: &mut Draft<'_>, text: &str, change: &PropChange) -> Result<(), Refused> {
    let name = lookup::kvs_name(text)?;
    lookup::unreserved(&draft.cluster, &Key::KeyValueStore(name.clone()))?;
    let old = draft.cluster.stores.get_key_value(&name).map(|(name, store)| (name.clone(), (**store).clone()));
    let before: Props = old.iter().flat_map(|(_, store)| store.props.clone()).collect();
    let outcome = change_props::judge(Owner::KeyValueStore, &before, change)?;
    let props = BTreeMap::from(outcome.props);
    match (old, props.is_empty()) {
        (None, true) => {}
        (Some((name, _)), true) => draft.delete(Key::KeyValueStore(name)),
        (Some((name, store)), false) => draft.put(Object::KeyValueStore(name, KeyValueStore { props, ..store })),
        (None, false) => draft.put(Object::KeyValueStore(name.clone(), KeyValueStore { props, tenant: None })),
    }
    draft.say(Code::MODIFIED, format!("Key-value store '{name}' written."));
    Ok(())
}

fn delete_store(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let name = lookup::kvs_name(text)?;
    if draft.cluster.stores.contains_key(&name) {
        draft.delete(Key::KeyValueStore(name.clone()));
        draft.reply(Reply::new(Code::DELETED, format!("Key-value store '{name}' deleted.")).alone());
    } else {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Key-value store '{name}' not found."))
                .cause("It does not exist, or was deleted already.")
                .alone(),
        );
    }
    Ok(())
}

/// What an empty cluster begins with: its properties, the default resource group, the two pool definitions that are always there.
#[must_use]
pub fn first_objects(cluster: Id<kind::Cluster>, ids: &mut IdSource) -> Vec<Object> {
    let local_id = cluster.to_string();
    let props = [
        (LOCAL_ID, local_id.as_str()),
        ("DrbdOptions/AutoEvictAllowEviction", "True"),
        ("DrbdOptions/Resource/on-no-quorum", "io-error"),
        ("DrbdOptions/auto-add-quorum-tiebreaker", "True"),
        ("DrbdOptions/auto-diskful-allow-cleanup", "True"),
        ("DrbdOptions/auto-resync-after-disable", "true"),
        ("DrbdOptions/auto-verify-algo-allowed-list", "crct10dif;crc32c;sha384;sha512;sha256;sha1;md5;windrbd"),
    ];
    let props: Props = props.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut objects = vec![Object::Controller(ControllerObject { props }), Object::ResourceGroup(crate::groups::default_group(ids.next()))];
    for name in [DEFAULT_POOL, DISKLESS_POOL] {
        let name = StorPoolName::parse(name).expect("the constant is a name");
        objects.push(Object::StorPoolDfn(StorPoolDfn { id: ids.next(), name, props: Props::default() }));
    }
    objects
}

#[cfg(test)]
mod tests;
