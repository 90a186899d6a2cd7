//! Whether a user may set a key on an object, and the one spelling of its value.

use crate::codes::Code;
use crate::names::{NetIfName, NodeName};

use super::rule::Broken;
use super::table::{Effect, Owner, table};
use super::{AUX, EXACT_SIZE, PROVIDER};

/// Longest key in characters (REST API v1).
const KEY_MAX: usize = 256;

/// Keys and namespaces that the controller writes and users only read.
const READ_ONLY: [&str; 9] = [
    "DrbdOptions/auto-verify-algo-allowed-list",
    "Internal",
    "NodeUname",
    "CurStltConnName",
    "Cluster/LocalID",
    "SatelliteConnection",
    "StorDriver/internal",
    "NetCom",
    "DrbdPrimarySetOn",
];

/// Why a property is not set or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropError {
    /// The object takes no such key.
    #[error("a {} takes no property '{key}'", owner.label())]
    Unknown {
        /// The key.
        key: String,
        /// The object.
        owner: Owner,
    },
    /// Users may read the key, not write it.
    #[error("property '{key}' of a {} is kept by the controller", owner.label())]
    ReadOnly {
        /// The key.
        key: String,
        /// The object.
        owner: Owner,
    },
    /// The value has not the form that the key asks for.
    #[error("'{value}' is no value for property '{key}': {rule} is allowed")]
    BadValue {
        /// The key.
        key: String,
        /// The value, cut to 256 characters.
        value: String,
        /// What is allowed, in words.
        rule: String,
    },
    /// The value has the form of TCP ports and is none.
    #[error("'{value}' is no value for property '{key}': {rule} is allowed, each port from 1 to 65535")]
    BadPorts {
        /// The key.
        key: String,
        /// The value, cut to 256 characters.
        value: String,
        /// What is allowed, in words.
        rule: String,
    },
    /// The value has the form of a range of device minors and is none.
    #[error("'{value}' is no value for property '{key}': {rule} is allowed, each minor at most 1048575")]
    BadMinors {
        /// The key.
        key: String,
        /// The value, cut to 256 characters.
        value: String,
        /// What is allowed, in words.
        rule: String,
    },
    /// The key itself is malformed.
    #[error("'{key}' is no property key: {why}")]
    BadKey {
        /// The key, cut to 256 characters.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// JSON's `null` instead of a text.
    #[error("property '{key}' has no value")]
    NullValue {
        /// The key.
        key: String,
    },
}

impl PropError {
    /// Code of the reply.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadPorts { .. } => Code::FAIL_INVLD_TCP_PORT,
            Self::BadMinors { .. } => Code::FAIL_INVLD_MINOR_NR,
            Self::Unknown { .. } | Self::ReadOnly { .. } | Self::BadValue { .. } | Self::BadKey { .. } | Self::NullValue { .. } => {
                Code::FAIL_INVLD_PROP
            }
        }
    }

    /// Why it is refused, a sentence for the reply.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Unknown { key, owner } if *owner == Owner::ResourceGroup && key == EXACT_SIZE => {
                "The key is not whitelisted for resource groups: it belongs to a single definition.".to_owned()
            }
            Self::Unknown { owner, .. } => format!("The key is not whitelisted for a {}.", owner.label()),
            Self::ReadOnly { .. } => "The key is not whitelisted: its value comes from the controller.".to_owned(),
            Self::BadValue { rule, .. } | Self::BadPorts { rule, .. } | Self::BadMinors { rule, .. } => format!("Allowed is {rule}."),
            Self::BadKey { why, .. } => format!("A property key is refused where {why}."),
            Self::NullValue { .. } => "A value is a text; null is none.".to_owned(),
        }
    }

    /// What to do about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "List the keys with the help of set-property, or put keys of your own below 'Aux/'.",
            Self::ReadOnly { .. } => "Leave the key alone, or put keys of your own below 'Aux/'.",
            Self::BadValue { .. } | Self::BadPorts { .. } | Self::BadMinors { .. } => "Give a value of the allowed form.",
            Self::BadKey { .. } => "Give a key of names separated by single slashes.",
            Self::NullValue { .. } => "Give a text (it may be empty), or name the key among those to delete.",
        }
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(KEY_MAX).collect()
}

/// A property that may be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The key without a leading `/`.
    pub key: String,
    /// The value in its one spelling.
    pub value: String,
    /// Whether anything acts upon it.
    pub effect: Effect,
}

/// Whether `key` is `namespace` or below it; the empty namespace holds every key.
pub(super) fn is_below(key: &str, namespace: &str) -> bool {
    namespace.is_empty() || key.strip_prefix(namespace).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `key` without the leading `/` that some clients send; checked for its shape.
pub(super) fn normal_key(key: &str) -> Result<&str, PropError> {
    let bad = |why| PropError::BadKey { key: shorten(key), why };
    let bare = key.strip_prefix('/').unwrap_or(key);
    if bare.chars().count() > KEY_MAX {
        Err(bad("it has more than 256 characters"))
    } else if bare.split('/').any(str::is_empty) {
        Err(bad("a name between slashes is empty"))
    } else if bare.chars().any(char::is_control) {
        Err(bad("it has a control character"))
    } else {
        Ok(bare)
    }
}

/// Keys that users make up, so that no table can list them. `None`: not one of these.
enum MadeUp<'a> {
    /// The user's own data.
    Aux,
    /// Tags for a cloud, or settings of a self-encrypting drive.
    Free,
    /// Net interface of a node, for one path between two nodes.
    Path { node: &'a str },
    /// The provider of a pool, or a setting that it adds; which providers there are is not known here, and differs from node to node.
    Provider,
}

fn made_up(owner: Owner, key: &str) -> Option<MadeUp<'_>> {
    let parts: Vec<&str> = key.split('/').collect();
    match (owner, parts.as_slice()) {
        (_, [first, _, ..]) if *first == AUX => Some(MadeUp::Aux),
        (
            Owner::Controller
            | Owner::Node
            | Owner::ResourceGroup
            | Owner::ResourceDefinition
            | Owner::VolumeGroup
            | Owner::VolumeDefinition,
            ["EBS", "Tags", _, ..],
        ) => Some(MadeUp::Free),
        (Owner::StorPool, ["StorDriver", inner @ .., _]) if inner.contains(&"SED") => Some(MadeUp::Free),
        (Owner::StorPool, ["StorDriver", "Provider"] | ["StorDriver", _, _]) => Some(MadeUp::Provider),
        (Owner::NodeConnection | Owner::ResourceConnection, ["Paths", _, node]) => Some(MadeUp::Path { node }),
        _ => None,
    }
}

fn refuse_key(owner: Owner, key: &str) -> PropError {
    let key_text = key.to_owned();
    if READ_ONLY.iter().any(|namespace| is_below(key, namespace)) {
        PropError::ReadOnly { key: key_text, owner }
    } else {
        PropError::Unknown { key: key_text, owner }
    }
}

/// Whether a user may set `key` to `value` on `owner`, each key by itself; [`change()`](super::change()) also translates old names.
///
/// # Errors
/// [`PropError`]: the key is malformed, unknown on that object or the controller's own; the value has not the form of that key.
pub fn check(owner: Owner, key: &str, value: &str) -> Result<Checked, PropError> {
    let key = normal_key(key)?;
    let bad = |rule: &str| PropError::BadValue { key: key.to_owned(), value: shorten(value), rule: rule.to_owned() };
    let fits = |value: String, effect| Ok(Checked { key: key.to_owned(), value, effect });
    // No database and no configuration file can hold it.
    if value.contains('\0') {
        return Err(bad("any text without the zero character"));
    }
    if owner == Owner::KeyValueStore {
        return fits(value.to_owned(), Effect::Applied);
    }
    if owner == Owner::ResourceGroup && key == EXACT_SIZE {
        return Err(refuse_key(owner, key));
    }
    if let Some(row) = table().find(owner, key) {
        // Each becomes a line of DRBD's configuration file: a line end would begin another option.
        if key.starts_with("DrbdOptions/") && value.chars().any(char::is_control) {
            return Err(bad("any text without control characters"));
        }
        return match row.rule.normalise(value) {
            Ok(value) => fits(value, row.effect),
            Err(Broken::Form(rule)) => Err(bad(&rule)),
            Err(Broken::Ports(rule)) => Err(PropError::BadPorts { key: key.to_owned(), value: shorten(value), rule }),
            Err(Broken::Minors(rule)) => Err(PropError::BadMinors { key: key.to_owned(), value: shorten(value), rule }),
        };
    }
    match made_up(owner, key) {
        Some(MadeUp::Aux | MadeUp::Provider) => fits(value.to_owned(), Effect::Applied),
        Some(MadeUp::Free) => fits(value.to_owned(), Effect::NotYet),
        Some(MadeUp::Path { node }) => {
            if NodeName::parse(node).is_err() {
                Err(PropError::BadKey { key: key.to_owned(), why: "the last name of a path is no node name" })
            } else if NetIfName::parse(value).is_err() {
                Err(bad("the name of a net interface of that node"))
            } else {
                fits(value.to_owned(), Effect::NotYet)
            }
        }
        None => Err(refuse_key(owner, key)),
    }
}

/// Whether a user may remove `key` from `owner`; whether it is set does not matter.
///
/// # Errors
/// [`PropError`]: the key is malformed, unknown on that object or the controller's own.
pub fn check_delete(owner: Owner, key: &str) -> Result<(), PropError> {
    let key = normal_key(key)?;
    if owner == Owner::KeyValueStore || table().find(owner, key).is_some() || made_up(owner, key).is_some() {
        Ok(())
    } else {
        Err(refuse_key(owner, key))
    }
}

/// Whether a key of a storage pool is one that only its provider knows (`StorDriver/NAME/KEY`): [`check()`] takes any text for it.
#[must_use]
pub fn is_of_provider(key: &str) -> bool {
    key != PROVIDER && table().find(Owner::StorPool, key).is_none() && matches!(made_up(Owner::StorPool, key), Some(MadeUp::Provider))
}

/// The text of a value that a client sent as JSON: numbers and booleans stand for their spelling.
///
/// # Errors
/// [`PropError::NullValue`] for `null`, [`PropError::BadValue`] for a list or an object.
pub fn value_text(key: &str, value: &serde_json::Value) -> Result<String, PropError> {
    match value {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        serde_json::Value::Bool(yes) => Ok(yes.to_string()),
        serde_json::Value::Null => Err(PropError::NullValue { key: shorten(key) }),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Err(PropError::BadValue { key: shorten(key), value: shorten(&value.to_string()), rule: "a text".to_owned() })
        }
    }
}
