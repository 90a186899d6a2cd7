//! Makes the development cluster out of its processes, through the public REST API like everybody else.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use berth_client::{Call, Client, Endpoint, Options, Severity};
use serde_json::{Value, json};

use super::processes::Satellite;

/// Longest wait for the nodes to come online.
const ONLINE_WITHIN: Duration = Duration::from_secs(30);
/// Pool of satellites with devices.
const POOL: &str = "DfltStorPool";
/// Pool of simulated satellites.
const SIMULATED_POOL: &str = "sim";

/// Registers the satellites and their pools, as far as they are not there yet, and waits until all are online.
pub async fn grow(url: &str, satellites: &[Satellite], pools: &Path) -> anyhow::Result<()> {
    let endpoint = Endpoint::parse(url).with_context(|| format!("cannot use the address {url}"))?;
    let client = Client::new(vec![endpoint], Options { timeout: Some(Duration::from_secs(60)), ..Options::default() })?;
    let nodes = get(&client, &Call::get(&["nodes"])).await?;
    for satellite in satellites {
        match find(&nodes, "name", &satellite.name) {
            None => create_node(&client, satellite).await?,
            Some(node) => follow_port(&client, satellite, node).await?,
        }
    }
    wait_online(&client, satellites).await?;
    let known = get(&client, &Call::get(&["view", "storage-pools"])).await?;
    for satellite in satellites {
        let name = if satellite.simulated { SIMULATED_POOL } else { POOL };
        let there = known
            .as_array()
            .into_iter()
            .flatten()
            .any(|pool| pool["node_name"].as_str() == Some(&satellite.name) && pool["storage_pool_name"].as_str() == Some(name));
        if !there {
            create_pool(&client, satellite, name, pools).await?;
        }
    }
    Ok(())
}

fn find<'v>(list: &'v Value, key: &str, value: &str) -> Option<&'v Value> {
    list.as_array()?.iter().find(|item| item[key].as_str() == Some(value))
}

async fn create_node(client: &Client, satellite: &Satellite) -> anyhow::Result<()> {
    let body = json!({
        "name": satellite.name,
        "type": "SATELLITE",
        "net_interfaces": [{
            "name": "default", "address": "127.0.0.1", "satellite_port": satellite.port, "satellite_encryption_type": "PLAIN",
        }],
    });
    send(client, &Call::post(&["nodes"]).body(body)).await
}

/// A satellite that found its old port taken has another one now.
async fn follow_port(client: &Client, satellite: &Satellite, node: &Value) -> anyhow::Result<()> {
    let interface = node["net_interfaces"].as_array().and_then(|list| list.first()).context("a node without net interface")?;
    if interface["satellite_port"].as_u64() == Some(u64::from(satellite.port)) {
        return Ok(());
    }
    let name = interface["name"].as_str().unwrap_or("default").to_owned();
    let body = json!({"name": name, "address": "127.0.0.1", "satellite_port": satellite.port, "satellite_encryption_type": "PLAIN"});
    send(client, &Call::put(&["nodes", &satellite.name, "net-interfaces", &name]).body(body)).await
}

async fn create_pool(client: &Client, satellite: &Satellite, name: &str, pools: &Path) -> anyhow::Result<()> {
    let (kind, place) = if satellite.simulated {
        ("LVM_THIN", "sim/thin".to_owned())
    } else {
        let folder = pools.join(&satellite.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        ("FILE_THIN", folder.to_string_lossy().into_owned())
    };
    // A trial shall run on a disk that is nearly full, too.
    let props = json!({"StorDriver/StorPoolName": place, "Autoplacer/MinThinFreeSpace": "0%"});
    let body = json!({"storage_pool_name": name, "provider_kind": kind, "props": props});
    send(client, &Call::post(&["nodes", &satellite.name, "storage-pools"]).body(body)).await
}

async fn wait_online(client: &Client, satellites: &[Satellite]) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + ONLINE_WITHIN;
    loop {
        let nodes = get(client, &Call::get(&["nodes"])).await?;
        let missing: Vec<&str> = satellites
            .iter()
            .map(|satellite| satellite.name.as_str())
            .filter(|name| find(&nodes, "name", name).is_none_or(|node| node["connection_status"].as_str() != Some("ONLINE")))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            bail!("these nodes do not come online: {}", missing.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn get(client: &Client, call: &Call) -> anyhow::Result<Value> {
    let response = client.send(call).await?;
    if !response.ok() {
        bail!("{} answers {}: {}", call.target(), response.status, String::from_utf8_lossy(&response.body));
    }
    response.json().with_context(|| format!("{} does not answer with JSON", call.target()))
}

async fn send(client: &Client, call: &Call) -> anyhow::Result<()> {
    let response = client.send(call).await?;
    let replies = response.replies().unwrap_or_default();
    match replies.iter().find(|reply| reply.severity() == Severity::Error) {
        Some(reply) => bail!("{} {}: {}", call.method, call.target(), reply.message.as_deref().unwrap_or_default()),
        None if response.ok() => Ok(()),
        None => bail!("{} {} answers {}", call.method, call.target(), response.status),
    }
}
