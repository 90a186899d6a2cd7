//! What is shown was seen, and says when: satellites that hang, die and come back, in lists, tables and metrics; and what would be lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, is_root, linstor};
use serde_json::{Value, json};

/// A satellite counts as lost after some seconds of silence; the rest is slack.
const LIMIT: Duration = Duration::from_secs(40);

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;

/// The lists with something of `alpha`, and how to find it in them.
const LISTS: [&str; 4] = ["/v1/nodes", "/v1/view/storage-pools?storage_pools=thin", "/v1/view/resources", "/v1/view/snapshots"];

fn define(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web", "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    let size = json!({"volume_definition": {"size_kib": SIZE_KIB}});
    rest.post("/v1/resource-definitions/web/volume-definitions", &size)?.ok()?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]);
    rest.post("/v1/resource-definitions/web/resources", &replica)?.ok().map(drop)
}

fn of_alpha(list: &Value) -> Option<&Value> {
    list.as_array()?.iter().find(|one| one["node_name"] == "alpha" || one["name"] == "alpha" || one["nodes"][0] == "alpha")
}

fn table(cluster: &Cluster, words: &[&str]) -> Result<String> {
    linstor(cluster.address(), words)?.ok()
}

/// All that is shown while alpha is known.
fn all_seen(cluster: &Cluster, with_snapshot: bool) -> Result<()> {
    let rest = cluster.rest();
    for path in LISTS.iter().filter(|path| with_snapshot || !path.ends_with("snapshots")) {
        rest.wait_for(LIMIT, path, |list| of_alpha(list).is_some_and(|one| one["berth"]["seen"].is_string()))
            .with_context(|| format!("{path} shows when it was seen"))?;
    }
    rest.wait_for(LIMIT, "/v1/view/storage-pools?storage_pools=thin", |list| {
        of_alpha(list).is_some_and(|pool| pool["free_capacity"].is_u64() && pool["berth"]["unknown_since"].is_null())
    })?;
    for words in [["node", "list"], ["storage-pool", "list"], ["resource", "list"], ["volume", "list"]] {
        let text = table(cluster, &words)?;
        ensure!(!text.contains("since"), "{words:?}:\n{text}");
    }
    let metrics = rest.get("/metrics")?.text;
    ensure!(metrics.contains(r#"berth_items_unknown{node="alpha"} 0"#), "{metrics}");
    ensure!(metrics.contains(r#"berth_node_last_heard_seconds{node="alpha"}"#), "{metrics}");
    ensure!(!metrics.contains(r#"berth_node_unknown_since_seconds{node="alpha"}"#), "{metrics}");
    Ok(())
}

/// All that is shown while alpha is away; bravo is as usual.
fn all_unknown(cluster: &Cluster, with_snapshot: bool) -> Result<()> {
    let rest = cluster.rest();
    rest.wait_for(LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    for path in LISTS.iter().filter(|path| with_snapshot || !path.ends_with("snapshots")) {
        let list = rest.get(path)?.json;
        let berth = &of_alpha(&list).with_context(|| format!("{path}: {list}"))?["berth"];
        ensure!(berth["seen"].is_null() && berth["unknown_since"].is_string(), "{path}: {berth}");
        ensure!(berth["reason"].as_str().is_some_and(|why| !why.is_empty()), "{path}: {berth}");
    }
    let node = rest.get("/v1/nodes/alpha")?.json;
    ensure!(node["berth"]["last_heard"].is_string(), "{node}");
    let list = rest.get("/v1/view/storage-pools?storage_pools=thin")?.json;
    let pool = of_alpha(&list).context("the pool")?;
    ensure!(pool["free_capacity"].is_null() && pool["total_capacity"].is_null(), "{pool}");
    let list = rest.get("/v1/view/resources")?.json;
    let replica = of_alpha(&list).context("the replica")?;
    ensure!(replica["state"].is_null() && replica["volumes"][0]["device_path"].is_null(), "{replica}");
    for words in [["node", "list"], ["storage-pool", "list"], ["resource", "list"], ["volume", "list"]] {
        let text = table(cluster, &words)?;
        for line in text.lines().filter(|line| line.contains("alpha") && !line.contains("DISKLESS")) {
            let told = if words[0] == "node" { "OFFLINE (since " } else { "Unknown (since " };
            ensure!(line.contains(told), "{words:?}:\n{text}");
            ensure!(!line.contains("/dev/loop"), "{words:?}:\n{text}");
        }
        ensure!(text.lines().filter(|line| line.contains("bravo")).all(|line| !line.contains("since")), "{words:?}:\n{text}");
    }
    let metrics = rest.get("/metrics")?.text;
    ensure!(metrics.contains(r#"berth_node_unknown_since_seconds{node="alpha"}"#), "{metrics}");
    ensure!(!metrics.contains(r#"berth_node_last_seen_seconds{node="alpha"}"#), "{metrics}");
    ensure!(metrics.contains(r#"linstor_resource_state{name="web",node="alpha"} -1"#), "{metrics}");
    let stale = metrics.lines().find(|line| {
        let of_thin = line.starts_with("linstor_storage_pool") && line.contains(r#"storage_pool="thin""#);
        let of_alpha = line.contains(r#"node="alpha""#) && (of_thin || line.starts_with("linstor_volume_allocated"));
        of_alpha && !line.ends_with("NaN")
    });
    ensure!(stale.is_none(), "{stale:?}");
    Ok(())
}

#[test]
fn what_a_hanging_or_dead_satellite_saw_is_unknown_since_then() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha", "bravo"])?;
    define(&cluster)?;
    // Snapshots need a file system with reflinks.
    let snapshot = cluster.rest().post("/v1/resource-definitions/web/snapshots", &json!({"name": "first"}))?;
    let with_snapshot = snapshot.errors().is_empty();
    all_seen(&cluster, with_snapshot)?;
    cluster.freeze("alpha", true)?;
    let unknown = all_unknown(&cluster, with_snapshot);
    cluster.freeze("alpha", false)?;
    unknown?;
    all_seen(&cluster, with_snapshot)?;
    cluster.kill_satellite("alpha");
    all_unknown(&cluster, with_snapshot)?;

    // The controller restarts and never saw it: still unknown, and says so.
    cluster.kill_controller();
    cluster.start_controller()?;
    let node = cluster.rest().get("/v1/nodes/alpha")?.json;
    ensure!(node["berth"]["unknown_since"].is_string() && node["berth"]["last_heard"].is_null(), "{node}");

    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    all_seen(&cluster, with_snapshot)?;
    if is_root() {
        if with_snapshot {
            cluster.rest().delete("/v1/resource-definitions/web/snapshots/first")?.ok()?;
        }
        cluster.delete_all_of("web")?;
    }
    Ok(())
}

#[test]
fn the_command_line_tells_what_would_be_lost() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha", "bravo"])?;
    define(&cluster)?;
    let address = cluster.address().to_owned();
    let ask = |words: &[&str]| linstor(&address, words);
    let text = ask(&["what-if", "node", "alpha", "down"])?.ok()?;
    ensure!(text.contains("If alpha went down") && text.contains("web") && text.contains("certain"), "{text}");
    ensure!(!text.contains('\u{1b}'), "colour in a pipe: {text}");
    let document: Value = serde_json::from_str(&ask(&["what-if", "node", "alpha", "bravo", "lost", "-o", "json"])?.ok()?)?;
    ensure!(document["nodes"] == json!(["alpha", "bravo"]) && document["data"]["list"][0]["for_good"] == true, "{document}");
    for (words, told) in [(["what-if", "node", "none", "down"], "does not exist"), (["what-if", "node", "alpha", "sideways"], "'lost'")] {
        let refused = ask(&words)?;
        ensure!(refused.code() != 0 && refused.stderr.contains(told), "{words:?}: {} {}", refused.code(), refused.stderr);
    }
    cluster.kill_satellite("alpha");
    cluster.rest().wait_for(LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    let text = ask(&["risk"])?.ok()?;
    ensure!(text.contains("Nodes of which nothing is known") && text.contains("Resources without a good copy"), "{text}");
    if is_root() {
        cluster.start_satellite("alpha", &[])?;
        cluster.wait_online("alpha")?;
        cluster.delete_all_of("web")?;
    }
    Ok(())
}
