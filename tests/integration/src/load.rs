//! Clients that change a cluster all the time, each with a book of what it was promised.
//!
//! A client is the only one that changes the objects of its book, one request at a time. What was acknowledged is certain from
//! then on; a request without an answer leaves it open, until the client has looked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::{Cluster, Dice, Reply, Rest, Severity, mark, marked, size_bytes, until, within};

#[path = "load_checks.rs"]
mod checks;

/// Volumes of one client at a time.
const VOLUMES_MAX: usize = 3;
/// Sizes are multiples of this, so that they are what was asked for with every provider.
const STEP_KIB: u64 = 4096;
/// Refusals that a fault explains: busy, not connected, not enough nodes, in use.
const EXPECTED: [u16; 4] = [992, 995, 996, 997];
/// Time for a controller to be back.
const BACK_LIMIT: Duration = Duration::from_secs(120);
/// Time for everything to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// What is known of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was acknowledged, or seen: it is there.
    Yes,
    /// Its end was acknowledged, or it was seen missing.
    No,
    /// A request is under way, or got no answer.
    Open,
    /// Its end was accepted, and may still go on.
    Ending,
}

/// One volume of a client.
#[derive(Debug, Clone)]
struct Entry {
    /// Counts the changes of this entry.
    version: u64,
    group: usize,
    exists: Known,
    /// The size that it has, or the sizes that it may have.
    sizes: Vec<u64>,
    /// The largest size that was ever asked for.
    largest: u64,
    snapshots: BTreeMap<String, Known>,
    /// Where its data was written; `None`: nothing was.
    written: Option<PathBuf>,
}

type Book = BTreeMap<String, Entry>;

/// A resource group that clients spawn from.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// Whether its volumes have devices on this machine.
    pub devices: bool,
}

/// How a request ended.
enum Outcome {
    /// It is done.
    Done,
    /// It is accepted and goes on.
    Later,
    /// It was refused, or failed.
    Refused(Reply),
    /// No answer.
    Unknown,
}

/// Clients with their books.
#[derive(Debug)]
pub struct Load {
    rest: Rest,
    groups: Vec<Group>,
    books: Vec<Mutex<Book>>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    unanswered: AtomicU64,
    /// Refusals by their number.
    refused: Mutex<BTreeMap<u16, u64>>,
    /// Somebody cancels jobs: what was accepted may be taken back, what was done may not.
    cancelled: AtomicU64,
}

impl Load {
    /// So many clients of a controller.
    #[must_use]
    pub fn new(rest: Rest, clients: usize, groups: &[Group]) -> Self {
        Self {
            rest,
            groups: groups.to_vec(),
            books: (0..clients).map(|_| Mutex::default()).collect(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            refused: Mutex::default(),
            cancelled: AtomicU64::new(0),
        }
    }

    /// Makes the resource groups: `real` on pools of satellites of this machine, `sim` with DRBD on two simulated ones.
    ///
    /// # Errors
    /// If one is refused.
    pub fn make_groups(cluster: &Cluster, groups: &[Group]) -> Result<()> {
        for group in groups {
            let (pool, count, layers) = match group.devices {
                true => (crate::POOL, 1, json!(["STORAGE"])),
                false => (crate::SIMULATED_POOL, 2, json!(["DRBD", "STORAGE"])),
            };
            let filter = json!({"place_count": count, "storage_pool_list": [pool], "layer_stack": layers});
            cluster.rest().post("/v1/resource-groups", &json!({"name": group.name, "select_filter": filter}))?.ok()?;
            cluster.rest().post(&format!("/v1/resource-groups/{}/volume-groups", group.name), &json!({}))?.ok()?;
        }
        Ok(())
    }

    /// Changes that were acknowledged by now.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// What was counted, for people.
    #[must_use]
    pub fn counted(&self) -> String {
        format!(
            "{} changes acknowledged, refused by number {:?}, {} without an answer",
            self.acknowledged(),
            self.refused.lock().unwrap_or_else(PoisonError::into_inner),
            self.unanswered.load(Ordering::SeqCst)
        )
    }

    /// Waits until so many more changes are acknowledged.
    ///
    /// # Errors
    /// If they are not, within two minutes.
    pub fn wait_for_more(&self, more: u64) -> Result<()> {
        let goal = self.acknowledged() + more;
        until(BACK_LIMIT, "changes are acknowledged", || self.acknowledged() >= goal || self.stopped())
    }

    /// Runs the clients while `work` runs on this thread (which must be the one that starts daemons: they end with it).
    ///
    /// # Errors
    /// Those of `work`, else the first of a client.
    pub fn during<T>(&self, dice: &Dice, work: impl FnOnce() -> Result<T>) -> Result<T> {
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        self.stop.store(false, Ordering::SeqCst);
        std::thread::scope(|threads| {
            let stop = Stop(&self.stop);
            let clients: Vec<_> = (0..self.books.len())
                .map(|client| {
                    let mut dice = dice.of_part(u64::try_from(client).unwrap_or(0) + 1);
                    threads.spawn(move || {
                        let served = self.client(client, &mut dice);
                        if served.is_err() {
                            self.stop.store(true, Ordering::SeqCst);
                        }
                        served.with_context(|| format!("client {client}"))
                    })
                })
                .collect();
            let worked = work();
            drop(stop);
            let mut served = Ok(());
            for client in clients {
                let one = client.join().map_err(|_| anyhow!("a client panicked"))?;
                served = served.and(one);
            }
            served?;
            worked
        })
    }

    /// Cancels a job that is open just now, if there is one; answers whether that was accepted.
    ///
    /// # Errors
    /// If the controller does not answer, or answers with something that is no outcome of a cancel.
    pub fn cancel_one(&self, dice: &mut Dice) -> Result<bool> {
        let jobs = self.rest.get("/v1/berth/jobs")?.ok()?;
        let Some(job) = dice.pick(jobs.json.as_array().map(Vec::as_slice).unwrap_or_default()) else { return Ok(false) };
        let id = job["uuid"].as_str().with_context(|| format!("a job without an id: {job}"))?;
        self.cancelled.fetch_add(1, Ordering::SeqCst);
        let reply = self.rest.delete(&format!("/v1/berth/jobs/{id}"))?;
        // It may have ended meanwhile, be past the point, or its undoing may be replaced by the client's next request.
        let refused = reply.errors().iter().all(|number| [399, 992, 998].contains(number));
        ensure!(reply.status < 400 || refused, "cancel of {job}: {} {}", reply.status, reply.text);
        Ok(reply.status < 400)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn book(&self, client: usize) -> MutexGuard<'_, Book> {
        self.books[client].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, client: usize, name: &str, edit: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.book(client).get_mut(name) {
            entry.version += 1;
            edit(entry);
        }
    }

    fn client(&self, client: usize, dice: &mut Dice) -> Result<()> {
        let mut number = self.book(client).len();
        while !self.stopped() {
            let alive: Vec<(String, Entry)> = self
                .book(client)
                .iter()
                .filter(|(_, entry)| entry.exists == Known::Yes)
                .map(|(name, entry)| (name.clone(), entry.clone()))
                .collect();
            match (alive.len(), dice.below(100)) {
                (0, _) | (1..VOLUMES_MAX, 0..40) => {
                    let name = format!("c{client}-{number}");
                    number += 1;
                    self.create(client, &name, dice)?;
                }
                (_, draw) => {
                    let Some((name, entry)) = dice.pick(&alive) else { continue };
                    match draw {
                        40..55 => self.grow(client, name, entry)?,
                        55..75 => self.snapshot(client, name, entry)?,
                        75..82 => self.drop_snapshot(client, name, entry)?,
                        _ => self.delete(client, name)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn create(&self, client: usize, name: &str, dice: &mut Dice) -> Result<()> {
        let group = usize::try_from(dice.below(u64::try_from(self.groups.len()).unwrap_or(1))).unwrap_or(0);
        let size = STEP_KIB * (1 + dice.below(4));
        let sizes = vec![size];
        let entry = Entry { version: 0, group, exists: Known::Open, sizes, largest: size, snapshots: BTreeMap::new(), written: None };
        self.book(client).insert(name.to_owned(), entry);
        let body = json!({"resource_definition_name": name, "volume_sizes": [size]});
        let path = format!("/v1/resource-groups/{}/spawn", self.groups[group].name);
        match self.ask("POST", &path, Some(&body)) {
            Outcome::Done => {
                self.edit(client, name, |entry| entry.exists = Known::Yes);
                if self.groups[group].devices {
                    self.write(client, name)?;
                }
            }
            Outcome::Later => self.edit(client, name, |entry| entry.exists = Known::Yes),
            Outcome::Refused(_) | Outcome::Unknown => self.look(client, name)?,
        }
        Ok(())
    }

    /// Writes the volume's name to its device, if that is there already.
    fn write(&self, client: usize, name: &str) -> Result<()> {
        let Some(device) = self.device(name)? else { return Ok(()) };
        // A rollback of this client's own would be the only one that may change it.
        mark(&device, name).with_context(|| format!("{name} on {}", device.display()))?;
        self.edit(client, name, |entry| entry.written = Some(device));
        Ok(())
    }

    /// The device of a volume on this machine, as the controller says; `None` if it does not say.
    fn device(&self, name: &str) -> Result<Option<PathBuf>> {
        let Ok(reply) = self.rest.get(&format!("/v1/view/resources?resources={name}")) else { return Ok(None) };
        let device = reply.json[0]["volumes"][0]["device_path"].as_str().map(PathBuf::from);
        Ok(device.filter(|device| device.exists()))
    }

    fn grow(&self, client: usize, name: &str, entry: &Entry) -> Result<()> {
        let [old] = entry.sizes[..] else { return self.look(client, name) };
        let new = old + STEP_KIB;
        self.edit(client, name, |entry| (entry.sizes, entry.largest) = (vec![old, new], entry.largest.max(new)));
        let path = format!("/v1/resource-definitions/{name}/volume-definitions/0");
        match self.ask("PUT", &path, Some(&json!({"size_kib": new}))) {
            Outcome::Done => self.edit(client, name, |entry| entry.sizes = vec![new]),
            Outcome::Later | Outcome::Unknown => {}
            Outcome::Refused(_) => self.look(client, name)?,
        }
        Ok(())
    }

    fn snapshot(&self, client: usize, name: &str, entry: &Entry) -> Result<()> {
        let snapshot = format!("s{}", entry.snapshots.len());
        self.edit(client, name, |entry| {
            entry.snapshots.insert(snapshot.clone(), Known::Open);
        });
        let answer = self.ask("POST", &format!("/v1/resource-definitions/{name}/snapshots"), Some(&json!({"name": snapshot})));
        // One that failed may be shown for a while, or be taken back.
        if let Outcome::Done = answer {
            self.edit(client, name, |entry| {
                entry.snapshots.insert(snapshot, Known::Yes);
            });
        }
        Ok(())
    }

    fn drop_snapshot(&self, client: usize, name: &str, entry: &Entry) -> Result<()> {
        let Some(snapshot) = entry.snapshots.iter().find(|(_, known)| **known == Known::Yes).map(|(name, _)| name.clone()) else {
            return Ok(());
        };
        let note = |known| {
            self.edit(client, name, |entry| {
                entry.snapshots.insert(snapshot.clone(), known);
            });
        };
        note(Known::Open);
        match self.ask("DELETE", &format!("/v1/resource-definitions/{name}/snapshots/{snapshot}"), None) {
            Outcome::Done => note(Known::No),
            Outcome::Later => note(Known::Ending),
            Outcome::Refused(_) | Outcome::Unknown => {}
        }
        Ok(())
    }

    fn delete(&self, client: usize, name: &str) -> Result<()> {
        // What has snapshots cannot be deleted; those whose end is open are asked for, too.
        let snapshots: Vec<String> = self
            .book(client)
            .get(name)
            .into_iter()
            .flat_map(|entry| &entry.snapshots)
            .filter(|(_, known)| **known != Known::No)
            .map(|(name, _)| name.clone())
            .collect();
        for snapshot in snapshots {
            self.edit(client, name, |entry| {
                entry.snapshots.insert(snapshot.clone(), Known::Open);
            });
            let known = match self.ask("DELETE", &format!("/v1/resource-definitions/{name}/snapshots/{snapshot}"), None) {
                Outcome::Done => Known::No,
                Outcome::Later => Known::Ending,
                Outcome::Refused(reply) if reply.status == 404 => Known::No,
                // Another time.
                Outcome::Refused(_) | Outcome::Unknown => return Ok(()),
            };
            self.edit(client, name, |entry| {
                entry.snapshots.insert(snapshot, known);
            });
        }
        self.edit(client, name, |entry| entry.exists = Known::Open);
        match self.ask("DELETE", &format!("/v1/resource-definitions/{name}"), None) {
            Outcome::Done => self.edit(client, name, |entry| entry.exists = Known::No),
            Outcome::Later => self.edit(client, name, |entry| entry.exists = Known::Ending),
            Outcome::Refused(_) | Outcome::Unknown => self.look(client, name)?,
        }
        Ok(())
    }

    /// Sends one request and says how it ended. Without an answer, it waits until there is a controller again.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Outcome {
        match self.rest.call(method, path, body.map(Value::to_string)) {
            Ok(reply) if reply.status < 400 && reply.errors().is_empty() => {
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
                let later = reply.entries().iter().any(|entry| entry.severity == Severity::Warn && entry.number == 1002);
                if later { Outcome::Later } else { Outcome::Done }
            }
            Ok(reply) => {
                let why = reply.errors().first().copied().unwrap_or(0);
                let cancelled = why == 998 && self.cancelled.load(Ordering::SeqCst) > 0;
                if !EXPECTED.contains(&why) && !cancelled {
                    println!("refused for an odd reason: {} {} {}", reply.request, reply.status, reply.text);
                }
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
                Outcome::Refused(reply)
            }
            Err(_) => {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                until(BACK_LIMIT, "the controller is back", || self.stopped() || self.rest.get("/v1/controller/version").is_ok()).ok();
                Outcome::Unknown
            }
        }
    }

    /// Settles by a look what a request without an answer left open.
    fn look(&self, client: usize, name: &str) -> Result<()> {
        if self.cancelled.load(Ordering::SeqCst) > 0 {
            // A cancelled job leaves another one, which may be cancelled, too: nothing is certain before the last one has ended.
            let path = format!("/v1/berth/jobs?resource={name}");
            self.rest.wait_for(BACK_LIMIT, &path, |jobs| jobs.as_array().is_some_and(Vec::is_empty))?;
        }
        let definition = within(BACK_LIMIT, "the controller answers", || {
            self.rest.get(&format!("/v1/resource-definitions?resource_definitions={name}&with_volume_definitions=true"))
        })?;
        let resources = within(BACK_LIMIT, "the controller answers", || self.rest.get(&format!("/v1/view/resources?resources={name}")))?;
        let found = definition.json.as_array().with_context(|| format!("no list: {}", definition.text))?.first().cloned();
        let Some(found) = found else {
            self.edit(client, name, |entry| entry.exists = Known::No);
            return Ok(());
        };
        let entry = self.book(client).get(name).cloned().context("an entry that is looked at is in the book")?;
        let size = found["volume_definitions"][0]["size_kib"].as_u64();
        let replicas = resources.json.as_array().map_or(0, Vec::len);
        let ends = checks::flags(&found)
            .chain(resources.json.as_array().into_iter().flatten().flat_map(checks::flags))
            .any(|flag| flag == "DELETE");
        if ends {
            // Its end was accepted, whether or not we heard of it.
            self.edit(client, name, |entry| entry.exists = Known::Ending);
            return Ok(());
        }
        // One command made it: there is all of it or nothing.
        ensure!(replicas > 0, "{name} is there without a replica: {} {}", definition.text, resources.text);
        ensure!(size.is_some_and(|size| entry.sizes.contains(&size)), "{name} has {size:?} KiB, may have {:?}", entry.sizes);
        self.edit(client, name, |entry| {
            entry.exists = Known::Yes;
            // A job that grows it may still fail and put the old size back.
            if !checks::flags(&found["volume_definitions"][0]).any(|flag| flag == "RESIZE") {
                entry.sizes.retain(|known| Some(*known) == size);
            }
        });
        Ok(())
    }
}

fn holds_data(device: &Path, name: &str) -> Result<()> {
    let seen = marked(device, name.len())?;
    if seen != name {
        bail!("{} should hold '{name}', holds {seen:?}", device.display());
    }
    Ok(())
}

/// Whether a device is as large as it should be: a range of KiB.
fn has_size(device: &Path, kib: RangeInclusive<u64>) -> Result<()> {
    let seen = size_bytes(device)?;
    let fits = seen.is_multiple_of(1024) && kib.contains(&(seen / 1024));
    ensure!(fits, "{} has {seen} bytes instead of {kib:?} KiB", device.display());
    Ok(())
}
