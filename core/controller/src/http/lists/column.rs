//! What is kept of a run of definitions: the elements of lists, and the rows of metrics that grow with the cluster.

use std::collections::BTreeMap;

use berth_model::names::NodeName;
use berth_model::objects::Resource;
use berth_model::observed::ConnectionStatus;
use berth_model::snapshot::Snapshot;
use serde::Serialize;
use uuid::Uuid;

use super::index::Span;
use crate::View;
use crate::http::metrics::family::Family;
use crate::http::views;

/// Why a text was not written: a defect of the controller or of a library.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// A document.
    #[error("a document cannot be written: {0}")]
    Document(#[from] serde_json::Error),
    /// A row of a metric.
    #[error("a metric cannot be written: {0}")]
    Metric(#[from] std::fmt::Error),
    /// A compressed part.
    #[error("a text cannot be compressed: {0}")]
    Zip(#[from] flate2::CompressError),
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Replicas with their volumes.
    Resources,
    /// Resource definitions.
    Definitions,
    /// Resource definitions with their volume definitions.
    WholeDefinitions,
    /// Snapshots.
    Snapshots,
    /// Rows of a metric.
    Metric(Family),
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Resources,
        Self::Definitions,
        Self::WholeDefinitions,
        Self::Snapshots,
        Self::Metric(Family::DefinitionSize),
        Self::Metric(Family::DefinitionReplicas),
        Self::Metric(Family::ResourceState),
        Self::Metric(Family::VolumeState),
        Self::Metric(Family::VolumeAllocated),
    ];

    /// Its place among all.
    pub const fn place(self) -> usize {
        match self {
            Self::Resources => 0,
            Self::Definitions => 1,
            Self::WholeDefinitions => 2,
            Self::Snapshots => 3,
            Self::Metric(Family::DefinitionSize) => 4,
            Self::Metric(Family::DefinitionReplicas) => 5,
            Self::Metric(Family::ResourceState) => 6,
            Self::Metric(Family::VolumeState) => 7,
            Self::Metric(Family::VolumeAllocated) => 8,
        }
    }

    /// Whether it is a list, whose elements have commas before them.
    pub const fn is_list(self) -> bool {
        match self {
            Self::Resources | Self::Definitions | Self::WholeDefinitions | Self::Snapshots => true,
            Self::Metric(_) => false,
        }
    }

    /// Elements of a list; 0 for a metric.
    pub fn count(self, view: &View, span: &Span) -> usize {
        match self {
            Self::Resources => resources(view, span).count(),
            Self::Definitions | Self::WholeDefinitions => span.of(&view.cluster.definitions).count(),
            Self::Snapshots => span.of(&view.cluster.snapshots).map(|(_, snapshots)| snapshots.len()).sum(),
            Self::Metric(_) => 0,
        }
    }

    /// Writes elements of a list after the first `skip`, at most `limit`, each with a comma before it; answers how many there were.
    /// Of a metric, all rows.
    ///
    /// # Errors
    /// A defect: something that cannot be written.
    pub fn write(self, view: &View, span: &Span, skip: usize, limit: usize, text: &mut Vec<u8>) -> Result<usize, Unwritten> {
        let cluster = &view.cluster;
        match self {
            Self::Resources => {
                let page = resources(view, span).skip(skip).take(limit);
                elements(page.map(|resource| views::resource::resource(view, resource, true)), text)
            }
            Self::Definitions | Self::WholeDefinitions => {
                let page = span.of(&cluster.definitions).skip(skip).take(limit);
                elements(page.map(|(_, one)| views::definition::definition(cluster, one, self == Self::WholeDefinitions)), text)
            }
            Self::Snapshots => {
                let all = span.of(&cluster.snapshots).flat_map(|(_, snapshots)| by_age(snapshots.values()));
                elements(all.skip(skip).take(limit).map(|snapshot| views::snapshot::snapshot(view, snapshot)), text)
            }
            Self::Metric(family) => family.write(view, span, text).map(|()| 0),
        }
    }
}

/// The replicas of the list: those without volumes are not in it (contract 5.10).
fn resources<'v>(view: &'v View, span: &Span) -> impl Iterator<Item = &'v Resource> {
    let replicas = span.of(&view.cluster.resources).flat_map(|(_, replicas)| replicas.values());
    replicas.map(AsRef::as_ref).filter(|resource: &&Resource| !resource.volumes.is_empty())
}

/// Snapshots of one definition, oldest first: how clients list them.
pub fn by_age<'v>(snapshots: impl Iterator<Item = &'v std::sync::Arc<Snapshot>>) -> Vec<&'v std::sync::Arc<Snapshot>> {
    let mut list: Vec<_> = snapshots.collect();
    list.sort_by_key(|snapshot| (snapshot.created, snapshot.id));
    list
}

fn elements<D: Serialize>(documents: impl Iterator<Item = D>, text: &mut Vec<u8>) -> Result<usize, Unwritten> {
    let mut count = 0;
    for document in documents {
        text.push(b',');
        serde_json::to_writer(&mut *text, &document)?;
        count += 1;
    }
    Ok(count)
}

/// Replicas and copies of snapshots on each node whose state is unknown.
pub fn unknown(view: &View, span: &Span) -> Vec<(NodeName, u64)> {
    let mut counts: BTreeMap<&NodeName, u64> = BTreeMap::new();
    let mut look = |node, id: Uuid| {
        let online = view.observed.nodes.get(node).filter(|seen| seen.status == ConnectionStatus::Online);
        if online.is_none_or(|seen| !seen.items.contains_key(&id)) {
            *counts.entry(node).or_default() += 1;
        }
    };
    for (node, replica) in span.of(&view.cluster.resources).flat_map(|(_, replicas)| replicas) {
        look(node, replica.id.uuid());
    }
    for snapshot in span.of(&view.cluster.snapshots).flat_map(|(_, snapshots)| snapshots.values()) {
        for (node, copy) in &snapshot.copies {
            look(node, copy.id.uuid());
        }
    }
    counts.into_iter().map(|(node, count)| (node.clone(), count)).collect()
}
