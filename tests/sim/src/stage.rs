//! Who is on the stage: controllers and satellites as processes that are started and killed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_controller::outside::Outside;
use berth_controller::{Config, Controller, View};
use berth_engine::command::Command;
use berth_model::reply::Reply;
use berth_store::Store;
use tokio_util::sync::CancellationToken;

use crate::check::Checks;
use crate::disk::Disk;
use crate::machine::{Guest, Machine};
use crate::network::Network;
use crate::world::World;

/// Silence after which a satellite counts as lost.
pub const SILENCE: Duration = Duration::from_secs(5);

/// The stage. Everything on it outlives the processes.
#[derive(Debug)]
pub struct Stage {
    /// The world.
    pub world: World,
    /// The checkers.
    pub checks: Arc<Checks>,
    /// The network.
    pub network: Arc<Network>,
    /// The controller's disk.
    pub disk: Arc<Disk>,
    /// The machines.
    pub machines: Vec<Arc<Machine>>,
    guests: Mutex<Vec<Option<Arc<Guest>>>>,
    controllers: Mutex<Vec<Process>>,
}

/// A controller process.
#[derive(Debug, Clone)]
pub struct Process {
    /// The door to it.
    pub controller: Controller,
    /// Fires when it dies.
    pub died: CancellationToken,
    kill: Kill,
}

#[derive(Debug, Clone)]
struct Kill {
    lives: Arc<AtomicBool>,
    died: CancellationToken,
    stop: CancellationToken,
}

impl Kill {
    fn now(&self) {
        self.lives.store(false, Ordering::Relaxed);
        self.died.cancel();
        self.stop.cancel();
    }
}

/// What a client was told.
#[derive(Debug, Clone)]
pub enum Told {
    /// Its request was answered.
    Answer(Vec<Reply>),
    /// The connection broke: whether anything happened is not known.
    Nothing,
}

impl Told {
    /// Whether it was answered without an error.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answer(replies) if !replies.iter().any(Reply::is_error))
    }
}

/// A command in few words: nothing that is empty or not given.
fn brief(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => String::new(),
        Value::Object(members) => {
            let parts = members.iter().filter_map(|(key, value)| {
                let text = brief(value);
                (!text.is_empty()).then(|| if key == "command" { text } else { format!("{key}={text}") })
            });
            parts.collect::<Vec<_>>().join(" ")
        }
        Value::Array(all) => all.iter().map(brief).collect::<Vec<_>>().join(","),
        Value::Bool(false) => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) | Value::Number(_) => value.to_string(),
    }
}

impl Stage {
    /// A stage with machines and nobody on it.
    #[must_use]
    pub fn new(world: &World, places: &[(String, SocketAddr)]) -> Arc<Self> {
        let checks = Checks::new(world);
        let machines = places.iter().map(|(name, address)| Machine::new(world, Arc::clone(&checks), name, *address));
        let machines: Vec<Arc<Machine>> = machines.collect();
        Machine::connect(&machines);
        Arc::new(Self {
            world: world.clone(),
            network: Arc::new(Network::new(world, Arc::clone(&checks))),
            disk: Arc::new(Disk::new(world, Arc::clone(&checks))),
            guests: Mutex::new(vec![None; machines.len()]),
            controllers: Mutex::default(),
            machines,
            checks,
        })
    }

    fn guests(&self) -> MutexGuard<'_, Vec<Option<Arc<Guest>>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn controllers(&self) -> MutexGuard<'_, Vec<Process>> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The satellite process of a machine; `None`: there is none, or it is dead.
    #[must_use]
    pub fn guest(&self, machine: usize) -> Option<Arc<Guest>> {
        self.guests().get(machine).cloned().flatten().filter(|guest| guest.is_alive())
    }

    /// Starts the satellite of a machine if none runs.
    pub fn start_guest(&self, number: usize) {
        let Some(machine) = self.machines.get(number).filter(|_| self.guest(number).is_none()) else { return };
        let guest = Guest::start(machine);
        self.network.settle(machine.address, &machine.name, Some(Arc::clone(&guest)));
        if let Some(place) = self.guests().get_mut(number) {
            *place = Some(guest);
        }
    }

    /// Kills the satellite of a machine.
    pub fn kill_guest(&self, number: usize) {
        if let Some(guest) = self.guest(number) {
            guest.kill();
        }
    }

    /// Tells the satellite of a machine that devices got or lost a user.
    pub async fn devices_used(&self, number: usize, devices: Vec<String>) {
        if let Some(guest) = self.guest(number).filter(|_| !devices.is_empty()) {
            guest.devices_used(devices).await;
        }
    }

    /// Starts a controller. `alone`: those before are killed first; otherwise they go on and do not know.
    ///
    /// Returns whether it came up; it may die while it starts.
    pub async fn start_controller(self: &Arc<Self>, alone: bool) -> bool {
        if alone {
            self.kill_controllers();
        }
        let kill = Kill { lives: Arc::new(AtomicBool::new(true)), died: CancellationToken::new(), stop: CancellationToken::new() };
        let on_death = kill.clone();
        let mount = self.disk.mount(alone, Arc::clone(&kill.lives), move || on_death.now());
        let mut config = Config::new("/controller", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        config.reports = None;
        config.silence = SILENCE;
        let outside = Outside { world: Arc::new(self.world.clone()), dial: self.network.dialer(Arc::clone(&kill.lives)) };
        let started = tokio::select! {
            biased;
            () = kill.died.cancelled() => return false,
            started = berth_controller::start(&config, mount as Arc<dyn Store>, outside, kill.stop.clone()) => started,
        };
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                self.world.note(&format!("a controller does not start: {error}"));
                kill.now();
                return false;
            }
        };
        let controller = running.controller.clone();
        self.world.note(&format!("a controller starts at {}, epoch {}", controller.view().cluster.serial, controller.view().cluster.epoch));
        let process = Process { controller, died: kill.died.clone(), kill: kill.clone() };
        self.controllers().push(process.clone());
        tokio::spawn(Arc::clone(self).watch(process));
        tokio::spawn(async move {
            kill.stop.cancelled().await;
            running.end().await;
        });
        true
    }

    /// Looks at what a controller publishes, as long as it is the newest.
    async fn watch(self: Arc<Self>, process: Process) {
        let mut view = process.controller.follow();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                () = process.died.cancelled() => return,
                changed = view.changed() => if changed.is_err() { return },
                _ = tick.tick() => {}
            }
            let newest = self.controllers().last().is_some_and(|last| last.died == process.died);
            if newest {
                let view = view.borrow_and_update().clone();
                self.checks.published(&view, SILENCE);
            }
        }
    }

    /// Kills every controller.
    pub fn kill_controllers(&self) {
        for process in self.controllers().drain(..) {
            if !process.died.is_cancelled() {
                self.world.note("a controller is killed");
            }
            process.kill.now();
        }
    }

    /// Kills all controllers but the newest.
    pub fn kill_older_controllers(&self) {
        let mut all = self.controllers();
        let newest = all.pop();
        for process in all.drain(..) {
            self.world.note("an older controller is killed");
            process.kill.now();
        }
        all.extend(newest);
    }

    /// The newest controller that lives.
    #[must_use]
    pub fn controller(&self) -> Option<Process> {
        self.controllers().last().filter(|process| !process.died.is_cancelled()).cloned()
    }

    /// What the newest controller shows; `None`: none lives.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        self.controller().map(|process| process.controller.view())
    }

    /// Asks the newest controller.
    pub async fn ask(&self, actor: &str, command: Command) -> Told {
        let Some(Process { controller, died, .. }) = self.controller() else { return Told::Nothing };
        let text = brief(&serde_json::to_value(&command).unwrap_or_default());
        self.world.note(&format!("{actor} asks: {text}"));
        let caller = berth_model::access::Caller::internal(actor);
        let told = tokio::select! {
            biased;
            () = died.cancelled() => Told::Nothing,
            answer = controller.submit(command, &caller, "sim") => {
                self.checks.answered(controller.view().cluster.serial);
                Told::Answer(answer.replies)
            }
        };
        // Who waits for the same state is woken in an order that no seed decides: they go on one after the other.
        let turn = actor.rsplit('-').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        tokio::time::sleep(std::time::Duration::from_millis(turn)).await;
        let words = match &told {
            Told::Answer(replies) => {
                replies.iter().map(|reply| format!("{} {}", reply.code.number(), reply.message)).collect::<Vec<_>>().join("; ")
            }
            Told::Nothing => "nothing".to_owned(),
        };
        self.world.note(&format!("{actor} hears: {words}"));
        told
    }
}
