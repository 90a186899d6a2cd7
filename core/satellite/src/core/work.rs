//! Who works on what: one worker for each resource at a time, a bounded number of them in all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use berth_model::names::{ResourceName, StorPoolName, VolumeNumber};
use berth_model::observed::{Capabilities, Fault, FaultKind, ItemSeen, PoolSeen, Standing};
use berth_model::plan::{PlanItem, PoolPlan, Wanted};
use berth_model::props::PROVIDER;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::{Core, Event, RETRY, WORKERS_MAX};
use crate::bench::{Bench, Leave, OpenPool, Paths, Pools, in_order, look_at_space, open_pool, panicked, paths};
use crate::crew::Crew;
use crate::site::Site;

/// A step that takes longer is told as a sign of life, again and again.
const BUSY_AFTER: Duration = Duration::from_secs(5);
/// An item that was not done with after so long is told as faulty; its thread, stuck in the kernel, keeps its resource.
const ITEM_TIMEOUT: Duration = Duration::from_secs(25 * 3600);

/// Name of the provider of a pool; `None`: there is none.
fn made_by(site: &dyn Site, plan: &PoolPlan) -> Option<String> {
    site.provider(plan.provider, plan.props.get(PROVIDER)).ok().map(|loaded| loaded.manifest().name.clone())
}

/// What a worker is given.
struct Job {
    site: Arc<dyn Site>,
    crew: Crew,
    capabilities: Arc<Capabilities>,
    pools: Arc<Pools>,
    cluster: Uuid,
    leave: Leave,
    generation: u64,
    door: mpsc::Sender<Event>,
    /// Items whose last work failed.
    unsure: BTreeSet<Uuid>,
    /// Stable paths of what shall stay of the resource.
    taken: Paths,
    /// Names that items had before, and the stable paths under these that are others' now.
    former: BTreeMap<Uuid, BTreeSet<ResourceName>>,
    others: Paths,
}

impl Core {
    /// Reads the machine, opens the pools and removes stale paths, beside the loop.
    pub(super) fn start(&mut self) {
        let (site, capabilities, door) = (Arc::clone(&self.site), Arc::clone(&self.capabilities), self.door.clone());
        let plans: Vec<PoolPlan> = self.held.pools.values().cloned().collect();
        self.opening.extend(plans.iter().map(|plan| plan.name.clone()));
        let items: Vec<Arc<PlanItem>> = self.held.items.values().cloned().collect();
        let cluster = self.identity.cluster.unwrap_or_default();
        let done = self.crew.aside(site.latency(), move || {
            site.scan();
            let pools: Vec<OpenPool> = plans.into_iter().map(|plan| open_pool(&*site, plan, cluster, true)).collect();
            let by_name: Pools = pools.iter().map(|pool| (pool.plan.name.clone(), Arc::new(pool.clone()))).collect();
            let mut bench = Bench::new(&*site, &capabilities, &by_name, cluster, Leave::ServeOnly);
            let served = served(&mut bench, &items);
            site.sweep_links(&|resource, volume, target| {
                served.get(&(resource.to_ascii_uppercase(), volume.to_owned())).is_some_and(|device| device == target)
            });
            pools
        });
        self.crew.spawn(async move {
            // After a panic there are no pools; each item says so, and the next scan tries again.
            let pools = done.await.unwrap_or_default();
            drop(door.send(Event::Started(pools)).await);
        });
    }

    /// Opens the pools that the plan has changed.
    pub(super) fn pools_planned(&mut self) {
        let gone: Vec<StorPoolName> = self.pools.keys().filter(|name| !self.held.pools.contains_key(*name)).cloned().collect();
        for name in gone {
            Arc::make_mut(&mut self.pools).remove(&name);
        }
        // One that is being opened is compared with its plan when it is open: two probes of one pool would meet.
        let stale =
            |plan: &&PoolPlan| !self.opening.contains(&plan.name) && self.pools.get(&plan.name).is_none_or(|open| open.plan != **plan);
        let changed: Vec<PoolPlan> = self.held.pools.values().filter(stale).cloned().collect();
        for plan in changed {
            self.reopen(plan, true);
        }
    }

    fn planned(&self) -> BTreeSet<Uuid> {
        self.held.pools.values().map(|plan| plan.id.uuid()).collect()
    }

    fn reopen(&mut self, plan: PoolPlan, clean: bool) {
        self.reopen_all(vec![plan], clean);
    }

    /// Opens pools: those of one provider one after the other, as two of them may have one folder, where their probes would meet; those
    /// of another one beside them, as they may be slow.
    pub(super) fn reopen_all(&mut self, plans: Vec<PoolPlan>, clean: bool) {
        let mut each: BTreeMap<Option<String>, Vec<PoolPlan>> = BTreeMap::new();
        for plan in plans {
            each.entry(made_by(&*self.site, &plan)).or_default().push(plan);
        }
        each.into_values().for_each(|plans| self.reopen_in_turn(plans, clean));
    }

    fn reopen_in_turn(&mut self, plans: Vec<PoolPlan>, clean: bool) {
        self.opening.extend(plans.iter().map(|plan| plan.name.clone()));
        let (site, door) = (Arc::clone(&self.site), self.door.clone());
        let (cluster, planned) = (self.identity.cluster.unwrap_or_default(), Arc::new(self.planned()));
        let crew = self.crew.clone();
        self.crew.spawn(async move {
            for plan in plans {
                let (at, planned, broken) = (Arc::clone(&site), Arc::clone(&planned), plan.clone());
                let opened = crew.aside(site.latency(), move || {
                    at.forget_pools(&planned);
                    open_pool(&*at, plan, cluster, clean)
                });
                let pool = match opened.await {
                    Ok(pool) => pool,
                    Err(error) => defect(&*site, broken, &error.to_string()),
                };
                drop(door.send(Event::PoolOpened(Box::new(pool))).await);
            }
        });
    }

    pub(super) fn pool_opened(&mut self, pool: OpenPool) {
        let name = pool.plan.name.clone();
        let Some(planned) = self.held.pools.get(&name) else {
            self.opening.remove(&name);
            return;
        };
        if *planned != pool.plan {
            let plan = planned.clone();
            return self.reopen(plan, true);
        }
        self.opening.remove(&name);
        let usable = self.pools.get(&name).filter(|old| old.plan == pool.plan && old.seen.fault.is_none()).cloned();
        if let Some(fault) = &pool.seen.fault {
            tracing::warn!(pool = %name, message = %fault.message, cause = %fault.cause, kept = usable.is_some(), "pool cannot be used");
        }
        // A full pool cannot be probed, and yet serves what it has.
        let pool = match usable {
            Some(old) if pool.seen.fault.as_ref().is_some_and(|fault| !matches!(fault.kind, FaultKind::Pool | FaultKind::Unsupported)) => {
                (*old).clone()
            }
            Some(_) | None => pool,
        };
        let news = self.pools.get(&name).is_none_or(|old| old.seen != pool.seen);
        let usable = |open: &OpenPool| open.seen.fault.is_none();
        if usable(&pool) && !self.pools.get(&name).is_some_and(|old| usable(old) && old.plan == pool.plan) {
            self.strangers_due();
        }
        let mended = self.pools.get(&name).is_some_and(|old| old.seen.fault.is_some()) && pool.seen.fault.is_none();
        Arc::make_mut(&mut self.pools).insert(name.clone(), Arc::new(pool));
        if news {
            self.unsent_pools.insert(name);
        }
        for resource in std::mem::take(&mut self.parked) {
            self.ready.push_back(resource);
        }
        if mended {
            // Whoever is faulty waits for another try, unless it is tried already.
            let faulty: Vec<Uuid> = self.retries.iter().map(|(_, id)| *id).collect();
            faulty.into_iter().for_each(|id| self.wake(id));
        }
    }

    /// Tries pools again that cannot be used.
    pub(super) fn retry_pools(&mut self) {
        let broken: Vec<PoolPlan> = self
            .pools
            .values()
            .filter(|open| open.seen.fault.as_ref().is_some_and(|fault| fault.kind != FaultKind::Unsupported))
            .map(|open| open.plan.clone())
            .filter(|plan| !self.opening.contains(&plan.name))
            .collect();
        for plan in broken {
            self.reopen(plan, false);
        }
    }

    pub(super) fn look_at_space(&mut self) {
        // Those of one provider in turn, and never twice at once: one that is slow holds up its own pools only.
        let mut each: BTreeMap<Option<String>, Vec<Arc<OpenPool>>> = BTreeMap::new();
        for pool in self.pools.values().filter(|pool| !self.looking.contains(&pool.plan.name)) {
            each.entry(made_by(&*self.site, &pool.plan)).or_default().push(Arc::clone(pool));
        }
        for pools in each.into_values() {
            let names: Vec<StorPoolName> = pools.iter().map(|pool| pool.plan.name.clone()).collect();
            self.looking.extend(names.iter().cloned());
            let (site, door) = (Arc::clone(&self.site), self.door.clone());
            let look = move || pools.iter().filter_map(|pool| look_at_space(&*site, pool)).collect::<Vec<PoolSeen>>();
            let looked = self.crew.aside(self.site.latency(), look);
            self.crew.spawn(async move {
                // After a panic the next look will tell.
                let news = looked.await.unwrap_or_default();
                drop(door.send(Event::Looked(names, news)).await);
            });
        }
    }

    /// Reads the machine anew, finds out again what its pools can do, and looks at everything.
    pub(super) fn scan(&mut self) {
        let usable = self.pools.values().filter(|open| open.seen.fault.is_none() && !self.opening.contains(&open.plan.name));
        let plans: Vec<PoolPlan> = usable.filter_map(|open| self.held.pools.get(&open.plan.name)).cloned().collect();
        // What an operation left that failed, and could not even be cleared away, goes while nobody is working: work on a pool that is
        // being opened waits.
        let clean = self.running == 0 && std::mem::take(&mut self.failed);
        self.reopen_all(plans, clean);
        let (site, door) = (Arc::clone(&self.site), self.door.clone());
        let read = self.crew.aside(site.latency(), move || site.scan());
        self.crew.spawn(async move {
            // Also after a panic: what is known is compared all the same.
            drop(read.await);
            drop(door.send(Event::Scanned).await);
        });
    }

    /// Marks an item to be looked at.
    pub(super) fn wake(&mut self, id: Uuid) {
        let Some(entry) = self.entries.get(&id) else { return };
        let resource = entry.item.resource().clone();
        let queue = self.queues.entry(resource.clone()).or_default();
        queue.dirty.insert(id);
        if !queue.running && !queue.ready {
            queue.ready = true;
            self.ready.push_back(resource);
        }
    }

    /// Gives resources that wait to workers.
    pub(super) fn dispatch(&mut self) {
        if !self.started {
            return;
        }
        while self.running < WORKERS_MAX {
            let Some(resource) = self.ready.pop_front() else { return };
            let Some(queue) = self.queues.get_mut(&resource) else { continue };
            if queue.running {
                // Borrowed by what had this name before; it is ready again when that is done.
                queue.ready = false;
                continue;
            }
            let items: Vec<Arc<PlanItem>> =
                queue.dirty.iter().filter_map(|id| self.entries.get(id)).map(|entry| Arc::clone(&entry.item)).collect();
            if items.iter().any(|item| item.pools().into_iter().any(|pool| self.opening.contains(pool))) {
                self.parked.push(resource);
                continue;
            }
            queue.ready = false;
            let ids: Vec<Uuid> = items.iter().map(|item| item.id()).collect();
            let former: BTreeSet<ResourceName> =
                ids.iter().filter_map(|id| self.entries.get(id)).flat_map(|entry| entry.former.clone()).collect();
            if let Some(busy) = former.iter().find(|name| self.queues.get(*name).is_some_and(|queue| queue.running)) {
                // Somebody may set paths under the old name just now.
                if let Some(busy) = self.queues.get_mut(busy) {
                    busy.followers.insert(resource);
                }
                continue;
            }
            for name in &former {
                self.queues.entry(name.clone()).or_default().running = true;
            }
            let others =
                |name: &ResourceName| self.queues.get(name).into_iter().flat_map(|queue| &queue.items).copied().collect::<Vec<Uuid>>();
            let others: Vec<Uuid> = former.iter().flat_map(others).collect();
            let others = paths(others.iter().filter_map(|id| self.entries.get(id)).map(|entry| &*entry.item));
            let mut former_of = BTreeMap::new();
            for id in &ids {
                if let Some(entry) = self.entries.get_mut(id).filter(|entry| !entry.former.is_empty()) {
                    entry.clearing.clone_from(&entry.former);
                    former_of.insert(*id, entry.former.clone());
                }
            }
            let Some(queue) = self.queues.get_mut(&resource) else { continue };
            queue.borrowed = former;
            queue.dirty.clear();
            if items.is_empty() {
                if queue.items.is_empty() {
                    self.queues.remove(&resource);
                }
                continue;
            }
            queue.running = true;
            self.running += 1;
            let by_hand = self.overrides.get(resource.as_str()).map(|act| act.attached);
            let items = in_order(items.into_iter().map(|item| overridden(item, by_hand)).collect());
            let unsure = items.iter().map(|item| item.id()).filter(|id| self.entries.get(id).is_some_and(|entry| entry.unsure)).collect();
            let all = queue.items.iter().filter_map(|id| self.entries.get(id)).map(|entry| &*entry.item);
            let job = Job {
                unsure,
                former: former_of,
                others,
                taken: paths(all),
                site: Arc::clone(&self.site),
                crew: self.crew.clone(),
                capabilities: Arc::clone(&self.capabilities),
                pools: Arc::clone(&self.pools),
                cluster: self.identity.cluster.unwrap_or_default(),
                leave: self.leave(),
                generation: self.held.generation,
                door: self.door.clone(),
            };
            let mut causes = items.iter().filter_map(|item| self.entries.get(&item.id())).map(|entry| &entry.cause);
            let span = match causes.find(|cause| !cause.is_none()) {
                Some(cause) => tracing::info_span!(parent: cause, "work", %resource),
                None => Span::none(),
            };
            self.crew.spawn(work(job, resource, items).instrument(span));
        }
    }

    pub(super) fn done(&mut self, seen: ItemSeen) {
        let id = seen.id;
        let leave = self.leave();
        if seen.generation > self.held.generation {
            // Begun under an older epoch, whose generations were greater.
            return self.wake(id);
        }
        let seen = self.with_hands(seen);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let unsaid = |old: &ItemSeen| old.generation < entry.named || ItemSeen { generation: old.generation, ..seen.clone() } != *old;
        let news = entry.seen.as_ref().is_none_or(unsaid);
        if let Some(at) = entry.retry_at.take() {
            self.retries.remove(&(at, id));
        }
        // Nobody tells when a simulated peer can be reached again.
        let behind = seen.standing == Standing::Settled && seen.volumes.iter().any(|volume| volume.up_to_date == Some(false));
        match seen.standing {
            Standing::Settled | Standing::Gone if !behind => entry.attempts = 0,
            Standing::Settled | Standing::Gone | Standing::Faulty => {
                self.failed |= seen.standing == Standing::Faulty;
                entry.attempts = entry.attempts.saturating_add(1);
                let at = Instant::now() + berth_model::time::pause(entry.attempts, RETRY.0, RETRY.1);
                entry.retry_at = Some(at);
                self.retries.insert((at, id));
            }
            // Only what the leave of its worker did not cover: another look under the leave of now.
            Standing::Working => {}
        }
        entry.unsure = match seen.standing {
            Standing::Faulty => true,
            Standing::Settled | Standing::Gone => false,
            Standing::Working => entry.unsure,
        };
        if matches!(seen.standing, Standing::Settled | Standing::Gone) {
            let cleared = std::mem::take(&mut entry.clearing);
            entry.former.retain(|name| !cleared.contains(name));
            entry.cause = Span::none();
        }
        let again = seen.standing == Standing::Working && leave == Leave::All;
        self.looks.turned(id, entry.seen.as_ref(), Some(&seen));
        entry.seen = Some(seen);
        if news {
            self.unsent.insert(id);
        }
        if again {
            self.wake(id);
        }
    }

    pub(super) fn working(&mut self, id: Uuid) {
        let generation = self.held.generation;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let volumes = entry.seen.as_ref().map(|seen| seen.volumes.clone()).unwrap_or_default();
        let now = ItemSeen { id, generation, standing: Standing::Working, volumes, fault: None };
        self.looks.turned(id, entry.seen.as_ref(), Some(&now));
        entry.seen = Some(now);
        self.unsent.insert(id);
    }

    pub(super) async fn free(&mut self, resource: &ResourceName) {
        self.running = self.running.saturating_sub(1);
        let borrowed = self.queues.get_mut(resource).map(|queue| std::mem::take(&mut queue.borrowed)).unwrap_or_default();
        self.release(resource).await;
        for name in borrowed {
            self.release(&name).await;
        }
    }

    /// Nobody works on a resource any more.
    async fn release(&mut self, resource: &ResourceName) {
        for follower in self.queues.get_mut(resource).map(|queue| std::mem::take(&mut queue.followers)).unwrap_or_default() {
            if let Some(queue) = self.queues.get_mut(&follower).filter(|queue| !queue.running && !queue.ready) {
                queue.ready = true;
                self.ready.push_back(follower);
            }
        }
        if let Some(queue) = self.queues.get_mut(resource) {
            queue.running = false;
            if !queue.dirty.is_empty() {
                queue.ready = true;
                self.ready.push_back(resource.clone());
            } else {
                if queue.items.is_empty() {
                    self.queues.remove(resource);
                }
                self.answer_hands(resource).await;
            }
        }
    }

    /// Looks again at items whose devices may have got or lost a user.
    pub(super) fn used(&mut self, devices: &[String]) {
        let ids: BTreeSet<Uuid> = devices.iter().flat_map(|device| self.looks.with_device(device)).collect();
        ids.into_iter().for_each(|id| self.wake(id));
    }

    /// Looks again at the items of these resources.
    pub(super) fn opened(&mut self, resources: &[ResourceName]) {
        let of = |resource: &ResourceName| self.queues.get(resource).map(|queue| queue.items.clone()).unwrap_or_default();
        let ids: BTreeSet<Uuid> = resources.iter().flat_map(of).collect();
        ids.into_iter().for_each(|id| self.wake(id));
    }

    /// Looks again at items of whose devices something else is known.
    pub(super) fn probed(&mut self, devices: Vec<(String, bool)>) {
        let differs = |device: &str, used: bool, id: &Uuid| {
            let seen = self.entries.get(id).and_then(|entry| entry.seen.as_ref());
            seen.is_some_and(|seen| seen.volumes.iter().any(|v| v.device_path.as_deref() == Some(device) && v.in_use != used))
        };
        let of = |(device, used): &(String, bool)| -> Vec<Uuid> {
            self.looks.with_device(device).filter(|id| differs(device, *used, id)).collect()
        };
        let ids: BTreeSet<Uuid> = devices.iter().flat_map(of).collect();
        ids.into_iter().for_each(|id| self.wake(id));
    }

    pub(super) fn see_pools(&mut self, pools: Vec<PoolSeen>) {
        for seen in pools {
            let Some(open) = self.pools.get(&seen.name).filter(|open| open.seen != seen && open.seen.id == seen.id) else { continue };
            let (name, open) = (seen.name.clone(), OpenPool { seen, ..(**open).clone() });
            Arc::make_mut(&mut self.pools).insert(name.clone(), Arc::new(open));
            self.unsent_pools.insert(name);
        }
    }
}

fn defect(site: &dyn Site, plan: PoolPlan, cause: &str) -> OpenPool {
    let nowhere = PoolPlan { provider: berth_model::layers::ProviderKind::Diskless, ..plan.clone() };
    let mut pool = open_pool(site, nowhere, Uuid::nil(), false);
    pool.seen.fault = Some(Fault {
        kind: FaultKind::Bug,
        message: format!("Opening storage pool '{}' ended in a defect of the satellite", plan.name),
        cause: cause.to_owned(),
        correction: "Report this with the satellite's log".into(),
        details: String::new(),
        holders: Vec::new(),
    });
    OpenPool { plan, ..pool }
}

/// The item as somebody on this machine wants it, who has attached or detached it by hand.
fn overridden(item: Arc<PlanItem>, by_hand: Option<bool>) -> Arc<PlanItem> {
    let wanted = match by_hand {
        None => return item,
        Some(true) => Wanted::Active,
        Some(false) => Wanted::Inactive,
    };
    match &*item {
        PlanItem::Resource(plan) if plan.wanted != Wanted::Absent => {
            let mut plan = plan.clone();
            plan.wanted = wanted;
            plan.volumes.iter_mut().filter(|volume| volume.wanted != Wanted::Absent).for_each(|volume| volume.wanted = wanted);
            Arc::new(PlanItem::Resource(plan))
        }
        PlanItem::Resource(_) | PlanItem::Snapshot(_) => item,
    }
}

/// Devices of everything that is served, by resource (upper case) and volume.
fn served(bench: &mut Bench<'_>, items: &[Arc<PlanItem>]) -> BTreeMap<(String, String), String> {
    let mut served = BTreeMap::new();
    for item in items {
        if let PlanItem::Resource(plan) = &**item {
            for (number, device) in bench.devices(plan) {
                let number: VolumeNumber = number;
                served.insert((plan.resource.as_str().to_ascii_uppercase(), number.to_string()), device);
            }
        }
    }
    served
}

async fn work(job: Job, resource: ResourceName, items: Vec<Arc<PlanItem>>) {
    for item in items {
        let id = item.id();
        let (site, capabilities, pools) = (Arc::clone(&job.site), Arc::clone(&job.capabilities), Arc::clone(&job.pools));
        let (terms, thing) = ((job.cluster, job.leave, job.generation, job.unsure.contains(&id)), Arc::clone(&item));
        let taken = job.taken.clone();
        let (former, others) = (job.former.get(&id).cloned().unwrap_or_default(), job.others.clone());
        let delay = site.latency();
        let mut handle = job.crew.aside(delay, move || {
            let done = work_on(&site, &capabilities, &pools, terms, taken, &thing);
            if matches!(done.0.standing, Standing::Settled | Standing::Gone) {
                clear_former(&*site, &thing, &former, &others);
            }
            done
        });
        let end = Instant::now() + ITEM_TIMEOUT;
        let mut late = false;
        let joined = loop {
            match tokio::time::timeout(BUSY_AFTER, &mut handle).await {
                Ok(joined) => break joined,
                Err(_) if late => {}
                Err(_) if Instant::now() >= end => {
                    late = true;
                    let fault = Fault {
                        kind: FaultKind::Timeout,
                        message: format!("Work on resource '{resource}' does not end"),
                        cause: String::new(),
                        correction: "Look for a disk or file system that does not answer".into(),
                        details: String::new(),
                        holders: Vec::new(),
                    };
                    let seen =
                        ItemSeen { id, generation: job.generation, standing: Standing::Faulty, volumes: Vec::new(), fault: Some(fault) };
                    drop(job.door.send(Event::Done(Box::new(seen), Vec::new())).await);
                }
                Err(_) => drop(job.door.send(Event::Working(id)).await),
            }
        };
        let (seen, pools) = joined.unwrap_or_else(|error| {
            tracing::error!(%resource, %error, "work on an item panicked");
            (panicked(&item, job.generation, &resource), Vec::new())
        });
        // The core is gone at the end of the process only.
        drop(job.door.send(Event::Done(Box::new(seen), pools)).await);
    }
    drop(job.door.send(Event::Free(resource)).await);
}

/// Removes the stable paths that an item had under other names; what has such a name now keeps its own.
fn clear_former(site: &dyn Site, item: &PlanItem, former: &BTreeSet<ResourceName>, others: &Paths) {
    let PlanItem::Resource(plan) = item else { return };
    for (name, volume) in former.iter().flat_map(|name| plan.volumes.iter().map(move |volume| (name, volume.number))) {
        let Some(old) = site.link(name, volume) else { continue };
        let ours = site.link(&plan.resource, volume).is_some_and(|new| new == old);
        if (ours || !others.contains(&(name.as_str().to_owned(), volume)))
            && let Err(fault) = site.remove_link(name, volume)
        {
            // The next start sweeps it.
            tracing::warn!(resource = %name, %volume, message = %fault.message, "an old stable path stays");
        }
    }
}

fn work_on(
    site: &Arc<dyn Site>,
    capabilities: &Capabilities,
    pools: &Pools,
    (cluster, leave, generation, unsure): (Uuid, Leave, u64, bool),
    taken: Paths,
    item: &PlanItem,
) -> (ItemSeen, Vec<PoolSeen>) {
    let seen = Bench::new(&**site, capabilities, pools, cluster, leave).beside(taken).work(item, generation, unsure);
    let news = item.pools().into_iter().filter_map(|name| pools.get(name)).filter_map(|pool| look_at_space(&**site, pool)).collect();
    (seen, news)
}
