//! Properties of an export: paths that name objects, with keys and values.

use std::collections::BTreeMap;

use berth_model::ids::{Id, kind};
use berth_model::props::{self, Owner, Props};
use uuid::Uuid;

use super::Left;
use super::tables::Tables;

/// Keys that the old controller kept for itself, or that have their own place here.
const OWN_KEYS: [&str; 7] =
    ["NetCom/", "defaultDebugSslConnector", "defaultSslConSvc", "defaultPlainConSvc", "CurStltConnName", "NodeUname", "SequenceNumber"];
/// Values that are secret: never shown in what is told.
const SECRET_KEYS: [&str; 2] = [MASTER_KEY, "CryptPasswd"];
/// Namespace of the master key.
const MASTER_KEY: &str = "encrypted/";
/// What to do about the master key.
const MASTER_KEY_LEFT: &str = "How LINSTOR seals its master key is not published, so its passphrase opens nothing here: \
    set a master passphrase anew with 'linstor encryption create-passphrase', and keep the old export with its passphrase.";
/// What to do about a volume's key.
pub(super) const VOLUME_KEY_LEFT: &str = "Keys of volumes are sealed by LINSTOR's master key, which cannot be opened here: while LINSTOR \
    still runs, copy what is in these volumes into volumes without LUKS; keep the old export and its passphrase as long as you need the encrypted ones.";
/// Id of the cluster.
const LOCAL_ID: &str = "Cluster/LocalID";

/// Properties by the path of their object.
#[derive(Debug)]
pub(super) struct Instances(BTreeMap<String, BTreeMap<String, String>>);

impl Instances {
    pub(super) fn read(tables: &Tables, left: &mut Vec<Left>) -> Self {
        let mut instances: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for row in tables.rows("PROPS_CONTAINERS") {
            let (path, key) = (row.text("props_instance"), row.text("prop_key"));
            if path.is_empty() || key.is_empty() {
                left.push(Left { what: format!("property '{path}' '{key}'"), why: "It has no object or no key.".to_owned() });
                continue;
            }
            instances.entry(path.to_owned()).or_default().insert(key.to_owned(), row.text("prop_value").to_owned());
        }
        Self(instances)
    }

    /// The id of the cluster that wrote the export.
    pub(super) fn cluster_id(&self) -> Option<Id<kind::Cluster>> {
        let text = self.get("/CTRL", LOCAL_ID).or_else(|| self.get("/STLT", LOCAL_ID))?;
        Uuid::parse_str(text).ok().map(Id::from_uuid)
    }

    /// One value.
    pub(super) fn get(&self, path: &str, key: &str) -> Option<&str> {
        self.0.get(path)?.get(key).map(String::as_str)
    }

    /// Takes all of an object without a check, as they are (key-value stores).
    pub(super) fn take_raw(&mut self, path: &str) -> BTreeMap<String, String> {
        self.0.remove(path).unwrap_or_default()
    }

    /// Takes those of an object that it may have here, and tells the others.
    pub(super) fn take(&mut self, path: &str, owner: Owner, left: &mut Vec<Left>) -> Props {
        let mut kept = Props::default();
        for (key, value) in self.0.remove(path).unwrap_or_default() {
            if OWN_KEYS.iter().any(|own| key == *own || (own.ends_with('/') && key.starts_with(own))) || key == LOCAL_ID {
                continue;
            }
            if SECRET_KEYS.iter().any(|secret| key == *secret || (secret.ends_with('/') && key.starts_with(secret))) {
                let why = if key.starts_with(MASTER_KEY) { MASTER_KEY_LEFT } else { VOLUME_KEY_LEFT };
                left.push(Left { what: format!("property {key} of {path}"), why: why.to_owned() });
                continue;
            }
            match props::check(owner, &key, &value) {
                Ok(checked) => drop(kept.insert_internal(checked.key, checked.value)),
                // What the old controller derived, and what only it wrote.
                Err(_) if is_derived(&key) => drop(kept.insert_internal(key, value)),
                Err(error) => left.push(Left { what: format!("property {key} of {path}"), why: format!("{error}.") }),
            }
        }
        kept
    }

    /// The path of the connection of two replicas: that of its kind which names both nodes and the resource, in whatever order.
    pub(super) fn of_connection(&self, resource: &str, nodes: (&str, &str)) -> Option<String> {
        let mut wanted = [resource, nodes.0, nodes.1];
        wanted.sort_unstable();
        let is_it = |path: &&String| {
            let Some((kind, rest)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else { return false };
            let mut named: Vec<&str> = rest.split('/').collect();
            named.sort_unstable();
            (kind.starts_with("RSC_CON") || kind.starts_with("RESOURCE_CON")) && named == wanted
        };
        self.0.keys().find(is_it).cloned()
    }

    /// The paths that nobody took.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(path, props)| (path.as_str(), props.len()))
    }
}

/// Whether a key says what was found out once and holds on: it is kept though no user may set it.
fn is_derived(key: &str) -> bool {
    key == "DrbdCurrentGi" || key.starts_with("StorDriver/internal/") || berth_model::files::of_property(key).is_some()
}
