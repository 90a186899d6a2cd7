//! An object as a flat list of fields, and what differs between two of them.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::codec;
use berth_model::secrets::hide;
use serde_json::Value;

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// Its place in the document: names and numbers joined by dots, e.g. `volumes.0.size_kib`, `props.Aux/zone`.
    pub field: String,
    /// Its value before; `None`: it was not there.
    pub before: Option<Value>,
    /// Its value after; `None`: it is not there any more.
    pub after: Option<Value>,
}

/// The fields of an object's document: objects are taken apart, lists of plain values are one value, lists of objects are
/// taken apart by their position.
#[must_use]
pub fn fields(object: &Object) -> BTreeMap<String, Value> {
    flat(document(object))
}

fn document(object: &Object) -> Value {
    // What the store would get is what is compared: there is one form of each object.
    serde_json::from_str(&codec::encode(object, None)).unwrap_or(Value::Null)
}

fn flat(document: Value) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    flatten(String::new(), document, &mut flat);
    flat
}

fn flatten(path: String, value: Value, flat: &mut BTreeMap<String, Value>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) if !(members.is_empty() && path.is_empty()) => {
            for (name, member) in members {
                flatten(below(&name), member, flat);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (place, item) in items.into_iter().enumerate() {
                flatten(below(&place.to_string()), item, flat);
            }
        }
        // A field without a value and one that is missing mean the same.
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        plain => {
            flat.insert(path, plain);
        }
    }
}

/// What differs between two states of one record, in the order of the fields' names. Secrets are hidden, not left out.
#[must_use]
pub fn differences(before: Option<&Object>, after: Option<&Object>) -> Vec<FieldChange> {
    // As it is, to be compared, and as it may be shown.
    let both = |object: &Object| {
        let document = document(object);
        let mut shown = document.clone();
        hide(&mut shown);
        (flat(document), flat(shown))
    };
    let (mut old, mut old_shown) = before.map(both).unwrap_or_default();
    let (new, mut new_shown) = after.map(both).unwrap_or_default();
    let mut changes = Vec::new();
    for (field, value) in new {
        if old.remove(&field).as_ref() != Some(&value) {
            let (before, after) = (old_shown.remove(&field), new_shown.remove(&field));
            changes.push(FieldChange { field, before, after });
        }
    }
    changes.extend(old.into_keys().map(|field| FieldChange { before: old_shown.remove(&field), field, after: None }));
    changes.sort_by(|a, b| a.field.cmp(&b.field));
    changes
}
