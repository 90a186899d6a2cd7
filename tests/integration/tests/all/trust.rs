//! Who may reach what: the table of processes in ARCHITECTURE.md.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, Rest, Scratch};

fn only_for_its_owner(file: &Path) -> Result<()> {
    let mode = fs::metadata(file).with_context(|| file.display().to_string())?.permissions().mode() & 0o777;
    ensure!(mode & 0o077 == 0, "{} has mode {mode:o}", file.display());
    Ok(())
}

#[test]
fn secrets_and_sockets_belong_to_their_owner() -> Result<()> {
    let cluster = Cluster::with_nodes(&["alpha"])?;
    only_for_its_owner(&cluster.controller_data()?.join("berth.db"))?;
    let socket = cluster.scratch().sub("satellite-alpha")?.join("satellite.sock");
    only_for_its_owner(&socket)?;
    ensure!(fs::metadata(&socket)?.file_type().is_socket());
    Ok(())
}

#[test]
fn a_cluster_on_one_machine_binds_loopback_only() -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster").into_os_string();
    let words = ["dev".into(), "--listen".into(), "127.0.0.1:0".into(), "--nodes".into(), "1".into(), "--dir".into(), dir];
    let dev = Daemon::start(&scratch, "dev", words)?;
    ensure!(dev.host_port().starts_with("127.0.0.1:"), "{}", dev.address());
    let nodes = Rest::new(dev.address()).get("/v1/nodes")?.ok()?;
    for node in nodes.json.as_array().context("a list")? {
        for interface in node["net_interfaces"].as_array().context("interfaces")? {
            ensure!(interface["address"] == "127.0.0.1", "{interface}");
        }
    }
    Ok(())
}

#[test]
fn no_answer_shows_a_secret() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &serde_json::json!({"resource_definition": {"name": "web"}}))?.ok()?;
    for path in ["/v1/resource-definitions", "/v1/resource-definitions/web", "/v1/view/resources", "/v1/error-reports"] {
        let text = rest.get(path)?.ok()?.text;
        ensure!(!text.contains("secret\":"), "{path}: {text}");
    }
    Ok(())
}
