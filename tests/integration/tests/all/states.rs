//! The states of DRBD's replicas, as simulated satellites see them: in lists, documents and metrics alike.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, note, within};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// Node, usage, connections and state of each replica, as `linstor resource list -a` shows them, ordered by node.
fn listed(cluster: &Cluster, more: &[&str]) -> Result<Vec<[String; 4]>> {
    let words = [&["--no-utf8", "--no-color", "resource", "list", "-a"], more].concat();
    let out = cluster.linstor(&words)?;
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        Some([*cells.get(1)?, *cells.get(3)?, *cells.get(4)?, *cells.get(5)?].map(str::to_owned))
    };
    Ok(out.lines().filter(|line| line.starts_with("| web ")).filter_map(row).collect())
}

fn are(rows: &[[&str; 4]]) -> Vec<[String; 4]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

/// The values of a metric by node.
fn metric(cluster: &Cluster, name: &str) -> Result<Vec<(String, String)>> {
    let text = cluster.rest().get("/metrics")?.text;
    let label = |line: &str| Some(line.split_once("node=\"")?.1.split_once('"')?.0.to_owned());
    let of = |line: &str| Some((label(line)?, line.rsplit_once(' ')?.1.to_owned()));
    Ok(text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).filter_map(of).collect())
}

fn replica(cluster: &Cluster, node: &str) -> Result<Value> {
    let reply = cluster.rest().get(&format!("/v1/view/resources?nodes={node}&resources=web"))?;
    reply.json.get(0).cloned().with_context(|| format!("no replica on {node}: {}", reply.text))
}

#[test]
fn drbd_s_states_are_told_alike_everywhere() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let uses = cluster.scratch().path().join("uses");
    let file = uses.to_string_lossy().into_owned();
    cluster.add_simulated_with(&["alpha", "bravo", "charlie"], &["--in-use", &file])?;
    cluster
        .rest()
        .post("/v1/resource-groups", &json!({"name": "two", "select_filter": {"place_count": 2, "storage_pool": "sim"}}))?
        .ok()?;
    let body = json!({"resource_definition_name": "web", "volume_sizes": [32_768]});
    cluster.rest().post("/v1/resource-groups/two/spawn", &body)?.ok()?;
    let unused =
        are(&[["alpha", "Unused", "Ok", "UpToDate"], ["bravo", "Unused", "Ok", "UpToDate"], ["charlie", "Unused", "Ok", "TieBreaker"]]);
    let shown = |wanted: &Vec<[String; 4]>| {
        let is = listed(&cluster, &[])?;
        ensure!(is == *wanted, "{is:?}");
        Ok(())
    };
    within(LIMIT, "the tiebreaker is seen", || shown(&unused))?;
    ensure!(listed(&cluster, &["--faulty"])?.is_empty(), "nothing is faulty");
    let alpha = replica(&cluster, "alpha")?;
    let (drbd, volume) = (&alpha["layer_object"]["drbd"], &alpha["volumes"][0]);
    let connection = json!({"connected": true, "message": "Connected"});
    ensure!(drbd["connections"] == json!({"bravo": connection, "charlie": connection}), "{drbd}");
    ensure!(drbd["promotion_score"] == 10_102 && drbd["may_promote"] == true, "{drbd}");
    ensure!(drbd["drbd_volumes"][0]["disk_state"] == "UpToDate", "{drbd}");
    let established = json!({"replication_state": "Established"});
    let state = json!({"disk_state": "UpToDate", "replication_states": {"bravo": established, "charlie": established}});
    ensure!(volume["state"] == state, "{volume}");
    let told = |name: &str, wanted: [&str; 3]| -> Result<()> {
        let is = metric(&cluster, name)?;
        let should: Vec<(String, String)> =
            ["alpha", "bravo", "charlie"].into_iter().zip(wanted).map(|(n, v)| (n.into(), v.into())).collect();
        ensure!(is == should, "{name}: {is:?}");
        Ok(())
    };
    told("linstor_volume_state", ["1.0", "1.0", "4.0"])?;
    told("linstor_resource_state", ["0.0", "0.0", "0.0"])?;
    let path = volume["device_path"].as_str().context("a device")?;
    ensure!(cluster.rest().get("/metrics")?.text.contains(&format!("device_path=\"{path}\"")), "another device than {path}");

    // A tiebreaker that somebody uses is a client.
    fs::write(&uses, "charlie web\n")?;
    let used = are(&[["alpha", "Unused", "Ok", "UpToDate"], ["bravo", "Unused", "Ok", "UpToDate"], ["charlie", "InUse", "Ok", "Diskless"]]);
    within(LIMIT, "the use is seen", || shown(&used))?;
    told("linstor_resource_state", ["0.0", "0.0", "1.0"])?;
    let refused = cluster.rest().delete("/v1/resource-definitions/web/resources/charlie")?;
    ensure!(refused.status == 500 && refused.text.contains("in use"), "{}", refused.text);
    fs::remove_file(&uses)?;
    within(LIMIT, "the end of the use is seen", || {
        let charlie = replica(&cluster, "charlie")?;
        ensure!(charlie["state"]["in_use"] == false, "{charlie}");
        Ok(())
    })?;
    cluster.rest().delete("/v1/resource-definitions/web")?.ok()?;
    Ok(())
}

#[test]
fn a_tiebreaker_comes_by_itself_when_there_is_a_node_for_it() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&["alpha", "bravo"])?;
    cluster
        .rest()
        .post("/v1/resource-groups", &json!({"name": "two", "select_filter": {"place_count": 2, "storage_pool": "sim"}}))?
        .ok()?;
    let body = json!({"resource_definition_name": "web", "volume_sizes": [32_768]});
    let spawned = cluster.rest().post("/v1/resource-groups/two/spawn", &body)?.ok()?;
    ensure!(spawned.text.contains("gets no tiebreaker"), "{}", spawned.text);
    cluster.add_simulated(&["charlie"])?;
    within(LIMIT, "the tiebreaker is there", || {
        let flags = replica(&cluster, "charlie")?["flags"].clone();
        ensure!(flags == json!(["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"]), "{flags}");
        Ok(())
    })?;
    cluster.rest().delete("/v1/resource-definitions/web")?.ok()?;
    Ok(())
}

/// The shortest time that can be asked for is a minute.
#[test]
fn who_uses_it_long_enough_without_a_disk_gets_one() -> Result<()> {
    if std::env::var_os("BERTH_LONG").is_none() {
        note("a disk for a diskless primary takes more than a minute");
        return Ok(());
    }
    let mut cluster = Cluster::empty()?;
    let uses = cluster.scratch().path().join("uses");
    let file = uses.to_string_lossy().into_owned();
    cluster.add_simulated_with(&["alpha", "bravo", "charlie"], &["--in-use", &file])?;
    let group = json!({"name": "two", "select_filter": {"place_count": 2, "storage_pool": "sim"}});
    cluster.rest().post("/v1/resource-groups", &group)?.ok()?;
    cluster.rest().put("/v1/resource-groups/two", &json!({"override_props": {"DrbdOptions/auto-diskful": "1"}}))?.ok()?;
    let body = json!({"resource_definition_name": "web", "volume_sizes": [32_768]});
    cluster.rest().post("/v1/resource-groups/two/spawn", &body)?.ok()?;
    let flags = |wanted: Value| {
        let is = replica(&cluster, "charlie")?["flags"].clone();
        ensure!(is == wanted, "{is}");
        Ok(())
    };
    fs::write(&uses, "charlie web\n")?;
    within(Duration::from_secs(150), "it has a disk", || flags(json!(["AUTO_DISKFUL"])))?;
    fs::remove_file(&uses)?;
    within(LIMIT, "the disk goes again", || flags(json!(["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"])))?;
    cluster.rest().delete("/v1/resource-definitions/web")?.ok()?;
    Ok(())
}
