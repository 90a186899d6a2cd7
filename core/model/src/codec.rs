//! Objects as documents of the store: JSON with a version for each kind.
//!
//! A document that a newer program wrote may hold fields which this one does not know. They are kept beside the object as a
//! [`Residue`] and put back when it is written again, so that the newer program finds them (and the older one could run meanwhile).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::change::{Object, RecordKind};
use crate::names::KvsName;
use crate::objects::KeyValueStore;

/// Why a record cannot be used. It is quarantined; everything else is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// No such kind in this version.
    #[error("records of kind '{kind}' are not known to this version")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// Not the document of its kind.
    #[error("not a {kind} document: {why}")]
    Unreadable {
        /// The kind.
        kind: &'static str,
        /// What the parser said.
        why: String,
    },
    /// The document stands under a key that is not its own.
    #[error("the document belongs under the key '{wanted}', not '{found}'")]
    WrongKey {
        /// The key that the document asks for.
        wanted: String,
        /// The key of the record.
        found: String,
    },
}

/// Fields of a document that this version does not know, in their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Residue(Value);

/// A key-value store in its record, which names it.
#[derive(Serialize, serde::Deserialize)]
struct NamedKvs {
    name: KvsName,
    #[serde(flatten)]
    store: KeyValueStore,
}

/// Version of the documents of a kind that this program writes. Raised when a field is added or changes its meaning.
#[must_use]
pub const fn version(kind: RecordKind) -> u32 {
    match kind {
        // 2: a job can work on a node, and knows what a cancelled one takes back.
        RecordKind::Job => 2,
        // 2: a volume has a passphrase of its own.
        RecordKind::ResourceDefinition => 2,
        RecordKind::Controller
        | RecordKind::Node
        | RecordKind::StorPoolDfn
        | RecordKind::StorPool
        | RecordKind::ResourceGroup
        | RecordKind::Resource
        | RecordKind::Snapshot
        | RecordKind::KeyValueStore
        | RecordKind::Token
        | RecordKind::Tombstone
        | RecordKind::Number
        | RecordKind::MasterKey
        | RecordKind::NodeConnection
        | RecordKind::ResourceConnection
        | RecordKind::ExternalFile => 1,
    }
}

/// Writes an object as its document, with what was left over when it was read.
#[must_use]
pub fn encode(object: &Object, residue: Option<&Residue>) -> String {
    let plain = match object {
        Object::Controller(o) => text(o, residue),
        Object::Node(o) => text(o, residue),
        Object::StorPoolDfn(o) => text(o, residue),
        Object::StorPool(o) => text(o, residue),
        Object::ResourceGroup(o) => text(o, residue),
        Object::ResourceDefinition(o) => text(o, residue),
        Object::Resource(o) => text(o, residue),
        Object::Snapshot(o) => text(o, residue),
        Object::KeyValueStore(name, o) => text(&NamedKvs { name: name.clone(), store: o.clone() }, residue),
        Object::Token(o) => text(o, residue),
        Object::Job(o) => text(o, residue),
        Object::Tombstone(o) => text(o, residue),
        Object::Number(o) => text(o, residue),
        Object::MasterKey(o) => text(o, residue),
        Object::NodeConnection(o) => text(o, residue),
        Object::ResourceConnection(o) => text(o, residue),
        Object::ExternalFile(o) => text(o, residue),
    };
    plain.unwrap_or_default()
}

/// Maps with keys that are not text would be the only failure, and no object has one.
fn text<T: Serialize>(object: &T, residue: Option<&Residue>) -> Option<String> {
    match residue {
        None => serde_json::to_string(object).ok(),
        Some(Residue(rest)) => {
            let mut value = serde_json::to_value(object).ok()?;
            put_back(&mut value, rest);
            serde_json::to_string(&value).ok()
        }
    }
}

/// Reads a record.
///
/// # Errors
/// [`BadRecord`] if the kind is not known, the text is not its document, or the key is another object's.
pub fn decode(kind: &str, key: &str, version_found: u32, body: &str) -> Result<(Object, Option<Residue>), BadRecord> {
    let record = RecordKind::parse(kind).ok_or_else(|| BadRecord::UnknownKind { kind: kind.to_owned() })?;
    let newer = version_found > version(record);
    let (object, residue) = match record {
        RecordKind::Controller => read(body, record, newer, Object::Controller)?,
        RecordKind::Node => read(body, record, newer, Object::Node)?,
        RecordKind::StorPoolDfn => read(body, record, newer, Object::StorPoolDfn)?,
        RecordKind::StorPool => read(body, record, newer, Object::StorPool)?,
        RecordKind::ResourceGroup => read(body, record, newer, Object::ResourceGroup)?,
        RecordKind::ResourceDefinition => read(body, record, newer, Object::ResourceDefinition)?,
        RecordKind::Resource => read(body, record, newer, Object::Resource)?,
        RecordKind::Snapshot => read(body, record, newer, Object::Snapshot)?,
        RecordKind::KeyValueStore => read(body, record, newer, |n: NamedKvs| Object::KeyValueStore(n.name, n.store))?,
        RecordKind::Token => read(body, record, newer, Object::Token)?,
        RecordKind::Job => read(body, record, newer, Object::Job)?,
        RecordKind::Tombstone => read(body, record, newer, Object::Tombstone)?,
        RecordKind::Number => read(body, record, newer, Object::Number)?,
        RecordKind::MasterKey => read(body, record, newer, Object::MasterKey)?,
        RecordKind::NodeConnection => read(body, record, newer, Object::NodeConnection)?,
        RecordKind::ResourceConnection => read(body, record, newer, Object::ResourceConnection)?,
        RecordKind::ExternalFile => read(body, record, newer, Object::ExternalFile)?,
    };
    let wanted = object.key().text();
    if wanted == key { Ok((object, residue)) } else { Err(BadRecord::WrongKey { wanted, found: key.to_owned() }) }
}

fn read<T: DeserializeOwned + Serialize>(
    body: &str,
    kind: RecordKind,
    newer: bool,
    wrap: fn(T) -> Object,
) -> Result<(Object, Option<Residue>), BadRecord> {
    let unreadable = |error: serde_json::Error| BadRecord::Unreadable { kind: kind.word(), why: error.to_string() };
    let object: T = serde_json::from_str(body).map_err(unreadable)?;
    let mut residue = None;
    if newer {
        let found: Value = serde_json::from_str(body).map_err(unreadable)?;
        let known = serde_json::to_value(&object).map_err(unreadable)?;
        residue = left_over(&found, &known).map(Residue);
    }
    Ok((wrap(object), residue))
}

/// What `found` has and `known` lacks: members of objects, recursively; lists are compared place by place if they are equally long.
fn left_over(found: &Value, known: &Value) -> Option<Value> {
    match (found, known) {
        (Value::Object(found), Value::Object(known)) => {
            let rest: serde_json::Map<String, Value> = found
                .iter()
                .filter_map(|(name, value)| match known.get(name) {
                    None => Some((name.clone(), value.clone())),
                    Some(other) => left_over(value, other).map(|rest| (name.clone(), rest)),
                })
                .collect();
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        (Value::Array(found), Value::Array(known)) if found.len() == known.len() => {
            let rest: Vec<Value> = found.iter().zip(known).map(|(f, k)| left_over(f, k).unwrap_or(Value::Null)).collect();
            rest.iter().any(|value| !value.is_null()).then_some(Value::Array(rest))
        }
        _ => None,
    }
}

/// Adds what was left over, where its place still exists.
fn put_back(value: &mut Value, rest: &Value) {
    match (value, rest) {
        (Value::Object(value), Value::Object(rest)) => {
            for (name, item) in rest {
                match value.get_mut(name) {
                    Some(inner) => put_back(inner, item),
                    None => {
                        value.insert(name.clone(), item.clone());
                    }
                }
            }
        }
        (Value::Array(value), Value::Array(rest)) if value.len() == rest.len() => {
            value.iter_mut().zip(rest).for_each(|(inner, item)| put_back(inner, item));
        }
        _ => {}
    }
}
