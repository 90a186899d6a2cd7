//! An object as a flat list of fields, and what differs between two of them.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::codec;
use serde_json::Value;

/// What is shown in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Parts of field names whose values are never shown.
const SECRETS: [&str; 10] =
    ["secret", "passphrase", "password", "passwd", "token", "credential", "privatekey", "private_key", "apikey", "api_key"];

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
    // What the store would get is what is compared: there is one form of each object.
    let document = serde_json::from_str(&codec::encode(object, None)).unwrap_or(Value::Null);
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
    let mut old = before.map(fields).unwrap_or_default();
    let new = after.map(fields).unwrap_or_default();
    let mut changes = Vec::new();
    for (field, value) in new {
        let was = old.remove(&field);
        if was.as_ref() != Some(&value) {
            changes.push(FieldChange { field, before: was, after: Some(value) });
        }
    }
    changes.extend(old.into_iter().map(|(field, value)| FieldChange { field, before: Some(value), after: None }));
    changes.sort_by(|a, b| a.field.cmp(&b.field));
    for change in changes.iter_mut().filter(|change| is_secret(&change.field)) {
        for value in [&mut change.before, &mut change.after].into_iter().flatten() {
            *value = Value::from(HIDDEN);
        }
    }
    changes
}

/// Hides the texts in a document that stand under a secret's name.
pub fn hide(document: &mut Value) {
    match document {
        Value::Object(members) => {
            for (name, member) in members {
                if member.is_string() && is_secret(name) { *member = Value::from(HIDDEN) } else { hide(member) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_secret(field: &str) -> bool {
    let name = field.rsplit('.').next().unwrap_or(field).to_ascii_lowercase();
    SECRETS.iter().any(|word| name.contains(word))
}
