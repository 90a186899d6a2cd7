//! The metrics that have rows for each definition, replica or volume: written in parts, each by the Prometheus library.

use berth_engine::drbd::{self, Disk};
use berth_model::names::VolumeNumber;
use berth_model::objects::{Resource, ResourceDefinition};
use berth_model::observed::ItemRecord;

use super::{Labels, Series, bytes, count, text_of};
use crate::View;
use crate::http::lists::{Span, Unwritten};
use crate::http::views::resource::{device_path, minor};

/// Value of `linstor_volume_state` (contract 11.2); -1: unknown.
fn state(resource: &Resource, number: VolumeNumber, record: Option<&ItemRecord>) -> f64 {
    const CREATED: f64 = 2.0;
    let Some(record) = record else { return -1.0 };
    match drbd::disk(resource, &record.seen, number) {
        Some(Disk::UpToDate) => 1.0,
        Some(Disk::Diskless) => 4.0,
        Some(Disk::Inconsistent) => 5.0,
        None if resource.drbd.is_none() && record.seen.volumes.iter().any(|seen| seen.number == number) => CREATED,
        None => -1.0,
    }
}

/// A metric with rows that grow with the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Size of each volume definition.
    DefinitionSize,
    /// Replicas of each definition.
    DefinitionReplicas,
    /// Whether each replica is in use.
    ResourceState,
    /// State of each volume.
    VolumeState,
    /// Space that each volume takes.
    VolumeAllocated,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::DefinitionSize => "linstor_volume_definition_size_bytes",
            Self::DefinitionReplicas => "linstor_resource_definition_resource_count",
            Self::ResourceState => "linstor_resource_state",
            Self::VolumeState => "linstor_volume_state",
            Self::VolumeAllocated => "linstor_volume_allocated_size_bytes",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::DefinitionSize => "Size of the volume definition",
            Self::DefinitionReplicas => "Replicas of the definition",
            Self::ResourceState => "Whether the resource is in use; -1 while unknown",
            Self::VolumeState => "State of the volume; -1 while unknown",
            Self::VolumeAllocated => "Space that the volume takes",
        }
    }

    /// The lines before its rows.
    ///
    /// # Errors
    /// A defect of the library.
    pub fn head(self) -> Result<String, std::fmt::Error> {
        text_of(vec![self.series(Vec::new())], Vec::new())
    }

    /// Its rows for a part of the definitions.
    ///
    /// # Errors
    /// A defect of the library.
    pub fn write(self, view: &View, span: &Span, text: &mut Vec<u8>) -> Result<(), Unwritten> {
        let rows = self.rows(view, span);
        if rows.is_empty() {
            return Ok(());
        }
        let (head, whole) = (self.head()?, text_of(vec![self.series(rows)], Vec::new())?);
        // The library writes the same head before the rows of each part.
        text.extend(whole.strip_prefix(head.as_str()).ok_or(std::fmt::Error)?.as_bytes());
        Ok(())
    }

    fn series(self, rows: Vec<(Labels, f64)>) -> Series {
        Series { name: self.name(), help: self.help(), rows }
    }

    fn rows(self, view: &View, span: &Span) -> Vec<(Labels, f64)> {
        match self {
            Self::DefinitionSize => sizes(view, span),
            Self::DefinitionReplicas => replicas(view, span),
            Self::ResourceState => each(view, span, |resource, record, rows| {
                let in_use = record.map_or(-1.0, |record| f64::from(u8::from(record.seen.volumes.iter().any(|volume| volume.in_use))));
                rows.push((vec![("name", resource.name.to_string()), ("node", resource.node.to_string())], in_use));
            }),
            Self::VolumeState => volumes(view, span, state),
            Self::VolumeAllocated => volumes(view, span, |_, number, record| {
                let seen = record.and_then(|record| record.seen.volumes.iter().find(|seen| seen.number == number));
                seen.map_or(f64::NAN, |seen| bytes(seen.allocated_kib.0))
            }),
        }
    }
}

fn sizes(view: &View, span: &Span) -> Vec<(Labels, f64)> {
    let mut rows = Vec::new();
    for (_, definition) in span.of(&view.cluster.definitions) {
        for (number, volume) in &definition.volumes {
            let labels = vec![
                ("name", definition.name.to_string()),
                ("volume_number", number.to_string()),
                ("resource_group", definition.group.to_string()),
            ];
            rows.push((labels, bytes(volume.size_kib.0)));
        }
    }
    rows
}

fn replicas(view: &View, span: &Span) -> Vec<(Labels, f64)> {
    let row = |definition: &ResourceDefinition| {
        let labels = vec![("name", definition.name.to_string()), ("resource_group", definition.group.to_string())];
        (labels, count(view.cluster.resources.get(&definition.name).map_or(0, |nodes| nodes.len())))
    };
    span.of(&view.cluster.definitions).map(|(_, definition)| row(definition)).collect()
}

/// Rows of each replica, with what was seen of it.
fn each(view: &View, span: &Span, add: impl Fn(&Resource, Option<&ItemRecord>, &mut Vec<(Labels, f64)>)) -> Vec<(Labels, f64)> {
    let mut rows = Vec::new();
    for resource in span.of(&view.cluster.resources).flat_map(|(_, nodes)| nodes.values()) {
        add(resource, view.observed.item(&resource.node, resource.id.uuid()), &mut rows);
    }
    rows
}

/// A row for each volume.
fn volumes(view: &View, span: &Span, value: impl Fn(&Resource, VolumeNumber, Option<&ItemRecord>) -> f64) -> Vec<(Labels, f64)> {
    each(view, span, |resource, record, rows| {
        for (number, volume) in &resource.volumes {
            let seen = record.and_then(|record| record.seen.volumes.iter().find(|seen| seen.number == *number));
            let labels = vec![
                ("resource", resource.name.to_string()),
                ("node", resource.node.to_string()),
                ("volume", number.to_string()),
                ("device_path", device_path(minor(view, resource, *number), seen).unwrap_or_default()),
                ("storage_pool", volume.pool.to_string()),
            ];
            rows.push((labels, value(resource, *number, record)));
        }
    })
}
