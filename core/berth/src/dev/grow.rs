//! Makes the development cluster out of its processes, through the public REST API like everybody else.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use berth_client::{Call, Client, Login, Response, Severity};
use serde_json::{Value, json};

use super::processes::Satellite;
use super::token;

/// Longest wait for the nodes to come online.
const ONLINE_WITHIN: Duration = Duration::from_secs(30);
/// Longest wait for one answer.
pub const WITHIN: Duration = Duration::from_secs(60);
/// Pool of satellites with devices.
const POOL: &str = "DfltStorPool";
/// Pool of simulated satellites.
const SIMULATED_POOL: &str = "sim";

/// Who lets `berth dev` look after its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Nobody is asked for anything.
    Open,
    /// Callers need a token; that of the folder is good.
    Token,
    /// Callers sign in, and nothing in the folder does.
    Closed,
}

/// Registers the satellites and their pools, as far as they are not there yet, and waits until all are online. `token_file` keeps this
/// program's own token; `None`: the cluster has no second start.
///
/// # Errors
/// What the controller refuses, satellites that do not come online, and a change that is needed where nobody lets this program in.
pub async fn grow(url: &str, satellites: &[Satellite], pools: &Path, token_file: Option<&Path>) -> anyhow::Result<Door> {
    let client = token::client(url, Login::None)?;
    let nodes = Call::get(&["nodes"]);
    let first = client.send(&nodes).await?;
    if !matches!(first.status, 401 | 403) {
        register(&client, read(&nodes, &first)?, satellites, pools).await?;
        if let Some(file) = token_file
            && let Err(error) = token::keep(&client, file).await
        {
            eprintln!("NOTE: {error:#}. Should this controller ask for tokens one day, 'berth dev' has none.");
        }
        return Ok(Door::Open);
    }
    let own = match token_file {
        Some(file) => token::read(file)?,
        None => None,
    };
    if let Some(own) = own {
        let client = token::client(url, Login::Bearer(own))?;
        let answer = client.send(&nodes).await?;
        if answer.ok() {
            register(&client, read(&nodes, &answer)?, satellites, pools).await?;
            return Ok(Door::Token);
        }
    }
    closed(satellites, token_file)
}

/// What is possible where nobody lets this program in: everything, as long as nothing must be registered.
fn closed(satellites: &[Satellite], token_file: Option<&Path>) -> anyhow::Result<Door> {
    let what_to_do = match token_file {
        Some(file) => format!(
            "Make a token with 'linstor controller auth create dev', signed in as an administrator, and put it into {} (mode 0600) as {{\"token\": \"...\"}}",
            file.display()
        ),
        None => "Start it without settings for sign-in in the environment".to_owned(),
    };
    let moved: Vec<&str> = satellites.iter().filter(|satellite| !satellite.stays).map(|satellite| satellite.name.as_str()).collect();
    if !moved.is_empty() {
        bail!(
            "the controller asks who calls, and nothing in this folder lets 'berth dev' in, which has to register these nodes or their new \
             ports: {}. {what_to_do}, and start again",
            moved.join(", ")
        );
    }
    eprintln!(
        "NOTE: the controller asks who calls, and nothing in this folder lets 'berth dev' in: its nodes are left as they are. {what_to_do}."
    );
    Ok(Door::Closed)
}

async fn register(client: &Client, nodes: Value, satellites: &[Satellite], pools: &Path) -> anyhow::Result<()> {
    for satellite in satellites {
        match find(&nodes, "name", &satellite.name) {
            None => create_node(client, satellite).await?,
            Some(node) => follow_port(client, satellite, node).await?,
        }
    }
    wait_online(client, satellites).await?;
    let known = get(client, &Call::get(&["view", "storage-pools"])).await?;
    for satellite in satellites {
        let name = if satellite.simulated { SIMULATED_POOL } else { POOL };
        let there = known
            .as_array()
            .into_iter()
            .flatten()
            .any(|pool| pool["node_name"].as_str() == Some(&satellite.name) && pool["storage_pool_name"].as_str() == Some(name));
        if !there {
            create_pool(client, satellite, name, pools).await?;
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
    read(call, &client.send(call).await?)
}

/// The document of an answer.
fn read(call: &Call, response: &Response) -> anyhow::Result<Value> {
    if !response.ok() {
        let said = response.replies().and_then(|replies| replies.first().map(crate::ask::told));
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&response.body).chars().take(200).collect());
        bail!("{} answers {}: {said}", call.target(), response.status);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Door, Satellite, closed};

    #[test]
    fn a_closed_door_stops_only_what_must_be_registered() {
        let satellite = |name: &str, stays| Satellite { name: name.to_owned(), port: 1, simulated: false, stays };
        let file = Path::new("/cluster/token.json");
        assert_eq!(closed(&[satellite("dev-1", true)], Some(file)).unwrap(), Door::Closed);
        let said = format!("{:#}", closed(&[satellite("dev-1", true), satellite("dev-2", false)], Some(file)).unwrap_err());
        assert!(said.contains("dev-2") && !said.contains("dev-1") && said.contains("/cluster/token.json"), "{said}");
    }
}
