//! The controller's disk: a store in memory that is slow, full, and asked by controllers that die at the worst moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_store::{Cluster, Entry, Loaded, LogEntry, LogFilter, MemoryStore, Past, Pending, Record, Store, StoreError, Transaction, Write};

use crate::check::Checks;
use crate::lie::Lie;
use crate::world::{Draw, World};

/// How the disk behaves, in a thousand each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wear {
    /// Commits that take up to a second.
    pub slow: u32,
    /// Commits that find the disk full.
    pub full: u32,
    /// Commits before which the controller dies.
    pub dies_before: u32,
    /// Commits after which the controller dies, before it could tell anybody.
    pub dies_after: u32,
}

/// The disk, which outlives controllers.
pub struct Disk {
    world: World,
    checks: Arc<Checks>,
    store: Mutex<Arc<MemoryStore>>,
    wear: Mutex<Wear>,
    rng: Mutex<fastrand::Rng>,
}

/// The disk as one controller process sees it.
pub struct Mount {
    disk: Arc<Disk>,
    store: Arc<MemoryStore>,
    lives: Arc<AtomicBool>,
    /// Kills the controller.
    kill: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

impl Disk {
    /// An empty disk, or one that holds what `loaded` says.
    #[must_use]
    pub fn new(world: &World, checks: Arc<Checks>) -> Self {
        let rng = Mutex::new(world.fork("disk"));
        Self { world: world.clone(), checks, store: Mutex::new(Arc::new(MemoryStore::new())), wear: Mutex::default(), rng }
    }

    fn store(&self) -> MutexGuard<'_, Arc<MemoryStore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store as it is, for looks from outside.
    #[must_use]
    pub fn now(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store())
    }

    /// Changes how it behaves from now on.
    pub fn set_wear(&self, wear: Wear) {
        *self.wear.lock().unwrap_or_else(PoisonError::into_inner) = wear;
    }

    /// Mounts it for a controller process. `alone`: the process before is dead; otherwise it still uses the disk.
    #[must_use]
    pub fn mount(self: &Arc<Self>, alone: bool, lives: Arc<AtomicBool>, kill: impl Fn() + Send + Sync + 'static) -> Arc<Mount> {
        let mut store = self.store();
        if alone {
            let next = Arc::new(store.restart());
            *store = next;
        }
        if self.world.lies(Lie::StoreAcknowledgesEarly) {
            store.lose_commits();
        }
        Arc::new(Mount { disk: Arc::clone(self), store: Arc::clone(&store), lives, kill: Box::new(kill) })
    }
}

impl Mount {
    fn dead(&self) -> bool {
        !self.lives.load(Ordering::Relaxed)
    }

    async fn put(&self, mut transaction: Transaction) -> Result<u64, StoreError> {
        let (slow, full, before, after) = {
            let wear = *self.disk.wear.lock().unwrap_or_else(PoisonError::into_inner);
            let mut rng = self.disk.rng.lock().unwrap_or_else(PoisonError::into_inner);
            let slow = if rng.permille(wear.slow) { rng.millis(10, 1000) } else { rng.millis(0, 2) };
            (slow, rng.permille(wear.full), rng.permille(wear.dies_before), rng.permille(wear.dies_after))
        };
        tokio::time::sleep(slow).await;
        let world = &self.disk.world;
        if before {
            world.note("the controller dies before a commit");
            (self.kill)();
        }
        if self.dead() {
            return std::future::pending().await;
        }
        if full {
            world.note("the controller's disk is full");
            self.store.refuse_commits(1);
        }
        let honest = transaction.clone();
        self.lie(&mut transaction).await;
        let result = self.store.commit(transaction).await;
        match &result {
            Ok(serial) => {
                let names: Vec<String> = honest.entries.iter().map(|entry| short(&entry.log.command)).collect();
                world.note(&format!("commit {serial} in epoch {}: {}", honest.epoch, names.join(", ")));
                self.disk.checks.committed(&honest);
            }
            Err(error) => world.note(&format!("commit refused: {error}")),
        }
        if after && result.is_ok() {
            world.note("the controller dies after a commit");
            (self.kill)();
            return std::future::pending().await;
        }
        result
    }

    /// What a lying disk does to what it is given.
    async fn lie(&self, transaction: &mut Transaction) {
        let world = &self.disk.world;
        let drop_puts = |transaction: &mut Transaction, unwanted: &str| {
            for Entry { writes, .. } in &mut transaction.entries {
                writes.retain(|write| !matches!(write, Write::Put { kind, .. } if kind == unwanted));
            }
        };
        if world.lies(Lie::DeletionWithoutTombstone) {
            drop_puts(transaction, "tombstone");
        }
        if world.lies(Lie::JobsAreNotStored) {
            drop_puts(transaction, "job");
        }
        if world.lies(Lie::StoreTakesTwoWriters)
            && let Ok(now) = self.store.load().await
        {
            transaction.epoch = now.epoch;
            transaction.expected_serial = now.serial;
            for (entry, serial) in transaction.entries.iter_mut().zip(now.serial + 1..) {
                entry.log.serial = serial;
            }
        }
    }
}

/// The name of a logged command.
fn short(command: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(command).unwrap_or_default();
    value["command"].as_str().unwrap_or("?").to_owned()
}

impl Store for Mount {
    fn load(&self) -> Pending<'_, Loaded> {
        Box::pin(async move {
            let mut loaded = self.store.load().await?;
            self.disk.checks.loaded(&loaded);
            if self.disk.world.lies(Lie::AllocatorSeesStaleNumbers) {
                let newest = loaded.records.iter().filter(|record| record.kind == "number").map(|record| record.serial).max();
                loaded.records.retain(|record| record.kind != "number" || Some(record.serial) != newest);
            }
            Ok(loaded)
        })
    }

    fn commit(&self, transaction: Transaction) -> Pending<'_, u64> {
        Box::pin(self.put(transaction))
    }

    fn take_epoch(&self, expected: u64) -> Pending<'_, u64> {
        Box::pin(async move {
            let epoch = self.store.take_epoch(expected).await?;
            self.disk.checks.epoch_taken(epoch);
            Ok(epoch)
        })
    }

    fn found(&self, cluster: Cluster) -> Pending<'_, Cluster> {
        Box::pin(async move {
            let cluster = self.store.found(cluster).await?;
            self.disk.checks.founded(&cluster.id);
            Ok(cluster)
        })
    }

    fn log(&self, after: u64, limit: usize) -> Pending<'_, Vec<LogEntry>> {
        self.store.log(after, limit)
    }

    fn audit(&self, filter: LogFilter, limit: usize) -> Pending<'_, Vec<LogEntry>> {
        self.store.audit(filter, limit)
    }

    fn history(&self, kind: &str, key: &str, before: Option<u64>, limit: usize) -> Pending<'_, Vec<Past>> {
        self.store.history(kind, key, before, limit)
    }

    fn trim_log(&self, before_ms: i64) -> Pending<'_, u64> {
        self.store.trim_log(before_ms)
    }

    fn quarantine(&self, kind: &str, key: &str, why: &str, now_ms: i64) -> Pending<'_, ()> {
        self.disk.world.violate(crate::world::Law::Log, format!("a record that was written cannot be read: {kind} {key}: {why}"));
        self.store.quarantine(kind, key, why, now_ms)
    }

    fn release(&self, kind: &str, key: &str) -> Pending<'_, Record> {
        self.store.release(kind, key)
    }

    fn restore(&self, state: Loaded, log: Vec<LogEntry>) -> Pending<'_, ()> {
        self.store.restore(state, log)
    }

    fn close(&self) -> Pending<'_, ()> {
        self.store.close()
    }
}

/// How long a controller stays dead before it is started again.
#[must_use]
pub fn downtime(rng: &mut fastrand::Rng) -> Duration {
    rng.millis(50, 4000)
}
