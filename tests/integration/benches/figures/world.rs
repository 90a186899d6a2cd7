//! A controller with many simulated satellites: farms of them, a process each, reached over the real wire.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_integration::{Daemon, Rest, SIMULATED_POOL, Samples, Scratch, lasts, own_address, within};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{Bench, per_second, seconds, timed};
use crate::clients::{CLIENTS, make_group, spawn, together};
use crate::machine::rss_mib;

/// How much longer every item of a simulated satellite takes.
pub const LATENCY_MS: u32 = 1;
/// Replicas of each definition.
pub const REPLICAS: usize = 3;
/// Satellites in one process.
const FARM: usize = 100;
/// Longest wait for a large cluster to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(400);

/// Between two looks at a large cluster: looking costs it something.
const PAUSE: Duration = Duration::from_millis(50);

/// Simulated satellites in one process.
struct Farm {
    daemon: Option<Daemon>,
    names: Vec<String>,
    addresses: Vec<String>,
}

/// The cluster; ends with the value.
pub struct World {
    // Before the folder: daemons end first.
    controller: Option<Daemon>,
    listens: String,
    farms: Vec<Farm>,
    /// Definitions that were spawned: `r_0` and so on, each with [`REPLICAS`] resources.
    pub definitions: usize,
    scratch: Scratch,
}

impl World {
    /// A controller and so many online nodes, each with a pool of 1 TiB, and a group `bench` of three replicas under DRBD.
    pub fn new(nodes: usize) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut world = Self { controller: None, listens: own_address(), farms: Vec::new(), definitions: 0, scratch };
        world.start_controller()?;
        let names: Vec<String> = (1..=nodes).map(|number| format!("sim-{number:04}")).collect();
        for names in names.chunks(FARM) {
            let farm = Farm { daemon: None, names: names.to_vec(), addresses: vec![own_address(); names.len()] };
            world.farms.push(farm);
            world.start_farm(world.farms.len() - 1)?;
        }
        world.join_all()?;
        let rest = world.rest();
        make_group(&rest, SIMULATED_POOL, REPLICAS, &["DRBD", "STORAGE"])?;
        // A satellite has so many ports in LINSTOR's range that 1,000 resources fill it.
        let ranges = json!({"override_props": {"TcpPortAutoRange": "7000-60000", "MinorNrAutoRange": "1000-900000"}});
        rest.post("/v1/controller/properties", &ranges)?.ok()?;
        Ok(world)
    }

    fn join_all(&self) -> Result<()> {
        let rest = self.rest();
        let all: Vec<(&String, &String)> = self.farms.iter().flat_map(|farm| farm.names.iter().zip(&farm.addresses)).collect();
        together(CLIENTS, all.len(), |at| {
            let (name, listens) = all[at];
            let (address, port) = listens.rsplit_once(':').context("no port")?;
            let port: u16 = port.parse().with_context(|| format!("{listens} has no port"))?;
            let interface = json!({"name": "default", "address": address, "satellite_port": port, "satellite_encryption_type": "PLAIN"});
            rest.post("/v1/nodes", &json!({"name": name, "type": "SATELLITE", "net_interfaces": [interface]}))?.ok()?;
            Ok(())
        })?;
        self.wait_online(0)?;
        together(CLIENTS, all.len(), |at| {
            let props = json!({"StorDriver/StorPoolName": "sim/thin"});
            let body = json!({"storage_pool_name": SIMULATED_POOL, "provider_kind": "LVM_THIN", "props": props});
            rest.post(&format!("/v1/nodes/{}/storage-pools", all[at].0), &body)?.ok().map(drop)
        })?;
        Ok(())
    }

    /// Starts the controller, again under the address it had; answers how long its first answer took, in milliseconds.
    pub fn start_controller(&mut self) -> Result<f64> {
        let data = self.scratch.sub("controller")?;
        timed(|| {
            let words = [OsString::from("controller"), "--data".into(), data.into(), "--listen".into(), self.listens.clone().into()];
            let daemon = Daemon::start(&self.scratch, "controller", words)?;
            daemon.host_port().clone_into(&mut self.listens);
            self.controller = Some(daemon);
            // Not the version, which could be told without a state.
            self.rest().get("/v1/view/resources?limit=1")?.ok()
        })
    }

    /// Kills the controller with SIGKILL.
    pub fn kill_controller(&mut self) {
        self.controller = None;
    }

    /// The controller, over HTTP.
    pub fn rest(&self) -> Rest {
        Rest::new(&format!("http://{}", self.listens))
    }

    /// The controller's memory, in MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        rss_mib(self.controller.as_ref().context("the controller does not run")?.pid())
    }

    /// The memory of all simulated satellites, in MiB.
    pub fn satellites_rss_mib(&self) -> Result<f64> {
        self.farms.iter().filter_map(|farm| farm.daemon.as_ref()).map(|daemon| rss_mib(daemon.pid())).sum()
    }

    /// Resources that there are.
    pub fn resources(&self) -> usize {
        self.definitions * REPLICAS
    }

    /// Spawns definitions by 16 clients until there are so many resources; answers how many a second, and how long each took.
    pub fn fill(&mut self, bench: &Bench, resources: usize) -> Result<(f64, Samples)> {
        let goal = resources.div_ceil(REPLICAS);
        let first = self.definitions;
        let more = goal.saturating_sub(first);
        bench.tell(&format!("{more} definitions are spawned, {REPLICAS} replicas each"));
        let rest = self.rest();
        let (time, times) = together(CLIENTS, more, |at| spawn(&rest, &format!("r_{}", first + at)))?;
        self.definitions = goal.max(first);
        Ok((per_second(more, time), times))
    }

    /// Starts the satellites of a farm, again under the addresses they had. They have forgotten everything.
    pub fn start_farm(&mut self, at: usize) -> Result<()> {
        let data = self.scratch.sub(&format!("farm-{at}"))?;
        let farm = self.farms.get_mut(at).context("no such farm")?;
        let mut words = vec![OsString::from("simulate"), "--data".into(), data.into(), format!("--latency-ms={LATENCY_MS}").into()];
        words.push("--listen".into());
        words.extend(farm.addresses.iter().map(OsString::from));
        words.push("--name".into());
        words.extend(farm.names.iter().map(OsString::from));
        let daemon = Daemon::start(&self.scratch, &format!("farm-{at}"), words)?;
        farm.addresses = daemon.address().split(' ').map(str::to_owned).collect();
        ensure!(farm.addresses.len() == farm.names.len(), "{} of {} satellites listen", farm.addresses.len(), farm.names.len());
        farm.daemon = Some(daemon);
        Ok(())
    }

    /// Kills the satellites of a farm with SIGKILL.
    pub fn kill_farm(&mut self, at: usize) -> Result<()> {
        self.farms.get_mut(at).context("no such farm")?.daemon = None;
        Ok(())
    }

    /// Stops the satellites of a farm in their tracks (SIGSTOP), or lets them go on (SIGCONT).
    pub fn freeze_farm(&self, at: usize, frozen: bool) -> Result<()> {
        let daemon = self.farms.get(at).and_then(|farm| farm.daemon.as_ref()).context("no such farm")?;
        daemon.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// How many nodes a farm has.
    pub fn farm_size(&self, at: usize) -> usize {
        self.farms.get(at).map_or(0, |farm| farm.names.len())
    }

    /// A node of a farm.
    pub fn node(&self, farm: usize) -> Result<&str> {
        self.farms.get(farm).and_then(|farm| farm.names.first()).map(String::as_str).context("no such farm")
    }

    /// Waits until all nodes but so many are online, and these are not; answers how long that took, in seconds.
    pub fn wait_online(&self, but: usize) -> Result<f64> {
        let from = Instant::now();
        let all: usize = self.farms.iter().map(|farm| farm.names.len()).sum();
        within(REST_LIMIT, &format!("{but} of {all} nodes are away"), || {
            let nodes = self.list("/v1/nodes")?;
            let online = nodes.iter().filter(|node| node["connection_status"] == "ONLINE").count();
            if online + but == all && nodes.len() == all {
                return Ok(());
            }
            lasts(PAUSE);
            Err(format!("{online} of {} are online", nodes.len()))
        })?;
        Ok(seconds(from))
    }

    /// Waits until every node is online, no job is open, and every state of a resource is known; answers how long that took, in seconds.
    pub fn wait_in_sync(&self) -> Result<f64> {
        let from = Instant::now();
        self.wait_online(0)?;
        within(REST_LIMIT, "every state is known and no job is open", || {
            let jobs = self.list("/v1/berth/jobs?limit=1")?;
            // Metrics of a large cluster cost something: only when nothing else is open.
            let unknown = if jobs.is_empty() { self.unknown_states()? } else { f64::NAN };
            if unknown == 0.0 {
                return Ok(());
            }
            lasts(PAUSE);
            Err(format!("{unknown} unknown, jobs: {jobs:?}"))
        })?;
        Ok(seconds(from))
    }

    /// Sum of `berth_items_unknown` over all nodes.
    pub fn unknown_states(&self) -> Result<f64, String> {
        let reply = self.rest().get("/metrics").and_then(berth_integration::Reply::ok).map_err(|error| format!("{error:#}"))?;
        let of = |line: &str| line.starts_with("berth_items_unknown{").then(|| line.rsplit(' ').next()?.parse::<f64>().ok()).flatten();
        Ok(reply.text.lines().filter_map(of).sum())
    }

    /// A list of the controller's.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, String> {
        let reply = self.rest().get(path).and_then(berth_integration::Reply::ok).map_err(|error| format!("{error:#}"))?;
        reply.json.as_array().cloned().ok_or_else(|| format!("GET {path} is no list"))
    }
}
