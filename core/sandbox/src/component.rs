//! A component as a provider: each call in an instance of it, under its bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Kib, Known, Limits, Machine, Manifest, New, PoolAbilities, Provider, Space,
    Stream,
};
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::bindings::berth::provider::types as w;
use crate::bindings::exports::berth::provider::calls::Guest;
use crate::bindings::{Provider as World, ProviderPre};
use crate::engine::Clock;
use crate::state::{State, Stop, TEXT_MAX, cut};
use crate::{judge, lent};

/// Most instances that wait for calls, of all pools.
const IDLE_MAX: usize = 4;
/// Most of them that wait for calls on one pool.
const IDLE_OF_POOL_MAX: usize = 2;
/// An instance with more memory, in bytes, is not kept.
const IDLE_MEMORY_MAX: usize = 16 << 20;
/// Most handles of an instance.
const HANDLES_MAX: usize = 1024;
/// What a provider is called until it has said its name.
const NAMELESS: &str = "of this file";
/// What to do about a provider that misbehaves.
const REPORT: &str = "Report it to the author of the provider; the call can be repeated";

/// A provider in a sandbox; clones share everything.
#[derive(Clone)]
pub struct Component(Arc<Shared>);

struct Shared {
    pre: ProviderPre<State>,
    clock: Arc<Clock>,
    manifest: Arc<Manifest>,
    limits: Limits,
    idle: Mutex<VecDeque<Idle>>,
}

/// An instance and the pool of its calls. It never serves another one: what it remembers stays with that pool.
struct Idle {
    pool: (String, String),
    seat: Seat,
}

/// An instance.
struct Seat {
    store: Store<State>,
    /// `None`: not made yet.
    world: Option<World>,
}

/// How a call failed that the guest did not answer.
enum Failed {
    /// It was ended.
    Ended(wasmtime::Error),
    /// It answered against the contract.
    Answer(String),
}

type Returned<T> = wasmtime::Result<Result<T, w::Fault>>;

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("name", &self.0.manifest.name).field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Component {
    /// Asks a component for its manifest, without any machine and with the usual limits.
    pub(crate) fn described(pre: ProviderPre<State>, clock: Arc<Clock>) -> Result<Self, Fault> {
        let manifest = Arc::new(Manifest::new(NAMELESS, "", &[]));
        let component = Self(Arc::new(Shared { pre, clock, manifest, limits: Limits::USUAL, idle: Mutex::default() }));
        let mut seat = component.fresh();
        let described = lent::lend(None, || component.enter(&mut seat, |guest, store| guest.call_describe(store)));
        match described {
            Ok(manifest) => {
                let manifest: Manifest = manifest.into();
                Ok(component.with(manifest.limits, Arc::new(manifest)))
            }
            Err(error) => Err(component.failed(&Failed::Ended(error), "describe", None, &seat)),
        }
    }

    /// The same with these limits and this manifest, and no instances yet.
    fn with(&self, limits: Limits, manifest: Arc<Manifest>) -> Self {
        let Shared { pre, clock, .. } = &*self.0;
        let (limits, pre, clock) = (manifest.limits.and(limits), pre.clone(), Arc::clone(clock));
        Self(Arc::new(Shared { pre, clock, manifest, limits, idle: Mutex::default() }))
    }

    /// What it said of itself when it was loaded.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The bounds of its calls.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// The same component with lower bounds: those of its manifest, or of `limits` where they are lower.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        self.with(limits, Arc::clone(&self.0.manifest))
    }

    /// Throws away the instances that wait for calls: the next call on each pool has a fresh one.
    pub fn forget(&self) {
        self.idle().clear();
    }

    /// Nothing in it is ever half done.
    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an instance that is made by the call.
    fn fresh(&self) -> Seat {
        let mut store = Store::new(self.0.pre.engine(), State::new(self.0.limits));
        store.limiter(|state| state);
        store.epoch_deadline_callback(|store| {
            store.data().go_on()?;
            Ok(UpdateDeadline::Continue(1))
        });
        // What the guest holds grows at most so much on its way into the host.
        store.set_hostcall_fuel(store.data().memory_most().saturating_mul(2));
        store.set_max_component_handles(HANDLES_MAX);
        Seat { store, world: None }
    }

    /// Runs something in an instance; one call.
    fn enter<T>(&self, seat: &mut Seat, work: impl FnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<T>) -> wasmtime::Result<T> {
        let _running = self.0.clock.start();
        let Seat { store, world } = seat;
        store.data_mut().begin();
        store.set_epoch_deadline(1);
        let world = match world {
            Some(world) => world,
            None => world.insert(self.0.pre.instantiate(&mut *store)?),
        };
        work(world.berth_provider_calls(), store)
    }

    /// One call on the machine.
    fn call<W, T>(
        &self,
        on: &dyn Machine,
        doing: &str,
        work: impl FnOnce(&Guest, &mut Store<State>) -> Returned<W>,
        judge: impl FnOnce(W) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let pool = on.pool();
        let key = (pool.name.clone(), pool.place.clone());
        let mut seat = self.take(&key).unwrap_or_else(|| self.fresh());
        let failed = match lent::lend(Some(on), || self.enter(&mut seat, work)) {
            Err(error) => Failed::Ended(error),
            Ok(Err(fault)) => {
                self.give_back(key, seat);
                return Err(judge::fault(fault));
            }
            Ok(Ok(answer)) => match judge(answer) {
                Ok(answer) => {
                    self.give_back(key, seat);
                    return Ok(answer);
                }
                Err(why) => Failed::Answer(why),
            },
        };
        Err(self.failed(&failed, doing, Some(&key.0), &seat))
    }

    fn take(&self, pool: &(String, String)) -> Option<Seat> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|idle| idle.pool == *pool)?;
        idle.remove(at).map(|idle| idle.seat)
    }

    fn give_back(&self, pool: (String, String), seat: Seat) {
        if seat.store.data().memory() > IDLE_MEMORY_MAX {
            return;
        }
        let mut idle = self.idle();
        let same = idle.iter().filter(|idle| idle.pool == pool).count();
        let over = if same >= IDLE_OF_POOL_MAX {
            idle.iter().position(|idle| idle.pool == pool).and_then(|at| idle.remove(at))
        } else if idle.len() >= IDLE_MAX {
            idle.pop_front()
        } else {
            None
        };
        idle.push_back(Idle { pool, seat });
        drop(idle);
        // An instance takes a while to go; others need not wait for it.
        drop(over);
    }

    fn failed(&self, failed: &Failed, doing: &str, pool: Option<&str>, seat: &Seat) -> Fault {
        let name = &self.0.manifest.name;
        let at = match pool {
            Some(pool) => format!("at '{doing}' in storage pool '{pool}'"),
            None => format!("at '{doing}'"),
        };
        let fault = match failed {
            Failed::Answer(why) => {
                Fault::new(FaultKind::Bug, format!("Provider '{name}' broke its contract {at}")).cause(sentence(why)).correction(REPORT)
            }
            Failed::Ended(error) => ended(error, name, &at, seat.store.data()),
        };
        tracing::warn!(provider = name, doing, pool, cause = fault.cause, "{}", fault.message);
        fault
    }
}

/// What the host says of a guest that it ended.
fn ended(error: &wasmtime::Error, name: &str, at: &str, state: &State) -> Fault {
    let limits = state.limits();
    let fault = match error.downcast_ref::<Stop>() {
        Some(Stop::Time) => Fault::new(FaultKind::Timeout, format!("Provider '{name}' took too long {at}"))
            .cause(format!("It computed for more than {} s, without the time of commands and file requests", limits.seconds))
            .correction("Repeat the call; if that does not help, allow the provider more seconds, or report it to its author"),
        Some(stop @ Stop::Host(_)) => Fault::new(FaultKind::Bug, format!("A request of provider '{name}' broke the host's own part {at}"))
            .cause(sentence(&stop.to_string()))
            .correction("Report it as a defect of Berth; the call can be repeated"),
        Some(stop @ (Stop::Import(_) | Stop::Exit | Stop::NoMachine | Stop::TooMuch(_))) => {
            broke_off(name, at).cause(sentence(&stop.to_string())).correction(REPORT)
        }
        None => broke_off(name, at).cause(why(error, state)).correction(REPORT),
    };
    fault.details(cut(format!("{error:#}"), TEXT_MAX))
}

fn broke_off(name: &str, at: &str) -> Fault {
    Fault::new(FaultKind::Bug, format!("Provider '{name}' broke off {at}"))
}

/// Why a guest trapped, in the words of people.
fn why(error: &wasmtime::Error, state: &State) -> String {
    const MIB: usize = 1 << 20;
    if let Some(wanted) = state.wanted() {
        return format!("It asked for {} MiB of memory, and may have {} MiB", wanted.div_ceil(MIB), state.memory_most() / MIB);
    }
    if let Some(text) = state.panicked() {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        return if text.starts_with("panicked") { format!("It {text}") } else { format!("It panicked: {text}") };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "It called itself too deeply: its stack was full".into(),
        Some(Trap::MemoryOutOfBounds) => "It read or wrote outside of its memory".into(),
        Some(Trap::UnreachableCodeReached) => "It gave itself up (an abort, or a panic of which it said nothing)".into(),
        // The engine's list is long and grows; its own words do.
        Some(other) => sentence(&format!("it trapped: {other}")),
        None => sentence(&error.root_cause().to_string()),
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A call that answers nothing.
fn nothing((): ()) -> Result<(), String> {
    Ok(())
}

impl Provider for Component {
    fn manifest(&self) -> Manifest {
        Manifest::clone(&self.0.manifest)
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        self.call(on, "probe", |guest, store| guest.call_probe(store), judge::abilities)
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        self.call(on, "clean", |guest, store| guest.call_clean(store, cluster.into()), judge::names)
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        self.call(on, "space", |guest, store| guest.call_get_space(store), |space| Ok(space.into()))
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        self.call(on, "list", |guest, store| guest.call_list_all(store), judge::list)
    }
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        self.call(
            on,
            "look",
            |guest, store| guest.call_look(store, name.as_str(), of.map(BackingName::as_str)),
            |found| judge::looked(found, name),
        )
    }
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        self.call(on, "create", |guest, store| guest.call_create(store, &new.into(), size.0), nothing)
    }
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        self.call(on, "grow", |guest, store| guest.call_grow(store, &volume.into(), size.0), nothing)
    }
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        self.call(on, "delete", |guest, store| guest.call_delete(store, &volume.into()), nothing)
    }
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        self.call(on, "snapshot", |guest, store| guest.call_snapshot(store, &volume.into(), &new.into()), nothing)
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        self.call(on, "delete_snapshot", |guest, store| guest.call_delete_snapshot(store, &snapshot.into()), nothing)
    }
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        self.call(on, "rollback", |guest, store| guest.call_rollback(store, &new.into(), &snapshot.into()), nothing)
    }
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        self.call(on, "restore", |guest, store| guest.call_restore(store, &snapshot.into(), &new.into(), size.0), judge::filled)
    }
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        self.call(on, "clone_volume", |guest, store| guest.call_clone_volume(store, &volume.into(), &new.into(), size.0), judge::filled)
    }
    fn send(&self, on: &dyn Machine, snapshot: &Known, since: Option<&Known>) -> Result<Stream, Fault> {
        let since = since.map(Into::into);
        self.call(on, "send", |guest, store| guest.call_send(store, &snapshot.into(), since.as_ref()), judge::stream)
    }
    fn receive(&self, on: &dyn Machine, new: &New, size: Kib, since: Option<&Known>) -> Result<Stream, Fault> {
        let since = since.map(Into::into);
        self.call(on, "receive", |guest, store| guest.call_receive(store, &new.into(), size.0, since.as_ref()), judge::stream)
    }
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        self.call(on, "finish_copy", |guest, store| guest.call_finish_copy(store, &new.into()), nothing)
    }
    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        self.call(on, "adopt", |guest, store| guest.call_adopt(store, &new.into(), size.0), nothing)
    }
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        self.call(on, "attach", |guest, store| guest.call_attach(store, &volume.into()), judge::device)
    }
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        self.call(on, "detach", |guest, store| guest.call_detach(store, &volume.into()), nothing)
    }
}
