//! Works on one item: look, decide (`berth_engine::reconcile`), run one step, look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_engine::reconcile::{Backing, DeviceFound, ItemFound, Step, VolumeFound, reconcile, standing, wanted};
use berth_model::names::{ResourceName, StorPoolName, VolumeNumber};
use berth_model::observed::{Capabilities, Fault, FaultKind, ItemSeen, PoolSeen, Standing, VolumeSeen};
use berth_model::plan::{ContentSource, PlanItem, PoolPlan, ResourcePlan, SnapshotPlan, SnapshotVolumePlan, VolumePlan, Wanted};
use berth_model::props::PROVIDER;
use berth_model::size::Kib;
use berth_plugin_sdk as sdk;
use sdk::{BackingName, Filled, Known, Machine, Mark, MarkKind, Marked, New, Provider};
use tracing::Span;
use uuid::Uuid;

use crate::holders;
use crate::plugins::Loaded;
use crate::site::{Site, missing_layers};

mod look;

use look::seen_volumes;

/// Steps that one item may take in one go; more of them mean that steps and looks disagree.
const STEPS_MAX: usize = 512;

/// An empty file is no snapshot of anything; how large the volume was when it was taken, the plan does not say.
const SNAPSHOT_LEAST: sdk::Kib = sdk::Kib(4);

/// What a worker may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// The controller has confirmed the plan: everything.
    All,
    /// No controller was heard of since the start: serve what is there, change no data.
    ServeOnly,
}

/// A pool that was opened.
#[derive(Debug, Clone)]
pub struct OpenPool {
    /// Its plan.
    pub plan: PoolPlan,
    /// The same for providers.
    pub pool: sdk::Pool,
    /// What was seen of it.
    pub seen: PoolSeen,
}

impl OpenPool {
    /// The provider that the pool names; `None`: none.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        self.plan.props.get(PROVIDER)
    }
}

/// The pools of the plan by name.
pub type Pools = BTreeMap<StorPoolName, Arc<OpenPool>>;

/// A fault of a provider in the words of the wire.
#[must_use]
pub fn wire_fault(fault: sdk::Fault) -> Fault {
    let kind = match fault.kind {
        sdk::FaultKind::InUse => FaultKind::InUse,
        sdk::FaultKind::NoSpace => FaultKind::NoSpace,
        sdk::FaultKind::Unsupported => FaultKind::Unsupported,
        sdk::FaultKind::Foreign => FaultKind::Foreign,
        sdk::FaultKind::Lost => FaultKind::Lost,
        sdk::FaultKind::Pool => FaultKind::Pool,
        sdk::FaultKind::Tool => FaultKind::Tool,
        sdk::FaultKind::Timeout => FaultKind::Timeout,
        sdk::FaultKind::Bug => FaultKind::Bug,
    };
    Fault { kind, message: fault.message, cause: fault.cause, correction: fault.correction, details: fault.details, holders: Vec::new() }
}

fn sdk_pool(plan: &PoolPlan) -> sdk::Pool {
    let props = plan.props.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    sdk::Pool { name: plan.name.to_string(), kind: plan.provider.word().to_owned(), place: plan.place.clone(), props }
}

/// Opens a pool of a cluster: removes what was left unfinished if `clean`; and finds out what it can do. What fails is part of what was seen.
#[must_use]
pub fn open_pool(site: &dyn Site, plan: PoolPlan, cluster: Uuid, clean: bool) -> OpenPool {
    let pool = sdk_pool(&plan);
    let mut seen = PoolSeen {
        name: plan.name.clone(),
        id: plan.id.uuid(),
        free_kib: None,
        total_kib: None,
        extent_kib: Kib(plan.provider.default_extent_kib()),
        snapshots: false,
        min_io: None,
        fault: None,
    };
    if plan.provider.has_storage() {
        match site.provider(plan.provider, plan.props.get(PROVIDER)) {
            Err(fault) => {
                let capabilities = site.capabilities();
                let why = capabilities.unsupported_providers.get(&plan.provider).map(|all| all.join("; "));
                seen.fault = Some(wire_fault(match why {
                    Some(why) => fault.cause(why),
                    None => fault,
                }));
            }
            Ok(provider) => {
                if let Err(fault) = probe(site, &provider, &pool, (cluster, clean), &mut seen) {
                    seen.fault = Some(wire_fault(fault));
                }
            }
        }
    }
    OpenPool { plan, pool, seen }
}

fn probe(
    site: &dyn Site,
    provider: &Loaded,
    pool: &sdk::Pool,
    (cluster, clean): (Uuid, bool),
    seen: &mut PoolSeen,
) -> Result<(), sdk::Fault> {
    let (machine, provider) = (site.machine(provider, pool), provider.calls());
    if clean {
        for name in provider.clean(&*machine, cluster)? {
            tracing::info!(pool = %pool.name, %name, "leftover removed");
        }
    }
    let abilities = provider.probe(&*machine)?;
    seen.extent_kib = Kib(abilities.extent.0);
    seen.snapshots = abilities.no_snapshots.is_none();
    seen.min_io = site.min_io(pool);
    let space = provider.space(&*machine)?;
    (seen.free_kib, seen.total_kib) = (Some(Kib(space.free.0)), Some(Kib(space.total.0)));
    site.remember_pool(pool, (cluster, seen.id));
    Ok(())
}

/// The space of a pool as it is now; `None`: as it was, or unknown.
#[must_use]
pub fn look_at_space(site: &dyn Site, pool: &OpenPool) -> Option<PoolSeen> {
    if pool.seen.fault.is_some() {
        return None;
    }
    let provider = site.provider(pool.plan.provider, pool.named()).ok()?;
    let now = match provider.calls().space(&*site.machine(&provider, &pool.pool)) {
        Ok(space) => PoolSeen { free_kib: Some(Kib(space.free.0)), total_kib: Some(Kib(space.total.0)), ..pool.seen.clone() },
        Err(fault) if fault.kind == sdk::FaultKind::Pool => PoolSeen { fault: Some(wire_fault(fault)), ..pool.seen.clone() },
        // Another look will tell.
        Err(_) => return None,
    };
    (now != pool.seen).then_some(now)
}

/// Stable paths by the name of the resource, as it is spelled, and the volume.
pub type Paths = BTreeSet<(String, VolumeNumber)>;

/// The stable paths that belong to items which shall stay.
#[must_use]
pub fn paths<'a>(items: impl Iterator<Item = &'a PlanItem>) -> Paths {
    let of = |item: &'a PlanItem| match item {
        PlanItem::Resource(plan) if !plan.diskless => {
            let stay = plan.volumes.iter().filter(|volume| wanted(plan, volume) != Wanted::Absent);
            Some(stay.map(|volume| (plan.resource.to_string(), volume.number)))
        }
        PlanItem::Resource(_) | PlanItem::Snapshot(_) => None,
    };
    items.filter_map(of).flatten().collect()
}

/// Works on items, with the pools and the identity of one moment.
pub struct Bench<'a> {
    site: &'a dyn Site,
    capabilities: &'a Capabilities,
    pools: &'a Pools,
    cluster: Uuid,
    leave: Leave,
    taken: Paths,
    machines: BTreeMap<StorPoolName, (Arc<Loaded>, Box<dyn Machine>)>,
    /// Volumes that were detached here: by pool, the names of their objects.
    ended: BTreeSet<(StorPoolName, String)>,
}

impl<'a> Bench<'a> {
    /// A bench for items of `cluster`.
    #[must_use]
    pub fn new(site: &'a dyn Site, capabilities: &'a Capabilities, pools: &'a Pools, cluster: Uuid, leave: Leave) -> Self {
        Self { site, capabilities, pools, cluster, leave, taken: Paths::new(), machines: BTreeMap::new(), ended: BTreeSet::new() }
    }

    /// The same beside items that shall stay and have these stable paths ([`paths`]); what goes leaves them alone.
    #[must_use]
    pub fn beside(self, taken: Paths) -> Self {
        Self { taken, ..self }
    }

    /// Works on one item until it is as planned or nothing more can be done, and says what was seen last. `unsure`: the last work failed.
    #[must_use]
    pub fn work(&mut self, item: &PlanItem, generation: u64, unsure: bool) -> ItemSeen {
        let made_again = self.site.forgets().then(|| made_again(item));
        let item = made_again.as_ref().unwrap_or(item);
        let mut failed: BTreeMap<VolumeNumber, Fault> = BTreeMap::new();
        for _ in 0..STEPS_MAX {
            let found = self.look(item);
            let steps = reconcile(item, &found);
            let next = steps.iter().find(|step| !failed.contains_key(&step.number()) && self.may(step, &steps));
            let Some(step) = next else {
                let (mut standing, mut fault) = standing(item, &steps);
                let refused = steps.iter().find(|step| matches!(step, Step::Refuse(..))).map(Step::number);
                if let (Some(fault), Some(number)) = (&mut fault, refused) {
                    self.name_holders(fault, device_of(&found, number));
                }
                if let Some((_, first)) = failed.into_iter().next() {
                    (standing, fault) = (Standing::Faulty, Some(first));
                } else if unsure
                    && matches!(standing, Standing::Settled | Standing::Gone)
                    && let Err(unsynced) = self.make_sure(item)
                {
                    (standing, fault) = (Standing::Faulty, Some(wire_fault(unsynced)));
                }
                return ItemSeen { id: item.id(), generation, standing, volumes: seen_volumes(item, &found, self.site), fault };
            };
            tracing::debug!(resource = %item.resource(), id = %item.id(), ?step, "step");
            // Below the work that somebody traces.
            let span = if Span::current().is_none() { Span::none() } else { tracing::info_span!("step", ?step) };
            if let Err(Failed { fault, device }) = span.in_scope(|| self.perform(item, step, &found)) {
                let mut fault = wire_fault(fault);
                self.name_holders(&mut fault, device.as_deref().or_else(|| device_of(&found, step.number())));
                tracing::warn!(resource = %item.resource(), id = %item.id(), ?step, fault = %fault.message, cause = %fault.cause, "step failed");
                failed.insert(step.number(), fault);
            }
        }
        let fault = Fault {
            kind: FaultKind::Bug,
            message: format!("Resource '{}' does not come to rest", item.resource()),
            cause: format!("{STEPS_MAX} steps did not lead to what is planned"),
            correction: "Report this with the satellite's log".into(),
            details: String::new(),
            holders: Vec::new(),
        };
        ItemSeen { id: item.id(), generation, standing: Standing::Faulty, volumes: Vec::new(), fault: Some(fault) }
    }

    /// Has on disk what is seen: an earlier step may have failed after its change, in the sync. A power cut would take that change back.
    fn make_sure(&mut self, item: &PlanItem) -> Result<(), sdk::Fault> {
        for name in item.pools() {
            if self.pools.get(name).is_none_or(|open| !open.plan.provider.has_storage()) {
                continue;
            }
            let (_, machine) = self.pool(name)?;
            match machine.files() {
                Ok(files) => files.sync_all().map_err(|error| error.fault(machine.pool()))?,
                // It works by commands, which answer when they have done what they say.
                Err(fault) if fault.kind == sdk::FaultKind::Unsupported => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Says who has the device that is in the way.
    fn name_holders(&self, fault: &mut Fault, device: Option<&str>) {
        let Some(device) = device.filter(|_| fault.kind == FaultKind::InUse) else { return };
        fault.holders = self.site.holders(device);
        fault.cause = holders::sentence(device, &fault.holders);
    }

    fn may(&self, step: &Step, all: &[Step]) -> bool {
        match step {
            Step::Refuse(..) => false,
            Step::Unlink(number) | Step::Detach(number) => {
                self.leave == Leave::All || !all.iter().any(|other| other.number() == *number && other.changes_data())
            }
            Step::Attach(_) | Step::Link(_) => true,
            Step::Create(_)
            | Step::Restore(_)
            | Step::Clone(_)
            | Step::Rollback(_)
            | Step::Grow(_)
            | Step::Delete(_)
            | Step::Adopt(_)
            | Step::TakeSnapshot(_)
            | Step::DeleteSnapshot(_) => self.leave == Leave::All,
        }
    }

    /// The provider and machine of a pool.
    fn pool(&mut self, name: &StorPoolName) -> Result<(&dyn Provider, &dyn Machine), sdk::Fault> {
        let unknown = || {
            sdk::Fault::new(sdk::FaultKind::Pool, format!("Storage pool '{name}' is not part of the plan"))
                .correction("Create the storage pool on this node")
        };
        let open = self.pools.get(name).ok_or_else(unknown)?;
        if let Some(fault) = &open.seen.fault {
            return Err(sdk::Fault::new(sdk::FaultKind::Pool, fault.message.clone())
                .cause(fault.cause.clone())
                .correction(fault.correction.clone())
                .details(fault.details.clone()));
        }
        if !self.machines.contains_key(name) {
            let provider = self.site.provider(open.plan.provider, open.named())?;
            let machine = self.site.machine(&provider, &open.pool);
            self.machines.insert(name.clone(), (provider, machine));
        }
        let (provider, machine) = self.machines.get(name).ok_or_else(unknown)?;
        Ok((provider.calls(), &**machine))
    }

    fn perform(&mut self, item: &PlanItem, step: &Step, found: &ItemFound) -> Result<(), Failed> {
        let seen = found.volumes.iter().find(|seen| seen.number == step.number());
        match item {
            PlanItem::Resource(plan) => match plan.volumes.iter().find(|volume| volume.number == step.number()) {
                Some(volume) => self.on_volume(plan, volume, step, seen),
                None => Err(impossible(step).into()),
            },
            PlanItem::Snapshot(plan) => match plan.volumes.iter().find(|volume| volume.number == step.number()) {
                Some(volume) => Ok(self.on_copy(plan, volume, step, seen)?),
                None => Err(impossible(step).into()),
            },
        }
    }

    fn on_volume(&mut self, plan: &ResourcePlan, volume: &VolumePlan, step: &Step, seen: Option<&VolumeFound>) -> Result<(), Failed> {
        let (site, attaches) = (self.site, self.site.attaches());
        let known = self.known(&volume.backing, None, volume.id.uuid())?;
        let mark = Mark {
            kind: MarkKind::Volume,
            cluster: self.cluster,
            generation: volume.id.uuid(),
            content: volume.content.id.uuid(),
            name: format!("{}/{}", plan.resource, volume.number),
        };
        let new = New { name: known.name.clone(), suffix: String::new(), of: None, mark };
        let size = sdk::Kib(volume.backing_kib.0);
        let source = match &volume.content.source {
            ContentSource::Fresh | ContentSource::Peers | ContentSource::Kept => None,
            ContentSource::Snapshot { id, backing } => {
                let own = matches!(step, Step::Rollback(_)).then_some(volume.backing.as_str());
                Some(self.known(backing, own, id.uuid())?)
            }
            ContentSource::Volume { id, backing } => Some(self.known(backing, None, id.uuid())?),
        };
        let source = || source.clone().ok_or_else(|| impossible(step));
        let (provider, machine) = self.pool(&volume.pool)?;
        let filled = match step {
            Step::Create(_) => return Ok(provider.create(machine, &new, size)?),
            Step::Grow(_) => return Ok(provider.grow(machine, &known, size)?),
            Step::Rollback(_) => return Ok(provider.rollback(machine, &new, &source()?)?),
            Step::Delete(_) => return Ok(provider.delete(machine, &known)?),
            Step::Adopt(_) => return Ok(provider.adopt(machine, &new, size)?),
            Step::Detach(_) => {
                provider.detach(machine, &known)?;
                self.ended.insert((volume.pool.clone(), volume.backing.clone()));
                return Ok(());
            }
            Step::Attach(_) => {
                let device = provider.attach(machine, &known)?;
                self.ended.remove(&(volume.pool.clone(), volume.backing.clone()));
                return if attaches { Ok(()) } else { Ok(site.set_link(&plan.resource, volume.number, &device.path)?) };
            }
            Step::Link(_) => {
                let device = seen.and_then(|seen| seen.device.as_ref()).ok_or_else(|| impossible(step))?;
                return Ok(site.set_link(&plan.resource, volume.number, &device.path)?);
            }
            Step::Unlink(_) => return Ok(site.remove_link(&plan.resource, volume.number)?),
            Step::Restore(_) => provider.restore(machine, &source()?, &new, size)?,
            Step::Clone(_) => provider.clone_volume(machine, &source()?, &new, size)?,
            Step::TakeSnapshot(_) | Step::DeleteSnapshot(_) | Step::Refuse(..) => return Err(impossible(step).into()),
        };
        match filled {
            Filled::Done => Ok(()),
            Filled::Copy { .. } | Filled::Pipe { .. } => self.fill(volume, &source()?, &filled, &new),
        }
    }

    /// A copy is a point in time only while nobody has the source open: it is looked at before and after.
    fn fill(&mut self, volume: &VolumePlan, source: &Known, filled: &Filled, new: &New) -> Result<(), Failed> {
        let site = self.site;
        let idle = |bench: &mut Self| -> Result<(), Failed> {
            let (_, device) =
                bench.find(&volume.pool, source.name.as_str(), source.of.as_ref().map(BackingName::as_str), source.generation)?;
            let Some(device) = device.filter(|device| device.in_use) else { return Ok(()) };
            let fault =
                sdk::Fault::new(sdk::FaultKind::InUse, "A volume in use cannot be copied here, only cloned where blocks can be shared")
                    .correction("Unmount the source, or put the pool on XFS (made with reflink=1) or on btrfs");
            Err(Failed { fault, device: Some(device.path) })
        };
        idle(self)?;
        let pool = self.pools.get(&volume.pool).map(|open| open.pool.clone()).unwrap_or_else(|| self.no_pool(&volume.pool));
        self.pool(&volume.pool)?;
        let (provider, _) = self.machines.get(&volume.pool).ok_or_else(|| impossible(&Step::Create(volume.number)))?;
        site.fill(provider, &pool, filled)?;
        idle(self)?;
        let (provider, machine) = self.pool(&volume.pool)?;
        Ok(provider.finish_copy(machine, new)?)
    }

    fn no_pool(&self, name: &StorPoolName) -> sdk::Pool {
        sdk::Pool { name: name.to_string(), kind: String::new(), place: String::new(), props: BTreeMap::new() }
    }

    fn on_copy(
        &mut self,
        plan: &SnapshotPlan,
        volume: &SnapshotVolumePlan,
        step: &Step,
        seen: Option<&VolumeFound>,
    ) -> Result<(), sdk::Fault> {
        let known = self.known(&volume.backing, Some(&volume.source_backing), volume.id.uuid())?;
        let source = self.known(&volume.source_backing, None, volume.source.uuid())?;
        let cluster = self.cluster;
        let (provider, machine) = self.pool(&volume.pool)?;
        match step {
            Step::TakeSnapshot(_) => {
                let Some(Backing::Ours { content, .. }) = seen.map(|seen| &seen.source) else { return Err(impossible(step)) };
                let name = format!("{}/{}@{}", plan.resource, volume.number, plan.snapshot);
                let mark = Mark { kind: MarkKind::Snapshot, cluster, generation: volume.id.uuid(), content: *content, name };
                provider.snapshot(machine, &source, &New { name: known.name, suffix: String::new(), of: known.of, mark })
            }
            Step::Adopt(_) => {
                // What it holds nobody knows but itself: its own id stands for that.
                let (generation, content) = (volume.id.uuid(), volume.id.uuid());
                let name = format!("{}/{}@{}", plan.resource, volume.number, plan.snapshot);
                let mark = Mark { kind: MarkKind::Snapshot, cluster, generation, content, name };
                provider.adopt(machine, &New { name: known.name, suffix: String::new(), of: known.of, mark }, SNAPSHOT_LEAST)
            }
            Step::DeleteSnapshot(_) => provider.delete_snapshot(machine, &known),
            Step::Create(_)
            | Step::Restore(_)
            | Step::Clone(_)
            | Step::Rollback(_)
            | Step::Grow(_)
            | Step::Attach(_)
            | Step::Detach(_)
            | Step::Link(_)
            | Step::Unlink(_)
            | Step::Delete(_)
            | Step::Refuse(..) => Err(impossible(step)),
        }
    }
}

/// Why a step failed.
struct Failed {
    fault: sdk::Fault,
    /// The device that is in the way, if it is not that of the volume.
    device: Option<String>,
}

impl From<sdk::Fault> for Failed {
    fn from(fault: sdk::Fault) -> Self {
        Self { fault, device: None }
    }
}

fn device_of(found: &ItemFound, number: VolumeNumber) -> Option<&str> {
    let volume = found.volumes.iter().find(|seen| seen.number == number)?;
    volume.device.as_ref().map(|device| device.path.as_str())
}

/// The item for a machine that forgets all it holds when it ends: what was there before may be made again, empty.
fn made_again(item: &PlanItem) -> PlanItem {
    let mut item = item.clone();
    match &mut item {
        PlanItem::Resource(plan) => {
            for volume in &mut plan.volumes {
                if volume.content.source == ContentSource::Kept {
                    volume.content.source = ContentSource::Fresh;
                }
            }
        }
        PlanItem::Snapshot(plan) => plan.taken = false,
    }
    item
}

fn name(backing: &str) -> Result<BackingName, sdk::Fault> {
    BackingName::parse(backing)
        .map_err(|bad| sdk::Fault::new(sdk::FaultKind::Bug, "The plan names a backing object that cannot be").cause(bad.to_string()))
}

fn impossible(step: &Step) -> sdk::Fault {
    sdk::Fault::new(sdk::FaultKind::Bug, "A step was planned that does not fit its item").cause(format!("{step:?}"))
}

/// The resource that items are worked on for, one after the other.
#[must_use]
pub fn in_order(mut items: Vec<Arc<PlanItem>>) -> Vec<Arc<PlanItem>> {
    use berth_model::plan::Wanted::{Absent, Active, Inactive};
    // What goes first makes room; a snapshot goes last, because the data of a replica may come from it.
    let rank = |item: &PlanItem| match (item, item.wanted()) {
        (PlanItem::Resource(_), Absent) => 0,
        (PlanItem::Resource(_), Active | Inactive) => 1,
        (PlanItem::Snapshot(_), Active | Inactive) => 2,
        (PlanItem::Snapshot(_), Absent) => 3,
    };
    items.sort_by_key(|item| (rank(item), item.id()));
    items
}

/// What a panic during work on an item is told as.
#[must_use]
pub fn panicked(item: &PlanItem, generation: u64, resource: &ResourceName) -> ItemSeen {
    let fault = Fault {
        kind: FaultKind::Bug,
        message: format!("Work on resource '{resource}' ended in a defect of the satellite"),
        cause: String::new(),
        correction: "Report this with the satellite's log".into(),
        details: String::new(),
        holders: Vec::new(),
    };
    ItemSeen { id: item.id(), generation, standing: Standing::Faulty, volumes: Vec::new(), fault: Some(fault) }
}
