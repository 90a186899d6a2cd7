//! What this machine can do, and why not the rest.

use std::collections::BTreeMap;
use std::path::Path;

use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::observed::Capabilities;

/// Finds out what the machine can do. `attaches` of the result: whether loop devices can be used.
#[must_use]
pub fn probe() -> (Capabilities, bool) {
    let names = rustix::system::uname();
    let root = rustix::process::geteuid().is_root();
    let attaches = root && on_path("losetup") && Path::new("/dev/loop-control").exists();
    let mut unsupported_providers = BTreeMap::new();
    let mut providers = Vec::new();
    // What providers can do is known when they were found.
    for kind in ProviderKind::ALL.iter().copied() {
        match kind {
            ProviderKind::Diskless => providers.push(kind),
            ProviderKind::Plugin => {}
            ProviderKind::File
            | ProviderKind::FileThin
            | ProviderKind::Lvm
            | ProviderKind::LvmThin
            | ProviderKind::Zfs
            | ProviderKind::ZfsThin
            | ProviderKind::Spdk
            | ProviderKind::RemoteSpdk
            | ProviderKind::EbsInit
            | ProviderKind::EbsTarget
            | ProviderKind::StorageSpaces
            | ProviderKind::StorageSpacesThin => {
                unsupported_providers.insert(kind, vec![format!("no provider for {kind} is installed")]);
            }
        }
    }
    let mut unsupported_layers: BTreeMap<LayerKind, Vec<String>> = BTreeMap::new();
    for layer in LayerKind::ALL.iter().copied().filter(|layer| *layer != LayerKind::Storage) {
        unsupported_layers.insert(layer, lacks(layer));
    }
    for (lacking, why) in [(!root, "the satellite does not run as root"), (!on_path("losetup"), "losetup is not installed")] {
        if lacking {
            tracing::warn!("volumes are served as plain files: {why}");
        }
    }
    let capabilities = Capabilities {
        uname: names.nodename().to_string_lossy().into_owned(),
        os: os_release().unwrap_or_default(),
        kernel: names.release().to_string_lossy().into_owned(),
        drbd: std::fs::read_to_string("/sys/module/drbd/version").map(|text| text.trim().to_owned()).unwrap_or_default(),
        root: attaches,
        providers,
        layers: vec![LayerKind::Storage],
        unsupported_providers,
        unsupported_layers,
        plugins: Vec::new(),
        file_folders: Vec::new(),
    };
    (capabilities, attaches)
}

/// Why a layer does not work here: what the machine lacks, and that this version does not do it.
fn lacks(layer: LayerKind) -> Vec<String> {
    let (modules, tools): (&[&str], &[&str]) = match layer {
        LayerKind::Drbd => (&["drbd"], &["drbdadm", "drbdsetup"]),
        LayerKind::Luks => (&["dm_crypt"], &["cryptsetup"]),
        LayerKind::Nvme => (&["nvmet", "nvme_tcp"], &["nvme"]),
        LayerKind::Writecache => (&["dm_writecache"], &["dmsetup"]),
        LayerKind::Cache => (&["dm_cache"], &["dmsetup"]),
        LayerKind::Bcache => (&["bcache"], &["make-bcache"]),
        LayerKind::Storage => (&[], &[]),
    };
    let absent_module = |name: &&&str| !Path::new("/sys/module").join(name).exists();
    let absent_tool = |name: &&&str| !on_path(name);
    let mut why: Vec<String> =
        modules.iter().filter(absent_module).map(|name| format!("the kernel module '{name}' is not loaded")).collect();
    why.extend(tools.iter().filter(absent_tool).map(|name| format!("'{name}' is not installed")));
    why.push(format!("this version of the satellite does not do the layer {layer}"));
    why
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn os_release() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}
