//! External files: written on the nodes that have a replica, below the folders that their operators allow, and nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use berth_integration::{Cluster, until};
use serde_json::json;

/// For a file to be written, on a machine that other tests keep busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A path as one part of an address.
fn part(path: &Path) -> String {
    path.display().to_string().replace('/', "%2F")
}

#[test]
fn a_file_lies_on_the_nodes_as_long_as_a_definition_there_deploys_it() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let allowed = cluster.scratch().sub("etc")?;
    let folders = allowed.display().to_string();
    let environment = [("BERTH_SATELLITE_ALLOW_EXT_FILES", folders.as_str())];
    cluster.start_satellite("alpha", &environment)?;
    cluster.join("alpha")?;
    cluster.make_pool("alpha")?;
    cluster.start_satellite("bravo", &[])?;
    cluster.join("bravo")?;
    cluster.make_pool("bravo")?;
    let rest = cluster.rest();
    let (path, outside) = (allowed.join("sub/web.conf"), cluster.scratch().sub("elsewhere")?.join("web.conf"));
    let reads = |text: &str| std::fs::read_to_string(&path).is_ok_and(|found| found == text);
    // Somebody's own file is not lost.
    std::fs::create_dir_all(allowed.join("sub"))?;
    std::fs::write(&path, "theirs\n")?;

    rest.put(&format!("/v1/files/{}", part(&path)), &json!({"content": "b25lCg=="}))?.ok()?;
    rest.put(&format!("/v1/files/{}", part(&outside)), &json!({"content": "b25lCg=="}))?.ok()?;
    let check = |file: &Path, node: &str| -> Result<bool> {
        Ok(rest.get(&format!("/v1/files/{}/check/{node}", part(file)))?.ok()?.json["allowed"] == true)
    };
    ensure!(check(&path, "alpha")? && !check(&path, "bravo")? && !check(&outside, "alpha")?);

    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web", "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    rest.post("/v1/resource-definitions/web/volume-definitions", &json!({"volume_definition": {"size_kib": 16384}}))?.ok()?;
    for node in ["alpha", "bravo"] {
        let body = json!([{"resource": {"name": "web", "node_name": node, "props": {"StorPoolName": "thin"}}}]);
        rest.post("/v1/resource-definitions/web/resources", &body)?.ok()?;
    }
    ensure!(reads("theirs\n"), "nothing is deployed yet");
    let deploy = |file: &Path| rest.post(&format!("/v1/resource-definitions/web/files/{}", part(file)), &json!({}));
    let told = deploy(&path)?.ok()?.text.clone();
    ensure!(told.contains("bravo") && !told.contains("alpha"), "only bravo does not allow it: {told}");
    ensure!(reads("one\n"), "the answer waits until the file is written");
    ensure!(std::fs::read_to_string(allowed.join("sub/web.conf.before-berth"))? == "theirs\n");
    let status =
        |node: &str| -> Result<serde_json::Value> { Ok(rest.get(&format!("/v1/files/{}/status/{node}", part(&path)))?.ok()?.json) };
    until(PATIENCE, "it is told", || status("alpha").is_ok_and(|seen| seen["content_match"] == true))?;
    until(PATIENCE, "that it is not written is told", || status("bravo").is_ok_and(|seen| seen["message"].is_string()))?;
    let told = deploy(&outside)?.ok()?.text.clone();
    ensure!(told.contains("alpha") && told.contains("bravo"), "{told}");

    // Changed, also for a satellite that was away; its operator's mode stays.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640))?;
    cluster.kill_satellite("alpha");
    rest.put(&format!("/v1/files/{}", part(&path)), &json!({"content": "dHdvCg=="}))?.ok()?;
    ensure!(reads("one\n"));
    cluster.start_satellite("alpha", &environment)?;
    until(PATIENCE, "the new content is written", || reads("two\n"))?;
    ensure!(std::fs::metadata(&path)?.permissions().mode() & 0o777 == 0o640);

    // With the last definition that deploys it the file goes, and what was there before comes back.
    rest.delete("/v1/resource-definitions/web")?.ok()?;
    until(PATIENCE, "the file goes", || reads("theirs\n"))?;
    ensure!(!allowed.join("sub/web.conf.before-berth").exists() && !outside.exists());
    Ok(())
}
