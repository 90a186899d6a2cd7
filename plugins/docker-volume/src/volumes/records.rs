//! What the properties of a resource say of a volume of Docker's.

use std::collections::BTreeMap;

use berth_plugin_sdk::storage::Volume;

use crate::filling::Record;
use crate::options::FsOptions;

/// Marks a volume of Docker's; upstream's plugin sets and looks for the same.
pub const MARK: &str = "Aux/is-linstor-docker-volume";
/// Docker's name.
pub const NAME: &str = "Aux/docker-volume/name";
/// How its file system is made and mounted, as JSON.
pub const OPTIONS: &str = "Aux/docker-volume/options";
/// What is known of its content ([`Record`]).
pub const FILLED: &str = "Aux/docker-volume/content";
/// Of a resource that is not Docker's: an operator lets Docker's users copy it.
pub const MAY_COPY: &str = "Aux/docker-volume/may-copy";
/// Below it, by node: a diskless client was made for Docker there.
pub const CLIENT: &str = "Aux/docker-volume/client";
/// Value of marks.
pub const YES: &str = "true";

/// Upstream's plugin keeps the kind of the file system here.
const UPSTREAM_FS: &str = "FileSystem/Type";

/// Docker's name of one of its volumes.
pub fn name(volume: &Volume) -> &str {
    volume.props.get(NAME).unwrap_or(&volume.name)
}

/// Whether a volume is Docker's volume of this name.
pub fn is(volume: &Volume, docker: &str) -> bool {
    volume.props.get(MARK).is_some_and(|value| value == YES) && name(volume) == docker
}

/// How its file system is made and mounted.
pub fn options(volume: &Volume) -> FsOptions {
    let kept = volume.props.get(OPTIONS).and_then(|text| serde_json::from_str(text).ok());
    kept.unwrap_or_else(|| FsOptions {
        fs: volume.props.get(UPSTREAM_FS).cloned().unwrap_or_else(|| "ext4".into()),
        ..FsOptions::default()
    })
}

/// What is known of its content.
pub fn record(volume: &Volume) -> Record {
    Record::parse(volume.props.get(FILLED).map(String::as_str))
}

/// The key that a client on this node is noted under.
pub fn client(node: &str) -> String {
    format!("{CLIENT}/{node}")
}

/// What makes a volume Docker's, under this name.
pub fn marks(docker: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(MARK.to_owned(), YES.to_owned()), (NAME.to_owned(), docker.to_owned())])
}

/// Properties of a new volume.
pub fn of_new(docker: &str, options: &FsOptions, record: &Record) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MARK.to_owned(), YES.to_owned()),
        (NAME.to_owned(), docker.to_owned()),
        (OPTIONS.to_owned(), serde_json::to_string(options).unwrap_or_default()),
        (FILLED.to_owned(), record.to_string()),
    ])
}
