//! What tests of faults need of a cluster: simulated satellites, satellites behind a link of their own, frozen daemons.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::{Cluster, Satellite};
use crate::{Daemon, Network, within};

/// The pool that every simulated satellite has: 1 TiB, `LVM_THIN`.
pub const SIMULATED_POOL: &str = "sim";

impl Cluster {
    /// Starts simulated satellites in one process, tells the controller of them, and makes their pools.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn add_simulated(&mut self, names: &[&str]) -> Result<()> {
        self.add_simulated_with(names, &[])
    }

    /// As [`Cluster::add_simulated`], with further options of `berth simulate`.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn add_simulated_with(&mut self, names: &[&str], options: &[&str]) -> Result<()> {
        let mut words =
            vec![OsString::from("simulate"), "--data".into(), self.scratch.sub(&format!("simulated-{}", self.simulations.len()))?.into()];
        words.extend(options.iter().map(OsString::from));
        words.push("--listen".into());
        words.extend(names.iter().map(|_| OsString::from("127.0.0.1:0")));
        words.push("--name".into());
        words.extend(names.iter().map(OsString::from));
        let daemon = Daemon::start(&self.scratch, &format!("simulated-{}", self.simulations.len()), words)?;
        let addresses: Vec<String> = daemon.address().split(' ').map(str::to_owned).collect();
        ensure!(addresses.len() == names.len(), "{} of {} simulated satellites listen", addresses.len(), names.len());
        for (name, listens) in names.iter().zip(addresses) {
            self.satellites.insert((*name).to_owned(), Satellite { listens, daemon: None, network: None });
        }
        self.simulations.push(daemon);
        for name in names {
            self.join(name)?;
            let body =
                json!({"storage_pool_name": SIMULATED_POOL, "provider_kind": "LVM_THIN", "props": {"StorDriver/StorPoolName": "sim/thin"}});
            self.rest().post(&format!("/v1/nodes/{name}/storage-pools"), &body)?.ok()?;
        }
        Ok(())
    }

    /// Adds a node with a pool whose satellite is reached over a link that can be cut. `false`, with a note, without root.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn add_linked(&mut self, name: &str) -> Result<bool> {
        let Some(network) = Network::new(&self.scratch, name)? else { return Ok(false) };
        let listens = format!("{}:0", network.address());
        self.satellites.insert(name.to_owned(), Satellite { listens, daemon: None, network: Some(network) });
        self.start_satellite(name, &[])?;
        self.join(name)?;
        self.make_pool(name)?;
        Ok(true)
    }

    /// Adds a node with a pool.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn add_node(&mut self, name: &str) -> Result<()> {
        self.start_satellite(name, &[])?;
        self.join(name)?;
        self.make_pool(name)
    }

    /// The network of a node that was added with [`Cluster::add_linked`].
    ///
    /// # Errors
    /// If it has none.
    pub fn network(&self, name: &str) -> Result<&Network> {
        self.satellites
            .get(name)
            .and_then(|satellite| satellite.network.as_ref())
            .with_context(|| format!("{name} has no network of its own"))
    }

    /// A satellite's data folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn satellite_data(&self, name: &str) -> Result<PathBuf> {
        self.scratch.sub(&format!("satellite-{name}"))
    }

    /// Where a satellite listens.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn satellite_address(&self, name: &str) -> Result<&str> {
        self.satellites.get(name).map(|satellite| satellite.listens.as_str()).with_context(|| format!("no satellite {name}"))
    }

    /// The generation of the last plan that a satellite kept; 0 if there is none.
    ///
    /// # Errors
    /// If its data folder cannot be used.
    pub fn held_generation(&self, name: &str) -> Result<u64> {
        let log = std::fs::read_to_string(self.satellite_data(name)?.join("plan.log")).unwrap_or_default();
        // A kill may have torn the last line.
        let mut plans = log.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        Ok(plans.next().and_then(|plan| plan["generation"].as_u64()).unwrap_or(0))
    }

    /// Ends the controller with SIGTERM, within the limit.
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub fn terminate_controller(&mut self, limit: Duration) -> Result<()> {
        self.controller()?.terminate(limit)?;
        self.controller = None;
        Ok(())
    }

    /// Stops the controller in its tracks (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze_controller(&mut self, frozen: bool) -> Result<()> {
        self.controller()?.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// Waits until the controller sees the node as away.
    ///
    /// # Errors
    /// If it does not.
    pub fn wait_offline(&self, name: &str) -> Result<()> {
        let path = format!("/v1/nodes/{name}");
        self.rest().wait_for(super::SETTLED_LIMIT, &path, |node| node["connection_status"] != "ONLINE").map(drop)
    }

    /// Waits until every node is online and no job is open.
    ///
    /// # Errors
    /// After the limit, with what is open.
    pub fn wait_in_sync(&self, limit: Duration) -> Result<()> {
        let rest = self.rest();
        within(limit, "everything is in sync", || {
            let words = |error: anyhow::Error| format!("{error:#}");
            let nodes = rest.get("/v1/nodes").map_err(words)?;
            let away: Vec<String> = nodes
                .json
                .as_array()
                .into_iter()
                .flatten()
                .filter(|node| node["connection_status"] != "ONLINE")
                .map(|node| format!("{} is {}", node["name"], node["connection_status"]))
                .collect();
            let jobs = rest.get("/v1/berth/jobs").map_err(words)?;
            match away.is_empty() && jobs.json.as_array().is_some_and(Vec::is_empty) {
                true => Ok(()),
                false => Err(format!("{away:?} {} {}", jobs.status, jobs.text)),
            }
        })
    }
}
