//! What items are worked on with: this machine, or a simulated one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use berth_model::inquiry::{Answer, Question};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, VolumeNumber};
use berth_model::observed::{Capabilities, FileSeen, Holder};
use berth_model::plan::{ContentSource, FilePlan, VolumePlan};
use berth_model::plugin::PluginSeen;
use berth_plugin_sdk::{Fault, FaultKind, Filled, Machine, Pool};
use uuid::Uuid;

use crate::about::About;
use crate::config::Integrations;
use crate::files::ExternalFiles;
use crate::links::Links;
use crate::machine::{HostMachine, Shared, remember_folder};
use crate::plugins::{Loaded, Plugins};

/// A machine on which volumes are made and served: this one, or a simulated one. Calls block, unless it is
/// [quick](Self::is_quick). They come from several tasks at once.
pub trait Site: Send + Sync + 'static {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The provider of pools of a kind; `named`: the one that the pool names (`StorDriver/Provider`).
    ///
    /// # Errors
    /// `Unsupported`: there is none.
    fn provider(&self, kind: ProviderKind, named: Option<&str>) -> Result<Arc<Loaded>, Fault>;

    /// The machine of one call or of several on the same pool.
    fn machine(&self, provider: &Loaded, pool: &Pool) -> Box<dyn Machine>;

    /// The plugins that were found, by name; simulated machines have none.
    fn plugins(&self) -> Vec<PluginSeen> {
        Vec::new()
    }

    /// Looks for plugins again, and says whether anything changed. May block.
    fn look_for_plugins(&self) -> bool {
        false
    }

    /// Whether volumes are served by devices. If not, the stable path points at what holds the data, and says that it is served.
    fn attaches(&self) -> bool;

    /// Whether somebody uses a device: it is mounted, below another device, or opened exclusively. Asked at every look: it must be cheap.
    fn in_use(&self, device: &str) -> bool;

    /// Who has a device, in a fixed order, as far as it can be found out. Asked only when that is in the way: it may be dear.
    fn holders(&self, device: &str) -> Vec<Holder>;

    /// Where the stable path of a volume points.
    fn link(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String>;

    /// Points the stable path of a volume at a device.
    ///
    /// # Errors
    /// What hinders it.
    fn set_link(&self, resource: &ResourceName, volume: VolumeNumber, device: &str) -> Result<(), Fault>;

    /// Removes the stable path of a volume.
    ///
    /// # Errors
    /// What hinders it.
    fn remove_link(&self, resource: &ResourceName, volume: VolumeNumber) -> Result<(), Fault>;

    /// Removes stable paths that `keep` (resource, volume, target) does not want.
    fn sweep_links(&self, keep: &dyn Fn(&str, &str, &str) -> bool);

    /// Moves data as a provider ordered it; [`Filled::Done`] orders nothing.
    ///
    /// # Errors
    /// What hinders it, also that the order goes beyond what the provider was granted.
    fn fill(&self, provider: &Loaded, pool: &Pool, order: &Filled) -> Result<(), Fault>;

    /// The smallest write that a pool does without reading first, bytes; `None`: unknown. Asked when the pool is opened.
    fn min_io(&self, _pool: &Pool) -> Option<u32> {
        None
    }

    /// Reads anew what it keeps an index of.
    fn scan(&self);

    /// Makes external files as they are wanted, removes those that were made for an earlier plan and are wanted no more, and says how each
    /// stands, in the order of `wanted`. May block. A machine without folders for them writes none.
    fn external_files(&self, wanted: &[FilePlan]) -> Vec<FileSeen> {
        let refused = |plan: &FilePlan| {
            let fault = Some(crate::files::not_allowed(&plan.path));
            FileSeen { path: plan.path.clone(), actual_path: None, content_match: false, fault }
        };
        wanted.iter().map(refused).collect()
    }

    /// Forgets which place pools had that are not among the planned ones (generation ids).
    fn forget_pools(&self, _planned: &BTreeSet<Uuid>) {}

    /// Remembers the place of a pool (cluster, generation id of the pool) that can be used, so that it is not taken for another one.
    fn remember_pool(&self, _pool: &Pool, _ids: (Uuid, Uuid)) {}

    /// How long the next work takes longer than it does: on one item, the opening of a pool, a look at everything. Asked before each
    /// (quick machines only).
    fn latency(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    /// Whether all that it holds is gone when the process ends (simulated machines only).
    fn forgets(&self) -> bool {
        false
    }

    /// Whether a volume that is there holds the data that its peers hold; `None`: nobody can see that. Asked of stacks that replicate
    /// only, at every look. Of a real one nothing is said before DRBD itself says it; simulated ones follow [`synchronised`] (law 7).
    fn up_to_date(&self, _volume: &VolumePlan) -> Option<bool> {
        None
    }

    /// Whether somebody uses the device that DRBD offers for a volume. Asked of stacks that replicate only, at every look: it must be cheap.
    fn opened(&self, _resource: &ResourceName, _volume: VolumeNumber) -> bool {
        false
    }

    /// Nodes to which DRBD has a connection now, of any resource, in the order of their names; `None`: nobody can see that. It must be cheap.
    fn peers(&self) -> Option<Vec<NodeName>> {
        None
    }

    /// Answers a question of the controller that no plan is about. May block.
    fn answer(&self, _question: &Question) -> Answer {
        crate::about::unknown()
    }

    /// Whether calls never wait for anything, so that no thread is needed for them (simulated machines only). Then all that the satellite
    /// does are tasks of one runtime, in an order that is the same each time if the runtime has one thread.
    fn is_quick(&self) -> bool {
        false
    }
}

/// This machine.
#[derive(Debug)]
pub struct HostSite {
    shared: Arc<Shared>,
    links: Links,
    capabilities: Capabilities,
    about: About,
    external: ExternalFiles,
    plugins: Plugins,
    integrations: Arc<dyn Integrations>,
    /// What was known of them when somebody looked the last time.
    beside: Mutex<Vec<PluginSeen>>,
}

impl HostSite {
    /// This machine, with stable paths below `dev_dir`, and what the process knows of itself.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        dev_dir: &Path,
        capabilities: Capabilities,
        plugins: Plugins,
        (about, external): (About, ExternalFiles),
        integrations: Arc<dyn Integrations>,
    ) -> Self {
        let capabilities = Capabilities { file_folders: external.folders().to_vec(), ..capabilities };
        let beside = Mutex::new(integrations.seen());
        Self { shared, links: Links::new(dev_dir), capabilities, plugins, about, external, integrations, beside }
    }

    fn link_fault(&self, resource: &ResourceName, volume: VolumeNumber, error: &std::io::Error) -> Fault {
        let path = self.links.path(resource, volume);
        Fault::new(FaultKind::Tool, format!("The stable path '{}' cannot be changed", path.display()))
            .cause(error.to_string())
            .correction("Let the satellite write to its device folder, or give it another one (--dev-dir)")
    }
}

impl Site for HostSite {
    fn capabilities(&self) -> Capabilities {
        let mut able = self.capabilities.clone();
        able.providers.extend(self.plugins.kinds());
        able.unsupported_providers.retain(|kind, _| !able.providers.contains(kind));
        able.plugins = self.plugins();
        able
    }

    fn provider(&self, kind: ProviderKind, named: Option<&str>) -> Result<Arc<Loaded>, Fault> {
        self.plugins.provider(kind, named)
    }

    fn machine(&self, provider: &Loaded, pool: &Pool) -> Box<dyn Machine> {
        Box::new(HostMachine::open(pool.clone(), Arc::clone(provider.grants()), Arc::clone(&self.shared)))
    }

    fn plugins(&self) -> Vec<PluginSeen> {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<PluginSeen> = self.plugins.seen().into_iter().chain(beside).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn look_for_plugins(&self) -> bool {
        let providers = self.plugins.look_again();
        let seen = self.integrations.seen();
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *beside != seen;
        *beside = seen;
        providers || changed
    }

    fn attaches(&self) -> bool {
        self.shared.attaches
    }

    fn in_use(&self, device: &str) -> bool {
        self.shared.attaches && self.shared.loops.in_use(device)
    }

    fn holders(&self, device: &str) -> Vec<Holder> {
        let of_one_file = if self.shared.attaches { self.shared.loops.siblings(device) } else { Vec::new() };
        crate::holders::of(of_one_file.into_iter().chain([device.to_owned()]).collect())
    }

    fn link(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String> {
        self.links.target(resource, volume)
    }

    fn set_link(&self, resource: &ResourceName, volume: VolumeNumber, device: &str) -> Result<(), Fault> {
        self.links.set(&self.shared.hands, resource, volume, device).map_err(|error| self.link_fault(resource, volume, &error))
    }

    fn remove_link(&self, resource: &ResourceName, volume: VolumeNumber) -> Result<(), Fault> {
        self.links.remove(&self.shared.hands, resource, volume).map_err(|error| self.link_fault(resource, volume, &error))
    }

    fn sweep_links(&self, keep: &dyn Fn(&str, &str, &str) -> bool) {
        self.links.sweep(&self.shared.hands, keep);
    }

    fn fill(&self, provider: &Loaded, pool: &Pool, order: &Filled) -> Result<(), Fault> {
        crate::orders::carry_out(&self.shared.hands, provider.grants(), pool, order)
    }

    fn answer(&self, question: &Question) -> Answer {
        self.about.answer(question, &self.shared.hands)
    }

    fn scan(&self) {
        self.shared.loops.scan();
        self.shared.loops.serves(self.links.targets().into_iter());
    }

    fn min_io(&self, pool: &Pool) -> Option<u32> {
        let device = rustix::fs::stat(pool.place.as_str()).ok()?.st_dev;
        crate::devices::min_io(Path::new("/sys"), (rustix::fs::major(device), rustix::fs::minor(device)))
    }

    fn external_files(&self, wanted: &[FilePlan]) -> Vec<FileSeen> {
        self.external.make(&self.shared.hands, wanted)
    }

    fn forget_pools(&self, planned: &BTreeSet<Uuid>) {
        self.shared.folders.retain(planned);
    }

    fn remember_pool(&self, pool: &Pool, ids: (Uuid, Uuid)) {
        remember_folder(pool, ids, &self.shared);
    }
}

/// Whether a volume that is there holds its data, as far as its plan says: it needs no peer for it, or has had it before, or can reach a
/// peer that has it. `holds`: whether the volume of that generation id is known to hold it, and can be reached.
pub fn synchronised(volume: &VolumePlan, holds: impl Fn(Uuid) -> bool) -> bool {
    match &volume.content.source {
        // To skip the first synchronisation, and that there was one, is the controller's word.
        ContentSource::Fresh | ContentSource::Kept | ContentSource::Snapshot { .. } | ContentSource::Volume { .. } => true,
        ContentSource::Peers => holds(volume.id.uuid()) || volume.peers.iter().any(|peer| holds(peer.volume.uuid())),
    }
}

/// Layers of a stack that a site cannot do, with the first reason.
#[must_use]
pub fn missing_layers(capabilities: &Capabilities, layers: &[LayerKind]) -> BTreeMap<LayerKind, String> {
    let missing = layers.iter().filter(|layer| !capabilities.layers.contains(layer));
    let why = |layer: &LayerKind| capabilities.unsupported_layers.get(layer).and_then(|all| all.first()).cloned();
    missing.map(|layer| (*layer, why(layer).unwrap_or_else(|| "this version does not do it".into()))).collect()
}
