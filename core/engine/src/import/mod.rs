//! What the database of another system becomes here: LINSTOR's own export as objects of ours. Pure; nothing of it is guessed.
//!
//! The export names every object by an upper-cased key and keeps its spelling beside it; ids that it has become our generation ids.
//! Whatever has no place here is told ([`Left`]), never dropped in silence.

mod between;
mod data;
mod objects;
mod props;
mod tables;
#[cfg(test)]
mod tests;
mod volumes;

pub use data::{Lying, Way, lying};

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::ids::{Id, IdSource, kind};
use berth_model::time::Timestamp;

/// What came of an export.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Id of the cluster: the one that it had, so that backups made before are still its own.
    pub cluster: Id<kind::Cluster>,
    /// All objects, each once; what every cluster has from its first moment is among them.
    pub objects: Vec<Object>,
    /// How many of each kind were taken, in the words of the command line's lists (`node`, `storage-pool`, …).
    pub counts: BTreeMap<&'static str, usize>,
    /// What was not taken, or not as it was, in the order in which it was met.
    pub left: Vec<Left>,
    /// Release that wrote the export, as it calls itself; empty: it does not say.
    pub release: String,
}

/// Something that was not taken, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What it is, e.g. `remote FAR`.
    pub what: String,
    /// Why, and what to do about it.
    pub why: String,
}

/// Why a document cannot be imported at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// No JSON.
    #[error("the file is no JSON document: {0}")]
    NotJson(String),
    /// JSON, but not an export.
    #[error("the file is no database export of LINSTOR: {0}")]
    NotAnExport(&'static str),
    /// None of its nodes can be taken, though it has some.
    #[error("none of its nodes can be taken; the first one: {0}")]
    NoNode(String),
}

impl ImportError {
    /// What to do about it: one sentence.
    #[must_use]
    pub fn correction(&self) -> &'static str {
        match self {
            Self::NotJson(_) | Self::NotAnExport(_) => {
                "Make one on the old controller with 'linstor-database export-db FILE' or POST /v1/controller/database/export."
            }
            Self::NoNode(_) => "Correct the export, or report the case with its NODES and NODE_NET_INTERFACES tables.",
        }
    }
}

/// Reads an export that LINSTOR wrote as JSON.
///
/// `ids` makes ids where the export has none (contents, net interfaces of old releases); `now` is the moment of creation where none is known.
///
/// # Errors
/// [`ImportError`]; single rows that make no sense are no error but [`Left`].
pub fn from_linstor(document: &str, now: Timestamp, mut ids: IdSource) -> Result<Imported, ImportError> {
    let tables = tables::Tables::parse(document)?;
    let mut left = Vec::new();
    let props = props::Instances::read(&tables, &mut left);
    let cluster = props.cluster_id().unwrap_or_else(|| ids.next());
    let mut build = objects::Build::new(&tables, props, now, ids, left);
    build.controller(cluster);
    build.nodes();
    if let (Some(why), false) = (build.first_refused_node(), build.has_nodes()) {
        return Err(ImportError::NoNode(why));
    }
    build.pools();
    build.groups();
    build.definitions();
    build.resources();
    build.snapshots();
    build.stores();
    build.connections();
    build.resource_connections();
    build.files();
    build.what_has_no_place();
    Ok(build.done(cluster))
}
