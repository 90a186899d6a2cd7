//! One name is deleted and made again, over and over, while its node is away.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Dice, POOL, count, is_root, mark, marked, note, until, within};
use serde_json::json;

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;

/// Time to come to rest.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// A returning satellite is cut after so many steps at most.
const STEPS_MAX: u64 = 8;

/// Makes the name anew, with a replica on each node; what a node that is away must do stays open.
fn make(cluster: &Cluster, nodes: &[&str]) -> Result<()> {
    let rest = cluster.rest();
    let body = json!({"resource_definition": {"name": "web", "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    rest.post("/v1/resource-definitions/web/volume-definitions", &json!({"volume_definition": {"size_kib": SIZE_KIB}}))?.ok()?;
    for node in nodes {
        let replica = json!([{"resource": {"node_name": node, "props": {"StorPoolName": POOL}}}]);
        let reply = rest.post("/v1/resource-definitions/web/resources", &replica)?;
        ensure!(reply.status < 400, "{node}: {} {}", reply.status, reply.text);
    }
    Ok(())
}

fn delete(cluster: &Cluster) -> Result<()> {
    // A device that was written may be looked at by the system for a moment.
    within(SYNC_LIMIT, "the name may be deleted", || {
        let reply = cluster.rest().delete("/v1/resource-definitions/web").map_err(|error| format!("{error:#}"))?;
        if reply.status < 400 { Ok(()) } else { Err(reply.text) }
    })
}

/// The backing files of a node's pool.
fn files(cluster: &Cluster, node: &str) -> Result<Vec<String>> {
    let folder = cluster.pool_dir(node);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn wait_for_one_file(cluster: &Cluster, node: &str) -> Result<()> {
    within(SYNC_LIMIT, &format!("one volume is left on {node}"), || match files(cluster, node) {
        Ok(names) if names.len() == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

fn holds(device: &Path, text: &str) -> Result<()> {
    let seen = marked(device, text.len())?;
    ensure!(seen == text, "{} should hold '{text}', holds {seen:?}", device.display());
    Ok(())
}

#[test]
fn a_returning_node_removes_the_old_generations_only() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut dice = Dice::seeded("rounds of one name");
    let mut cluster = Cluster::with_nodes(&["alpha", "beta"])?;
    let rounds = count(10, 100);
    make(&cluster, &["alpha", "beta"])?;
    mark(&cluster.device("web", "alpha")?, "generation 0")?;
    cluster.kill_satellite("alpha");
    cluster.wait_offline("alpha")?;
    let mut most = 0;
    for round in 1..=rounds {
        delete(&cluster).with_context(|| format!("round {round}"))?;
        make(&cluster, &["alpha", "beta"]).with_context(|| format!("round {round}"))?;
        mark(&cluster.device("web", "beta")?, &format!("generation {round}")).with_context(|| format!("round {round}"))?;
        if round % 3 == 0 {
            // It comes back for a few steps and dies amid them, so that it holds leftovers of several generations.
            let steps = (1 + dice.below(STEPS_MAX)).to_string();
            if cluster.start_satellite("alpha", &[("BERTH_CUT_AFTER", &steps)]).is_ok() {
                let rest = cluster.rest();
                let satellite = cluster.satellite("alpha")?;
                until(SYNC_LIMIT, "it is cut, or done", || {
                    !satellite.runs() || rest.get("/v1/berth/jobs").is_ok_and(|jobs| jobs.json == json!([]))
                })?;
            }
            most = most.max(files(&cluster, "alpha")?.len());
            cluster.kill_satellite("alpha");
            cluster.wait_offline("alpha")?;
        }
    }
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_in_sync(SYNC_LIMIT)?;
    wait_for_one_file(&cluster, "alpha")?;
    wait_for_one_file(&cluster, "beta")?;
    let device = cluster.device("web", "alpha")?;
    // The newest generation never was on this node: nothing of an older one shows through.
    ensure!(!marked(&device, 10)?.starts_with("generation"), "the newest volume holds data of an older generation");
    holds(&cluster.device("web", "beta")?, &format!("generation {rounds}"))?;
    mark(&device, "newest data")?;
    // It stays through another return.
    cluster.kill_satellite("alpha");
    cluster.wait_offline("alpha")?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_in_sync(SYNC_LIMIT)?;
    holds(&cluster.device("web", "alpha")?, "newest data")?;
    println!("{rounds} rounds of one name while its node was away; at most {most} files of it there at a time");
    cluster.delete_all_of("web")?;
    within(SYNC_LIMIT, "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
}
