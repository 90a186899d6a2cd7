//! A user's change of the properties of one object: all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::{Checked, PropError, check, check_delete, normal_key};
use super::table::{Effect, Owner};
use super::{DRIVER_POOL, ON_NO_QUORUM, Props, QUORUM, QUORUM_BY_USER, QUORUM_SET_BY};

const AUTO_QUORUM: &str = "DrbdOptions/auto-quorum";
const WAIT_TIMEOUT: &str = "ExtCmd/WaitTimeout";
const WAIT_TIMEOUT_OLD: &str = "ExtCmdWaitTimeout";
const THIN_POOL: &str = "StorDriver/ThinPool";
const VOLUME_GROUP: &str = "StorDriver/LvmVg";
/// Older names of [`DRIVER_POOL`], one for each kind of pool.
const POOL_OLD: [&str; 4] = [VOLUME_GROUP, "StorDriver/ZPool", "StorDriver/ZPoolThin", "StorDriver/FileDir"];

/// What a user asks for (the fields of REST API v1's modify documents).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PropChange {
    /// Keys to set.
    pub override_props: BTreeMap<String, String>,
    /// Keys to remove.
    pub delete_props: Vec<String>,
    /// Namespaces to remove, with everything at and below them.
    pub delete_namespaces: Vec<String>,
}

impl PropChange {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.override_props.is_empty() && self.delete_props.is_empty() && self.delete_namespaces.is_empty()
    }

    /// Sets keys and nothing else, as when an object is created.
    #[must_use]
    pub fn set(props: BTreeMap<String, String>) -> Self {
        Self { override_props: props, ..Self::default() }
    }
}

/// One key that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetProp {
    /// The key.
    pub key: String,
    /// Its value before; `None`: it was unset.
    pub old: Option<String>,
    /// Its value now, in its one spelling.
    pub new: String,
}

/// A key under an old name: accepted with a warning, done under the names of today.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deprecated {
    /// The name that was given.
    pub key: &'static str,
    /// The names of today.
    pub now: &'static [&'static str],
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropOutcome {
    /// The properties after it.
    pub props: Props,
    /// Keys set, in their order; a key set to the value that it had is among them.
    pub set: Vec<SetProp>,
    /// Keys removed by name, in the order of the request.
    pub removed: Vec<String>,
    /// Keys that should be removed by name and were not set.
    pub not_set: Vec<String>,
    /// Keys removed with their namespace.
    pub swept: Vec<String>,
    /// Keys set that nothing acts upon yet: each is worth a warning.
    pub without_effect: Vec<String>,
    /// Keys given by an old name: each is worth a warning.
    pub deprecated: Vec<Deprecated>,
}

/// What a request comes to once old names are translated.
#[derive(Default)]
struct Wanted {
    set: BTreeMap<String, (String, Effect)>,
    remove: Vec<String>,
    deprecated: BTreeSet<Deprecated>,
}

impl Wanted {
    fn put(&mut self, checked: Checked) {
        self.set.insert(checked.key, (checked.value, checked.effect));
    }

    /// Sets `key` unless the request sets it by that name too.
    fn put_if_absent(&mut self, owner: Owner, key: &str, value: &str) -> Result<(), PropError> {
        if !self.set.contains_key(key) {
            self.put(check(owner, key, value)?);
        }
        Ok(())
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.set.remove(key).map(|(value, _)| value)
    }

    /// The older names of a pool's volume group, zpool or folder. A thin pool is stored as `group/pool`.
    fn translate_pool(&mut self, owner: Owner) -> Result<(), PropError> {
        for old in POOL_OLD {
            let Some(mut value) = self.take(old) else { continue };
            if old == VOLUME_GROUP
                && let Some(pool) = self.take(THIN_POOL)
            {
                value = format!("{value}/{pool}");
            }
            self.put_if_absent(owner, DRIVER_POOL, &value)?;
        }
        Ok(())
    }

    fn translate_wait_timeout(&mut self, owner: Owner) -> Result<(), PropError> {
        if let Some(value) = self.take(WAIT_TIMEOUT_OLD) {
            self.deprecated.insert(Deprecated { key: WAIT_TIMEOUT_OLD, now: &[WAIT_TIMEOUT] });
            self.put_if_absent(owner, WAIT_TIMEOUT, &value)?;
        }
        Ok(())
    }

    /// `disabled` is a quorum that the user turned off; the other values say what happens without quorum and leave it to the controller.
    fn translate_auto_quorum(&mut self, owner: Owner) -> Result<(), PropError> {
        if let Some(value) = self.take(AUTO_QUORUM) {
            self.deprecated.insert(Deprecated { key: AUTO_QUORUM, now: &[QUORUM, ON_NO_QUORUM] });
            if value == "disabled" {
                self.put_if_absent(owner, QUORUM, "off")?;
            } else {
                self.put_if_absent(owner, ON_NO_QUORUM, &value)?;
                if !self.set.contains_key(QUORUM) {
                    self.remove.push(QUORUM.to_owned());
                }
            }
        }
        Ok(())
    }
}

/// Names of today for a key that shall be removed.
fn current_names(owner: Owner, key: &str) -> Option<&'static [&'static str]> {
    match key {
        WAIT_TIMEOUT_OLD => Some(&[WAIT_TIMEOUT]),
        AUTO_QUORUM => Some(&[QUORUM, ON_NO_QUORUM]),
        old if owner == Owner::StorPool && POOL_OLD.contains(&old) => Some(&[DRIVER_POOL]),
        _ => None,
    }
}

/// A namespace without slashes at its ends; empty: everything.
fn normal_namespace(text: &str) -> Result<&str, PropError> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    if bare.is_empty() { Ok(bare) } else { normal_key(bare) }
}

/// The keys of a namespace (`is_below`), in order. Found by their order: a change may name as many namespaces as there are keys.
fn inside(map: &BTreeMap<String, String>, namespace: &str) -> Vec<String> {
    if namespace.is_empty() {
        return map.keys().cloned().collect();
    }
    let below = format!("{namespace}/");
    let under = map.range(below.clone()..).map(|(key, _)| key).take_while(|key| key.starts_with(&below));
    map.get_key_value(namespace).map(|(key, _)| key).into_iter().chain(under).cloned().collect()
}

/// Keeps [`QUORUM_SET_BY`] in step with who chose the quorum, on the objects where a user may choose it.
fn mark_quorum(owner: Owner, props: &mut Props, chosen: bool) {
    if !matches!(owner, Owner::Controller | Owner::ResourceGroup | Owner::ResourceDefinition) {
        return;
    }
    if !props.contains(QUORUM) {
        props.remove(QUORUM_SET_BY);
    } else if chosen {
        props.insert_internal(QUORUM_SET_BY, QUORUM_BY_USER);
    }
}

/// Does a user's change to the properties of `owner`: sets, then removes keys, then removes namespaces.
///
/// Old names are translated (a storage pool's `StorDriver/FileDir` and its like without a word, the others noted in
/// [`PropOutcome::deprecated`]). A quorum that is set or removed is noted in [`QUORUM_SET_BY`]. Checks that need more than this object
/// (does the pool, the net interface exist; is anything deployed) are the caller's.
///
/// # Errors
/// [`PropError`] of the first key that may not be set or removed; nothing is changed then.
pub fn change(owner: Owner, props: &Props, change: &PropChange) -> Result<PropOutcome, PropError> {
    let mut wanted = Wanted::default();
    for (key, value) in &change.override_props {
        wanted.put(check(owner, key, value)?);
    }
    if owner == Owner::StorPool {
        wanted.translate_pool(owner)?;
    }
    if owner != Owner::KeyValueStore {
        wanted.translate_wait_timeout(owner)?;
        wanted.translate_auto_quorum(owner)?;
    }

    // Changed as a map that is made for many: a change may name thousands of keys.
    let mut map: BTreeMap<String, String> = props.clone().into();
    let mut outcome = PropOutcome { deprecated: wanted.deprecated.into_iter().collect(), ..PropOutcome::default() };
    for key in &wanted.remove {
        map.remove(key);
    }
    let chosen = wanted.set.contains_key(QUORUM);
    for (key, (new, effect)) in wanted.set {
        if effect == Effect::NotYet {
            outcome.without_effect.push(key.clone());
        }
        let old = map.insert(key.clone(), new.clone());
        outcome.set.push(SetProp { key, old, new });
    }

    for given in &change.delete_props {
        check_delete(owner, given)?;
        let key = normal_key(given)?;
        let mut was_set = map.remove(key).is_some();
        if owner != Owner::KeyValueStore {
            for name in current_names(owner, key).unwrap_or_default() {
                was_set |= map.remove(*name).is_some();
            }
        }
        if was_set { &mut outcome.removed } else { &mut outcome.not_set }.push(key.to_owned());
    }

    for given in &change.delete_namespaces {
        let namespace = normal_namespace(given)?;
        for key in inside(&map, namespace) {
            check_delete(owner, &key)?;
            map.remove(&key);
            outcome.swept.push(key);
        }
    }

    outcome.props = map.into_iter().collect();
    mark_quorum(owner, &mut outcome.props, chosen);
    Ok(outcome)
}
