//! The controller's database: looked after while it does not run.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use berth_integration::{Cluster, Finished, Scratch, berth, is_root, note, run, run_within};
use serde_json::json;

/// Time for one verb.
const LIMIT: Duration = Duration::from_secs(30);

fn db(verb: &str, data: &Path, words: &[&Path]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(["db", verb, "--data"]).arg(data).args(words);
    run_within(LIMIT, &mut command)
}

/// Makes the body of one record unreadable, as a damaged disk would.
fn break_record(data: &Path, key: &str) -> Result<()> {
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
changed = db.execute('UPDATE record SET body = ? WHERE lower(key) = ?', ('{broken', sys.argv[2])).rowcount
assert changed == 1, changed
db.commit()";
    let file = data.join("berth.db");
    run("python3", &["-c".as_ref(), script.as_ref(), file.as_os_str(), key.as_ref()])?.ok().map(drop)
}

#[test]
fn a_cluster_whose_identity_is_lost_stays_itself() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    let identity = || -> Result<serde_json::Value> {
        let document: serde_json::Value = serde_json::from_str(&db("export", &data, &[])?.ok()?)?;
        Ok(document["cluster"]["id"].clone())
    };
    let before = identity()?;
    ensure!(before.is_string(), "{before}");
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('DELETE FROM meta')
db.commit()";
    run("python3", &["-c".as_ref(), script.as_ref(), data.join("berth.db").as_os_str()])?.ok()?;
    ensure!(db("check", &data, &[])?.code() == 1);
    db("repair", &data, &[])?.ok()?;
    cluster.start_controller()?;
    cluster.terminate(Duration::from_secs(5))?;
    ensure!(identity()? == before, "{before} became {}", identity()?);
    Ok(())
}

#[test]
fn a_broken_record_is_set_aside_and_the_rest_is_served() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    for name in ["first", "second", "third"] {
        cluster.rest().post("/v1/resource-definitions", &json!({"resource_definition": {"name": name}}))?.ok()?;
    }
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    ensure!(db("check", &data, &[])?.code() == 0);
    break_record(&data, "second")?;
    let checked = db("check", &data, &[])?;
    ensure!(checked.code() == 1 && format!("{}{}", checked.stdout, checked.stderr).to_lowercase().contains("second"), "{checked:?}");
    cluster.start_controller()?;
    let rest = cluster.rest();
    rest.get("/v1/resource-definitions/first")?.ok()?;
    rest.put("/v1/resource-definitions/third", &json!({"override_props": {"Aux/still": "writable"}}))?.ok()?;
    // Its name stays taken: whatever it stands for may still be out there.
    let again = rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "second"}}))?;
    ensure!(!again.errors().is_empty(), "{} {}", again.status, again.text);
    let health = rest.get("/health")?;
    ensure!(health.text.to_lowercase().contains("second"), "/health does not name it: {} {:?}", health.status, health.text);
    let reports = rest.get("/v1/error-reports")?.ok()?;
    ensure!(reports.json.as_array().is_some_and(|reports| !reports.is_empty()), "{}", reports.text);
    cluster.terminate(Duration::from_secs(5))?;
    ensure!(db("repair", &data, &[])?.code() == 0);
    ensure!(db("check", &data, &[])?.code() == 0);
    cluster.start_controller()?;
    cluster.rest().get("/v1/resource-definitions/third")?.ok().map(drop)
}

#[test]
fn an_export_becomes_the_same_cluster_again() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.linstor(&["resource-group", "create", "grp", "--place-count", "3"])?;
    cluster.linstor(&["resource-definition", "create", "web", "--resource-group", "grp"])?;
    cluster.linstor(&["volume-definition", "create", "web", "1G"])?;
    let before = cluster.rest().get("/v1/resource-definitions?with_volume_definitions=true")?.ok()?.json;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    let exported = db("export", &data, &[])?.ok()?;
    ensure!(serde_json::from_str::<serde_json::Value>(&exported)?.is_object(), "{exported}");
    let scratch = Scratch::new()?;
    let file = scratch.path().join("export.json");
    std::fs::write(&file, &exported)?;
    ensure!(db("import", &data, &[&file])?.code() != 0, "an import must not overwrite a database");
    std::fs::remove_dir_all(&data)?;
    std::fs::create_dir_all(&data)?;
    db("import", &data, &[&file])?.ok()?;
    cluster.start_controller()?;
    let after = cluster.rest().get("/v1/resource-definitions?with_volume_definitions=true")?.ok()?.json;
    ensure!(before == after, "before: {before}\nafter: {after}");
    Ok(())
}

#[test]
fn satellites_obey_a_restored_database() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let data = cluster.controller_data()?;
    cluster.terminate(Duration::from_secs(5))?;
    let exported = db("export", &data, &[])?.ok()?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("export.json");
    std::fs::write(&file, &exported)?;
    cluster.start_controller()?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    // The satellite obeys plans that the export knows nothing of.
    for name in ["late_a", "late_b", "late_c"] {
        cluster.make_volume(name, "alpha", 16 * 1024)?;
    }
    cluster.kill_controller();
    std::fs::remove_dir_all(&data)?;
    std::fs::create_dir_all(&data)?;
    db("import", &data, &[&file])?.ok()?;
    cluster.start_controller()?;
    cluster.wait_online("alpha")?;
    cluster.make_volume("after", "alpha", 16 * 1024)?;
    cluster.delete_all_of("after")
}

#[test]
fn a_bundle_has_the_state_and_the_log_and_no_secret() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web"}}))?.ok()?;
    let props = json!({"override_props": {"Aux/password": "hush-hush", "Aux/plain": "shown"}});
    rest.put("/v1/resource-definitions/web", &props)?.ok()?;
    let file = cluster.scratch().path().join("bundle.json");
    let take = |words: &[&str]| -> Result<Finished> {
        let mut command = Command::new(berth()?);
        command.args(["bundle", "--controllers", cluster.address(), "--output"]).arg(&file).args(words);
        run_within(LIMIT, &mut command)
    };
    take(&[])?.ok()?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(!text.contains("hush-hush") && text.contains("shown"), "{text}");
    let bundle: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(bundle["format"] == "berth-bundle" && bundle["version"] == 1 && bundle["log_begins"] == 1, "{text}");
    let serial = bundle["serial"].as_u64().unwrap_or_default();
    ensure!(serial >= 3 && bundle["log"].as_array().map(Vec::len) == usize::try_from(serial).ok(), "{text}");
    let again = take(&[])?;
    ensure!(again.code() == 1 && again.stderr.contains("bundle.json"), "a file is not overwritten: {again:?}");
    std::fs::remove_file(&file)?;
    take(&["--log", "1"])?.ok()?;
    let bundle: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure!(bundle["log_begins"] == serial && bundle["log"].as_array().map(Vec::len) == Some(1), "{bundle}");
    rest.get("/v1/berth/bundle?log=many")?.refused(234).map(drop)
}
