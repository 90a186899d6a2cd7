//! Writing properties: the one way from a request's change to new properties and the entries that tell of it.

use std::collections::BTreeMap;

use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::props::{Deprecated, Owner, PropChange, PropError, PropOutcome, Props, change};
use berth_model::reply::Reply;

use crate::draft::{Draft, Refused};

/// New properties, and the entries of the answer that belong to them.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The properties after the change.
    pub props: Props,
    /// Warnings about old names, keys set, keys removed, keys without effect; in this order.
    pub replies: Vec<Reply>,
}

impl Written {
    /// Entries about keys set and removed name `refs` alone, not the objects of the request.
    #[must_use]
    pub fn naming(mut self, refs: &[(&str, &str)]) -> Self {
        for reply in self.replies.iter_mut().filter(|reply| reply.operation.is_some()) {
            reply.alone = true;
            reply.refs.extend(refs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        }
        self
    }

    /// Adds the entries to the answer; what is left are the properties.
    #[must_use]
    pub fn told(self, draft: &mut Draft<'_>) -> Props {
        draft.applied.replies.extend(self.replies);
        self.props
    }
}

/// Kind of object that entries about properties name: groups are written like what they are templates of.
fn mask(owner: Owner) -> ObjectMask {
    match owner {
        Owner::Controller | Owner::KeyValueStore => ObjectMask::Controller,
        Owner::Node => ObjectMask::Node,
        Owner::StorPoolDfn => ObjectMask::StorPoolDfn,
        Owner::StorPool => ObjectMask::StorPool,
        Owner::ResourceGroup
        | Owner::ResourceDefinition
        | Owner::DrbdProxy
        | Owner::DrbdProxyZlib
        | Owner::DrbdProxyLzma
        | Owner::DrbdProxyZstd => ObjectMask::ResourceDefinition,
        Owner::VolumeGroup | Owner::VolumeDefinition => ObjectMask::VolumeDefinition,
        Owner::Resource => ObjectMask::Resource,
        Owner::Volume => ObjectMask::Volume,
        Owner::Snapshot => ObjectMask::Snapshot,
        Owner::NodeConnection => ObjectMask::NodeConnection,
        Owner::ResourceConnection => ObjectMask::ResourceConnection,
    }
}

/// The answer to a key or value that is not taken.
#[must_use]
pub fn refusal(error: &PropError) -> Refused {
    let text = error.to_string();
    let mut letters = text.chars();
    let message: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    Reply::new(error.code(), format!("{message}.")).cause(error.cause()).correction(error.correction()).into()
}

/// The warning about a key under an old name.
#[must_use]
pub fn deprecated(old: &Deprecated) -> Reply {
    let now = old.now.join("' and '");
    Reply::new(Code::WARN_DEPRECATED, format!("Property '{}' is an old name.", old.key))
        .cause(format!("What it asked for stands under '{now}' now."))
        .correction(format!("Use '{now}' from now on."))
}

/// The warning about keys that are kept although nothing acts upon them yet.
#[must_use]
pub fn without_effect(keys: &[String]) -> Reply {
    Reply::new(Code::WARN_UNEFFECTIVE_PROP, format!("Without effect so far: {}.", keys.join(", ")))
        .cause("This version knows and keeps the property, but nothing acts upon it yet.")
        .correction("Do not rely on it; remove it again if it was meant to change something now.")
}

/// Judges a change and makes its entries: one for all keys set, one for all keys removed.
///
/// # Errors
/// [`PropError::code`] of the first key that may not be set or removed.
pub fn write(owner: Owner, props: &Props, wanted: &PropChange) -> Result<Written, Refused> {
    let outcome = judge(owner, props, wanted)?;
    let mut replies: Vec<Reply> = outcome.deprecated.iter().map(deprecated).collect();
    if !outcome.set.is_empty() {
        let keys: Vec<&str> = outcome.set.iter().map(|set| set.key.as_str()).collect();
        replies.push(Reply::new(Code::CREATED, format!("Properties set: {}.", keys.join(", "))).of(Operation::Create, mask(owner)));
    }
    if !wanted.delete_props.is_empty() {
        let gone = |what: &str, keys: &[String]| if keys.is_empty() { String::new() } else { format!("{what}: {}.", keys.join(", ")) };
        let parts = [gone("Properties removed", &outcome.removed), gone("Not set before", &outcome.not_set)];
        let text: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        replies.push(Reply::new(Code::DELETED, text.join(" ")).of(Operation::Delete, mask(owner)));
    }
    if !outcome.without_effect.is_empty() {
        replies.push(without_effect(&outcome.without_effect));
    }
    Ok(Written { props: outcome.props, replies })
}

/// Judges the properties that a new object is created with.
///
/// # Errors
/// As [`write()`].
pub fn first(owner: Owner, props: &BTreeMap<String, String>) -> Result<Written, Refused> {
    write(owner, &Props::default(), &PropChange::set(props.clone()))
}

/// What a change comes to, without entries.
///
/// # Errors
/// As [`write()`].
pub fn judge(owner: Owner, props: &Props, wanted: &PropChange) -> Result<PropOutcome, Refused> {
    change(owner, props, wanted).map_err(|error| refusal(&error))
}

/// Judges a change, adds its entries to the answer and returns the new properties.
///
/// # Errors
/// As [`write()`].
pub fn changed(draft: &mut Draft<'_>, owner: Owner, props: &Props, wanted: &PropChange) -> Result<Props, Refused> {
    Ok(write(owner, props, wanted)?.told(draft))
}
