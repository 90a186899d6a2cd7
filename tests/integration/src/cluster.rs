//! A controller with satellites on this machine, joined as an operator would join them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Daemon, Network, Rest, Scratch, linstor, own_address, tool};

#[path = "cluster_faults.rs"]
mod faults;

pub use faults::SIMULATED_POOL;

/// Time for a satellite to be seen, or for an object to settle.
const SETTLED_LIMIT: Duration = Duration::from_secs(40);

/// The pool that every satellite of a [`Cluster`] has.
pub const POOL: &str = "thin";

/// A controller and its satellites; ends with the value.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder: daemons end first.
    controller: Option<Daemon>,
    controller_listens: String,
    satellites: BTreeMap<String, Satellite>,
    simulations: Vec<Daemon>,
    pools: PathBuf,
    scratch: Scratch,
}

#[derive(Debug)]
struct Satellite {
    listens: String,
    daemon: Option<Daemon>,
    /// Its own network, if it has one.
    network: Option<Network>,
}

impl Cluster {
    /// A fresh controller without nodes.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn empty() -> Result<Self> {
        let scratch = Scratch::new()?;
        let pools = scratch.pools()?;
        let mut cluster = Self {
            controller: None,
            controller_listens: own_address(),
            satellites: BTreeMap::new(),
            simulations: Vec::new(),
            pools,
            scratch,
        };
        cluster.start_controller()?;
        Ok(cluster)
    }

    /// A fresh cluster of these nodes, each with a pool `thin` (`FILE_THIN`).
    ///
    /// # Errors
    /// If something does not come up.
    pub fn with_nodes(names: &[&str]) -> Result<Self> {
        let mut cluster = Self::empty()?;
        for name in names {
            cluster.start_satellite(name, &[])?;
            cluster.join(name)?;
            cluster.make_pool(name)?;
        }
        Ok(cluster)
    }

    /// Starts the controller, again under the address it had.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_controller(&mut self) -> Result<()> {
        self.start_controller_with(&[], &[])
    }

    /// Starts the controller behind another program (`strace …`) or with environment variables.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_controller_with(&mut self, wrapper: &[OsString], environment: &[(&str, &str)]) -> Result<()> {
        let data = self.controller_data()?;
        let words = [OsString::from("controller"), "--data".into(), data.into(), "--listen".into(), self.controller_listens.clone().into()];
        let daemon = Daemon::start_with(&self.scratch, "controller", wrapper, environment, words)?;
        daemon.host_port().clone_into(&mut self.controller_listens);
        self.controller = Some(daemon);
        Ok(())
    }

    /// The controller's data folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn controller_data(&self) -> Result<PathBuf> {
        self.scratch.sub("controller")
    }

    /// Kills the controller with SIGKILL.
    pub fn kill_controller(&mut self) {
        self.controller = None;
    }

    /// The running controller.
    ///
    /// # Errors
    /// If it was killed.
    pub fn controller(&mut self) -> Result<&mut Daemon> {
        self.controller.as_mut().context("the controller does not run")
    }

    /// Starts a satellite of this name, again under the address it had, with environment variables.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_satellite(&mut self, name: &str, environment: &[(&str, &str)]) -> Result<()> {
        self.start_satellite_with(name, &[], environment)
    }

    /// Starts a satellite on a machine that bears its name, as far as it can see. Needs root.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_satellite_as_host(&mut self, name: &str) -> Result<()> {
        let script = "echo \"$0\" > /proc/sys/kernel/hostname && exec \"$@\"";
        let host = [tool("unshare")?.into(), "--uts".into(), "--".into(), "sh".into(), "-c".into(), script.into(), name.into()];
        self.start_satellite_with(name, &host, &[])
    }

    fn start_satellite_with(&mut self, name: &str, wrapper: &[OsString], environment: &[(&str, &str)]) -> Result<()> {
        let data = self.satellite_data(name)?;
        let dev = self.dev_dir(name)?;
        let satellite =
            self.satellites.entry(name.to_owned()).or_insert_with(|| Satellite { listens: own_address(), daemon: None, network: None });
        satellite.daemon = None;
        let listens = satellite.listens.clone();
        let mut words_before = satellite.network.as_ref().map(Network::enter).transpose()?.unwrap_or_default();
        words_before.extend_from_slice(wrapper);
        let words = [
            OsString::from("satellite"),
            "--data".into(),
            data.into(),
            "--listen".into(),
            listens.into(),
            "--name".into(),
            name.into(),
            "--dev-dir".into(),
            dev.into(),
        ];
        let daemon = Daemon::start_with(&self.scratch, &format!("satellite-{name}"), &words_before, environment, words)?;
        if let Some(satellite) = self.satellites.get_mut(name) {
            daemon.host_port().clone_into(&mut satellite.listens);
            satellite.daemon = Some(daemon);
        }
        Ok(())
    }

    /// Kills a satellite with SIGKILL; its address is kept for the next start.
    pub fn kill_satellite(&mut self, name: &str) {
        if let Some(satellite) = self.satellites.get_mut(name) {
            satellite.daemon = None;
        }
    }

    /// A running satellite.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn satellite(&mut self, name: &str) -> Result<&mut Daemon> {
        self.satellites
            .get_mut(name)
            .and_then(|satellite| satellite.daemon.as_mut())
            .with_context(|| format!("satellite {name} does not run"))
    }

    /// Where a satellite's stable paths lie.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn dev_dir(&self, name: &str) -> Result<PathBuf> {
        self.scratch.sub(&format!("dev-{name}"))
    }

    /// Tells the controller of a started satellite, and waits until it is online.
    ///
    /// # Errors
    /// If it is refused or does not come online.
    pub fn join(&self, name: &str) -> Result<()> {
        let satellite = self.satellites.get(name).with_context(|| format!("no satellite {name}"))?;
        let (address, port) = satellite.listens.rsplit_once(':').context("no port")?;
        let interface =
            json!({"name": "default", "address": address, "satellite_port": port.parse::<u16>()?, "satellite_encryption_type": "PLAIN"});
        self.rest().post("/v1/nodes", &json!({"name": name, "type": "SATELLITE", "net_interfaces": [interface]}))?.ok()?;
        self.wait_online(name)
    }

    /// Waits until the controller sees the node.
    ///
    /// # Errors
    /// If it does not.
    pub fn wait_online(&self, name: &str) -> Result<()> {
        self.rest().wait_for(SETTLED_LIMIT, &format!("/v1/nodes/{name}"), |node| node["connection_status"] == "ONLINE").map(drop)
    }

    /// The folder of a node's pool.
    #[must_use]
    pub fn pool_dir(&self, node: &str) -> PathBuf {
        self.pools.join(format!("{node}-thin"))
    }

    /// The folder in which the pools of all nodes lie.
    #[must_use]
    pub fn pools(&self) -> &Path {
        &self.pools
    }

    /// Gives a node its pool `thin`.
    ///
    /// # Errors
    /// If it is refused.
    pub fn make_pool(&self, node: &str) -> Result<()> {
        let folder = self.pool_dir(node);
        fs::create_dir_all(&folder)?;
        // The machine's disk may be nearly full.
        let props = json!({"StorDriver/StorPoolName": folder, "Autoplacer/MinThinFreeSpace": "0%"});
        let body = json!({"storage_pool_name": POOL, "provider_kind": "FILE_THIN", "props": props});
        self.rest().post(&format!("/v1/nodes/{node}/storage-pools"), &body)?.ok().map(drop)
    }

    /// The controller, over HTTP.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(&format!("http://{}", self.controller_listens))
    }

    /// `ADDR:PORT` of the controller.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.controller_listens
    }

    /// The folder of the whole.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Runs the client; it must succeed.
    ///
    /// # Errors
    /// If it does not.
    pub fn linstor(&self, words: &[&str]) -> Result<String> {
        linstor(&self.controller_listens, words)?.ok()
    }

    /// Makes a definition with one volume of this size and one replica on `node`; answers its device.
    ///
    /// # Errors
    /// If a step is refused or no device shows up.
    pub fn make_volume(&self, resource: &str, node: &str, size_kib: u64) -> Result<PathBuf> {
        let rest = self.rest();
        let body = json!({"resource_definition": {"name": resource, "layer_data": [{"type": "STORAGE"}]}});
        rest.post("/v1/resource-definitions", &body)?.ok()?;
        rest.post(
            &format!("/v1/resource-definitions/{resource}/volume-definitions"),
            &json!({"volume_definition": {"size_kib": size_kib}}),
        )?
        .ok()?;
        let replica = json!([{"resource": {"node_name": node, "props": {"StorPoolName": POOL}}}]);
        rest.post(&format!("/v1/resource-definitions/{resource}/resources"), &replica)?.ok()?;
        self.device(resource, node)
    }

    /// The device of a resource's first volume on a node, once it is there.
    ///
    /// # Errors
    /// If it does not show up.
    pub fn device(&self, resource: &str, node: &str) -> Result<PathBuf> {
        let path = format!("/v1/resource-definitions/{resource}/resources/{node}/volumes/0");
        let volume = self
            .rest()
            .wait_for(SETTLED_LIMIT, &path, |volume| volume["device_path"].as_str().is_some_and(|path| Path::new(path).exists()))?;
        device_of(&volume)
    }

    /// Deletes a definition with all that belongs to it, snapshots first, and waits until it is gone.
    ///
    /// # Errors
    /// If it is refused, or is still there after the limit.
    pub fn delete_all_of(&self, resource: &str) -> Result<()> {
        let rest = self.rest();
        let snapshots = rest.get(&format!("/v1/view/snapshots?resources={resource}"))?;
        for snapshot in snapshots.json.as_array().map(Vec::as_slice).unwrap_or_default() {
            let name = snapshot["name"].as_str().context("a snapshot has a name")?;
            rest.delete(&format!("/v1/resource-definitions/{resource}/snapshots/{name}"))?.ok()?;
        }
        // Closing a device that was written makes udev look at it, which holds it open for a moment.
        crate::within(SETTLED_LIMIT, &format!("{resource} may be deleted"), || {
            let reply = rest.delete(&format!("/v1/resource-definitions/{resource}")).map_err(|error| format!("{error:#}"))?;
            if reply.errors() == [997] { Err(reply.text) } else { reply.ok().map_err(|error| format!("{error:#}")) }
        })?;
        crate::within(SETTLED_LIMIT, &format!("{resource} is gone"), || match rest.get(&format!("/v1/resource-definitions/{resource}")) {
            Ok(reply) if reply.status == 404 => Ok(()),
            Ok(reply) => Err(reply.text),
            Err(error) => Err(format!("{error:#}")),
        })
    }

    /// What is left of volumes: loop devices on files of the pools, files in them, links under the folders of devices.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let mut found: Vec<String> =
            self.scratch.loops().iter().map(|(device, file)| format!("{} on {}", device.display(), file.display())).collect();
        let mut folders = vec![self.pools.clone()];
        for name in self.satellites.keys() {
            folders.push(self.dev_dir(name)?);
        }
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        Ok(found)
    }

    /// Ends the controller and every satellite with SIGTERM; each must end within the limit.
    ///
    /// # Errors
    /// If one does not.
    pub fn terminate(&mut self, limit: Duration) -> Result<()> {
        for satellite in self.satellites.values_mut() {
            if let Some(mut daemon) = satellite.daemon.take() {
                daemon.terminate(limit)?;
            }
        }
        for mut daemon in self.controller.take().into_iter().chain(self.simulations.drain(..)) {
            daemon.terminate(limit)?;
        }
        Ok(())
    }

    /// Stops a satellite in its tracks (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&mut self, name: &str, frozen: bool) -> Result<()> {
        self.satellite(name)?.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }
}

fn device_of(volume: &Value) -> Result<PathBuf> {
    match volume["device_path"].as_str() {
        Some(path) => Ok(PathBuf::from(path)),
        None => bail!("a volume without a device: {volume}"),
    }
}
