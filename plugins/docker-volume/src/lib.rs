//! Docker's volumes on a Berth cluster: a volume plugin (`VolumeDriver`) that runs in the satellite and makes, mounts and removes volumes through
//! the [`Storage`](berth_plugin_sdk::storage::Storage) of the host.
//!
//! What is to be done is decided by pure code: [`names`], [`options`], [`mounts`] and [`filling`]; [`machine`] does it to this host, [`volumes`]
//! brings both together, [`server`] speaks Docker's protocol. It touches its socket, its folder of mounts, its file of ids, and the devices of volumes
//! that are marked as Docker's.

pub mod conf;
pub mod filling;
mod listen;
pub mod machine;
pub mod mkfs;
pub mod mounts;
pub mod names;
pub mod options;
mod running;
pub mod server;
pub mod size;
pub mod volumes;

use std::sync::Arc;

use berth_plugin_sdk::Fault;
use berth_plugin_sdk::plugin::{Host, Plugin, PluginManifest, Running};

/// The plugin.
#[derive(Debug, Default)]
pub struct DockerVolume;

impl Plugin for DockerVolume {
    fn manifest(&self) -> PluginManifest {
        running::manifest()
    }

    fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
        running::start(host)
    }
}

berth_plugin_sdk::export_plugin!(DockerVolume);
