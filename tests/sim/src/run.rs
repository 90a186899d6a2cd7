//! One run: setting up, trouble, quiet, and the end of everything.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use berth_engine::command::Command;
use berth_model::flags::NodeFlag;
use berth_store::Bundle;
use tokio_util::sync::CancellationToken;

use crate::bundle;
use crate::clients;
use crate::director::{direct, join};
use crate::disk::Wear;
use crate::lie::Lie;
use crate::machine::{SCAN, Trouble};
use crate::network::Weather;
use crate::stage::Stage;
use crate::world::{Draw, Law, Violation, World};

/// Names of machines.
const NAMES: [&str; 4] = ["alpha", "bravo", "charlie", "delta"];
/// A quiet world comes to rest within this; satellites try again after at most five minutes.
const REST: Duration = Duration::from_secs(1200);
/// How long setting up may take.
const SETUP: Duration = Duration::from_secs(120);

/// How a run is done.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The world lies in this way.
    pub lie: Option<Lie>,
    /// Prints the trace as it happens.
    pub trace: bool,
    /// Begins with the cluster of a support bundle; otherwise with an empty one.
    pub bundle: Option<Arc<Bundle>>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first broken promise; `None`: all were kept.
    pub violation: Option<Violation>,
    /// Lines of the trace.
    pub lines: u64,
    /// Hash of the trace.
    pub hash: u64,
    /// Serial of the last commit.
    pub serial: u64,
    /// Virtual time that passed.
    pub passed: Duration,
    /// A support bundle of the moment when the trouble ended; `None`: it did not come to that.
    pub bundle: Option<Arc<Bundle>>,
}

/// Runs one seed.
///
/// # Panics
/// If the runtime cannot be made: the system has no memory.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Outcome {
    watch_panics();
    PANICS.with(|panics| panics.borrow_mut().clear());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime of one thread");
    let world = {
        let _inside = runtime.enter();
        World::new(seed, options.lie, options.trace)
    };
    let taken = Mutex::new(None);
    let (serial, passed) = runtime.block_on(play(&world, options.bundle.as_deref(), &taken));
    if let Some(panic) = PANICS.with(|panics| panics.borrow().first().cloned()) {
        world.violate(Law::Panic, panic);
    }
    let (lines, hash) = world.trace();
    let bundle = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
    Outcome { seed, violation: world.violation(), lines, hash, serial, passed, bundle }
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static HOOK: Once = Once::new();

/// Tasks of daemons catch panics; here each one is told.
fn watch_panics() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.borrow_mut().push(info.to_string()));
            before(info);
        }));
    });
}

/// Where a run leaves its bundle.
type Taken = Mutex<Option<Arc<Bundle>>>;

async fn play(world: &World, bundle: Option<&Bundle>, taken: &Taken) -> (u64, Duration) {
    let mut rng = world.fork("run");
    let places: Vec<(String, SocketAddr)> = match bundle {
        Some(bundle) => bundle::machines(bundle),
        None => NAMES.iter().zip(1u8..).take(rng.usize(2..=NAMES.len())).map(place).collect(),
    };
    let stage = Stage::new(world, &places);
    let over = world.over();
    tokio::select! {
        biased;
        () = over.cancelled() => {}
        () = acts(&stage, bundle, taken, &mut rng) => {}
    }
    (stage.checks.truth().serial, world.elapsed())
}

/// Where a machine of this name is.
fn place((name, number): (&&str, u8)) -> (String, SocketAddr) {
    ((*name).to_owned(), SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 3366))
}

async fn acts(stage: &Arc<Stage>, bundle: Option<&Bundle>, taken: &Taken, rng: &mut fastrand::Rng) {
    let world = &stage.world;
    world.note("— setting up");
    if let Some(bundle) = bundle {
        bundle::replay(stage, bundle).await;
    }
    let found: Vec<String> = stage.checks.truth().definitions.keys().map(ToString::to_string).collect();
    stage.start_controller(true).await;
    for number in 0..stage.machines.len() {
        stage.start_guest(number);
        if bundle.is_none() {
            join(stage, number, SETUP).await;
        }
    }
    for command in clients::create_groups() {
        let _told = stage.ask("operator", command).await;
    }
    let mut often = world.fork("balance");
    if often.permille(600) {
        let _told = stage.ask("operator", clients::balance_often(&mut often)).await;
    }
    world.note("— trouble");
    let done = CancellationToken::new();
    let mut all = Vec::new();
    let count = rng.usize(1..=3);
    for number in 0..count {
        // What a bundle brought is dealt among them.
        let mut names = clients::names(number);
        names.extend(found.iter().skip(number).step_by(count).cloned());
        all.push(tokio::spawn(clients::client(Arc::clone(stage), number, names, done.clone())));
    }
    // Two, so that troubles meet.
    for number in 0..2 {
        all.push(tokio::spawn(direct(Arc::clone(stage), number, done.clone())));
    }
    tokio::time::sleep(rng.millis(10_000, 60_000)).await;
    done.cancel();
    for task in all {
        let _ended = task.await;
    }
    if let Ok(bundle) = Bundle::take(stage.disk.now().as_ref(), usize::MAX, "simulated", 0).await {
        *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(bundle));
    }
    world.note("— quiet");
    heal(stage).await;
    if !rest(stage, "after all trouble ended").await {
        return;
    }
    stage.checks.machines(&stage.machines);
    world.note("— deleting everything");
    delete_everything(stage).await;
    if !rest(stage, "after everything was deleted").await {
        return;
    }
    stage.checks.machines(&stage.machines);
    stage.checks.empty();
}

/// Ends all trouble.
async fn heal(stage: &Arc<Stage>) {
    stage.network.set_weather(Weather::default());
    stage.disk.set_wear(Wear::default());
    for (number, machine) in stage.machines.iter().enumerate() {
        machine.set_trouble(Trouble::default());
        let closed = machine.close_all();
        machine.make_room();
        stage.network.cut(machine.address, false);
        stage.network.hang(machine.address, false);
        if let Some(guest) = stage.guest(number) {
            guest.kill_after(-1);
        }
        stage.start_guest(number);
        stage.devices_used(number, closed).await;
    }
    stage.kill_older_controllers();
    if stage.controller().is_none() {
        stage.start_controller(true).await;
    }
    for number in 0..stage.machines.len() {
        join(stage, number, SETUP).await;
    }
    let truth = stage.checks.truth();
    for node in truth.nodes.values().filter(|node| node.flags.has(NodeFlag::Evacuate)) {
        clients::restore_node(stage, &node.name).await;
    }
}

/// Waits until nothing is left to do; whether it came to that.
async fn rest(stage: &Stage, when: &str) -> bool {
    let until = tokio::time::Instant::now() + REST;
    // A look at everything finds what no message told.
    tokio::time::sleep(SCAN + Duration::from_secs(10)).await;
    loop {
        let left = stage.view().map_or_else(|| vec!["there is no controller".to_owned()], |view| stage.checks.restless(&view));
        if left.is_empty() {
            return true;
        }
        if tokio::time::Instant::now() > until {
            let first: Vec<&str> = left.iter().take(5).map(String::as_str).collect();
            stage.world.violate(Law::Rest, format!("{when}, {} s later: {}", REST.as_secs(), first.join("; ")));
            return false;
        }
        clients::remove_strangers(stage).await;
        clients::delete_the_half_deleted(stage).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn delete_everything(stage: &Stage) {
    let truth = stage.checks.truth();
    for snapshot in truth.snapshots.values().flat_map(|snapshots| snapshots.values()) {
        let command =
            Command::DeleteSnapshot { resource: snapshot.resource.to_string(), name: snapshot.name.to_string(), nodes: Vec::new() };
        let _told = stage.ask("operator", command).await;
    }
    for name in truth.definitions.keys() {
        let _told = stage.ask("operator", Command::DeleteResourceDefinition { name: name.to_string() }).await;
    }
}
