//! The checkers: they see everything that passes between the parts, and the truth beside it.
//!
//! They know the committed state as a fold of their own, built from what was handed to the store; what each satellite said, in order;
//! and what each volume must contain. Each hook is called as the thing happens.

mod data;
mod log;
mod replicas;
mod rest;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_controller::View;
use berth_model::cluster::Cluster;
use berth_model::ids::Id;
use berth_model::objects::Resource;
use berth_plugin_sdk::{FileSeen, Mark, MarkKind};
use berth_proto::{Down, Up, down, up};
use berth_store::{Loaded, Transaction};
use tonic::Status;
use uuid::Uuid;

use crate::network::Connection;
use crate::world::{Law, World};

pub use rest::Leftovers;

/// All checkers.
#[derive(Debug)]
pub struct Checks {
    world: World,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The committed state.
    truth: Cluster,
    /// Serial at which what is shown was compared last.
    compared: u64,
    /// Newest epoch that a controller took.
    epoch: u64,
    /// Highest serial that an answer was given at.
    acknowledged: u64,
    /// Generation ids of volumes and snapshots' volumes that some committed state wanted gone, or does not know any more.
    dispensable: BTreeSet<Uuid>,
    /// Those that a node held which was given up: nobody removes them.
    abandoned: BTreeSet<Uuid>,
    /// Newest epoch that each node's satellite welcomed.
    welcomed: BTreeMap<String, u64>,
    /// Newest plan that each node's satellite took.
    plans: BTreeMap<String, (u64, u64)>,
    data: data::Data,
    replicas: replicas::Replicas,
    shown: shown::Shown,
}

impl Checks {
    /// Checkers of an empty world.
    #[must_use]
    pub fn new(world: &World) -> Arc<Self> {
        let state = State {
            truth: Cluster::empty(Id::from_uuid(Uuid::nil())),
            compared: 0,
            epoch: 0,
            acknowledged: 0,
            dispensable: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            welcomed: BTreeMap::new(),
            plans: BTreeMap::new(),
            data: data::Data::default(),
            replicas: replicas::Replicas::default(),
            shown: shown::Shown::default(),
        };
        Arc::new(Self { world: world.clone(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn violate(&self, law: Law, what: String) {
        self.world.violate(law, what);
    }

    /// The committed state.
    #[must_use]
    pub fn truth(&self) -> Cluster {
        self.state().truth.clone()
    }

    /// A controller took the lead.
    pub fn epoch_taken(&self, epoch: u64) {
        let mut state = self.state();
        if epoch <= state.epoch {
            let what = format!("epoch {epoch} was taken after epoch {}", state.epoch);
            drop(state);
            return self.violate(Law::Newest, what);
        }
        state.epoch = epoch;
    }

    /// The world begins with this state, of a cluster whose newest epoch is `epoch`.
    pub fn begins(&self, truth: Cluster, epoch: u64) {
        let mut state = self.state();
        state.replicas.begins(&truth);
        (state.truth, state.epoch) = (truth, epoch);
    }

    /// From now on commits repeat the log of another cluster, or no longer do.
    pub fn repeats(&self, repeating: bool) {
        self.state().replicas.repeating = repeating;
    }

    /// The cluster has this id.
    pub fn founded(&self, id: &str) {
        if let Ok(id) = Uuid::parse_str(id) {
            self.state().truth.id = Id::from_uuid(id);
        }
    }

    /// A controller starts with this.
    pub fn loaded(&self, loaded: &Loaded) {
        let broken = log::loaded(&self.state(), loaded, &self.world);
        broken.into_iter().for_each(|what| self.violate(Law::Log, what));
    }

    /// The store took this, and said so.
    pub fn committed(&self, transaction: &Transaction) {
        for entry in transaction.entries.iter().filter(|entry| entry.log.origin == "balance") {
            self.world.note(&format!("balancing is committed: {}", entry.log.changes));
        }
        let broken = log::committed(&mut self.state(), transaction);
        broken.into_iter().for_each(|(law, what)| self.violate(law, what));
    }

    /// The controller of the newest epoch shows this.
    pub fn published(&self, view: &View, silence: Duration) {
        let now = self.world.elapsed();
        let mut state = self.state();
        let mut broken = log::published(&mut state, view, &self.world);
        broken.extend(shown::published(&mut state, view, now, silence));
        drop(state);
        broken.into_iter().for_each(|(law, what)| self.violate(law, what));
    }

    /// A client was told how its request ended, by a controller whose state has this serial.
    pub fn answered(&self, serial: u64) {
        let mut state = self.state();
        state.acknowledged = state.acknowledged.max(serial);
    }

    /// A controller says this to a satellite.
    pub fn sent_down(&self, connection: &Connection, message: &Down) {
        if let Some(down::Message::Plan(plan)) = &message.message {
            let state = self.state();
            let (serial, epoch) = (state.truth.serial, state.epoch);
            drop(state);
            if connection.epoch == epoch && plan.generation > serial {
                let what = format!("{} was sent plan {} before it was committed ({serial} is)", connection.node, plan.generation);
                self.violate(Law::Log, what);
            }
        }
    }

    /// A satellite says this to a controller.
    pub fn sent_up(&self, connection: &Connection, message: &Result<Up, Status>) {
        let Ok(Up { message: Some(message) }) = message else { return };
        if matches!(message, up::Message::Welcome(_)) {
            let mut state = self.state();
            let newest = state.welcomed.entry(connection.node.clone()).or_default();
            let before = *newest;
            *newest = before.max(connection.epoch);
            drop(state);
            if connection.epoch < before {
                let what = format!("{} welcomes a controller of epoch {} after one of epoch {before}", connection.node, connection.epoch);
                self.violate(Law::Newest, what);
            }
        }
        if let up::Message::Observation(observation) = message {
            let mut state = self.state();
            state.shown.sent(connection, observation);
            let broken = serde_json::from_slice(&observation.body).map(|told| state.replicas.reported(&connection.node, &told));
            drop(state);
            broken.unwrap_or_default().into_iter().for_each(|what| self.violate(Law::Replicas, what));
        }
    }

    /// This arrives at a controller.
    pub fn delivered_up(&self, connection: &Connection, message: &Result<Up, Status>) {
        let now = self.world.elapsed();
        if let Ok(Up { message: Some(message) }) = message {
            self.state().shown.delivered(connection, message, now);
        }
    }

    /// A satellite wrote these lines to its log of plans.
    pub fn plans_kept(&self, node: &str, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
            let plan = (line["epoch"].as_u64().unwrap_or(0), line["generation"].as_u64().unwrap_or(0));
            let mut state = self.state();
            let newest = state.plans.entry(node.to_owned()).or_default();
            let before = *newest;
            *newest = plan;
            drop(state);
            // A node that was made anew begins with an empty plan.
            if plan < before && plan.1 != 0 {
                self.violate(Law::Newest, format!("{node} takes plan {plan:?} (epoch, generation) after {before:?}"));
            }
        }
    }

    /// A machine forgot everything.
    pub fn installed_anew(&self, node: &str) {
        let mut state = self.state();
        state.plans.remove(node);
        state.welcomed.remove(node);
    }

    /// Whether this was held by a node that was given up.
    #[must_use]
    pub fn is_abandoned(&self, generation: Uuid) -> bool {
        self.state().abandoned.contains(&generation)
    }

    /// A satellite removed a file from a pool.
    pub fn removed(&self, node: &str, seen: &FileSeen) {
        let Some(mark) = seen.mark.as_deref().and_then(|mark| Mark::parse(mark).ok()) else { return };
        // What was not finished has another suffix, and is nobody's data.
        if seen.name.ends_with(".berth-new") {
            return;
        }
        let state = self.state();
        let allowed = state.dispensable.contains(&mark.generation);
        drop(state);
        if !allowed {
            let what = format!("{node} removed '{}' ({}, {}), and no committed state wanted that", seen.name, mark.name, mark.generation);
            self.violate(Law::Identity, what);
        }
    }

    /// The mark that the committed state expects under a backing name on a node, whoever's object lies there.
    #[must_use]
    pub fn mark_by_name(&self, node: &str, file: &str) -> Option<String> {
        let state = self.state();
        let stem = file.strip_suffix(".img")?;
        let truth = &state.truth;
        let resources = truth.resources.values().flat_map(|nodes| nodes.values()).filter(|resource| resource.node.as_str() == node);
        let mut volumes = resources.flat_map(|resource| resource.volumes.values().map(move |volume| (resource, volume)));
        let (resource, volume) = volumes.find(|(_, volume)| volume.backing == stem)?;
        let mark = Mark {
            kind: MarkKind::Volume,
            cluster: truth.id.uuid(),
            generation: volume.id.uuid(),
            content: volume.content.id.uuid(),
            name: resource.name.to_string(),
        };
        Some(mark.render())
    }

    /// Whether a replicated volume holds its data.
    #[must_use]
    pub fn holds(&self, volume: Uuid) -> bool {
        self.state().replicas.holds(volume)
    }

    /// A replicated volume got its data from a peer.
    pub fn synchronised(&self, volume: Uuid) {
        self.state().replicas.synchronised(volume);
    }

    /// Replicas whose data nobody is left to give.
    #[must_use]
    pub fn orphans(&self) -> Vec<Resource> {
        replicas::orphans(&self.state().truth)
    }

    /// A client wrote to a volume.
    pub fn wrote(&self, content: Uuid, value: u64) {
        self.state().data.wrote(content, value);
    }
}
