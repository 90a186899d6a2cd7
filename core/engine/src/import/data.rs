//! Where the data of an import lies, and what has to be done before it is served: an import takes records only.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::layers::{LayerKind, ProviderKind};

/// What is to be done about data of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It is taken in where it lies (`berth drift adopt`), and served with its content.
    Adopt,
    /// This version has no provider for such pools.
    NoProvider,
    /// This version does not do these layers above the storage, top to bottom.
    NoLayers(Vec<LayerKind>),
}

/// Data of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lying {
    /// Kind of the pools that it lies in.
    pub provider: ProviderKind,
    /// What is to be done about it.
    pub way: Way,
    /// Volumes of replicas with a disk.
    pub volumes: usize,
    /// Copies of volumes in snapshots.
    pub snapshots: usize,
}

fn way(provider: ProviderKind, layers: &[LayerKind]) -> Way {
    if !matches!(provider, ProviderKind::File | ProviderKind::FileThin) {
        return Way::NoProvider;
    }
    let above: Vec<LayerKind> = layers.iter().copied().filter(|layer| *layer != LayerKind::Storage).collect();
    if above.is_empty() { Way::Adopt } else { Way::NoLayers(above) }
}

/// All data that the records speak of, what can be taken in first, then by the word of its kind.
#[must_use]
pub fn lying(objects: &[Object]) -> Vec<Lying> {
    let mut all: BTreeMap<(Way, &'static str), Lying> = BTreeMap::new();
    let mut add = |provider: ProviderKind, layers: &[LayerKind], volumes: usize, snapshots: usize| {
        let way = way(provider, layers);
        let empty = Lying { provider, way: way.clone(), volumes: 0, snapshots: 0 };
        let one = all.entry((way, provider.word())).or_insert(empty);
        one.volumes = one.volumes.saturating_add(volumes);
        one.snapshots = one.snapshots.saturating_add(snapshots);
    };
    for object in objects {
        if let Object::Resource(resource) = object {
            let with_disk = resource.volumes.values().filter(|volume| volume.provider.has_storage());
            with_disk.for_each(|volume| add(volume.provider, &resource.layers, 1, 0));
        } else if let Object::Snapshot(snapshot) = object {
            let copies = snapshot.copies.values().flat_map(|copy| copy.volumes.values());
            copies.for_each(|volume| add(volume.provider, &snapshot.layers, 0, 1));
        }
    }
    all.into_values().collect()
}
