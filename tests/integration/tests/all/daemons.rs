//! The programs as services: start, stop, settings.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, Rest, Scratch, berth, is_root, linstor, run_within};
use serde_json::{Value, json};

/// Within this time a daemon ends after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// User and group that own nothing.
const NOBODY: u32 = 65534;

#[test]
fn every_daemon_ends_within_five_seconds_of_sigterm() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    cluster.terminate(STOP_LIMIT)
}

#[test]
fn the_same_folder_continues() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    cluster.linstor(&["resource-definition", "create", "kept"])?;
    cluster.terminate(STOP_LIMIT)?;
    cluster.start_controller()?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    let list = cluster.linstor(&["resource-definition", "list"])?;
    ensure!(list.contains("kept"), "{list}");
    Ok(())
}

#[test]
fn print_config_names_each_value_and_its_origin() -> Result<()> {
    let scratch = Scratch::new()?;
    for daemon in ["controller", "satellite"] {
        let mut command = Command::new(berth()?);
        command.args([daemon, "--data"]).arg(scratch.path()).args(["--listen", "127.0.0.1:0", "--print-config"]);
        let printed = run_within(STOP_LIMIT, &mut command)?.ok()?;
        ensure!(printed.contains("127.0.0.1:0"), "{daemon}: {printed}");
        ensure!(printed.to_lowercase().contains("flag") || printed.contains("--listen"), "{daemon} names no origin: {printed}");
    }
    Ok(())
}

#[test]
fn a_reader_that_has_gone_is_no_panic() -> Result<()> {
    let scratch = Scratch::new()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = Command::new(berth()?);
    command.args(["controller", "--data"]).arg(scratch.path()).arg("--print-config").stdout(writer);
    let ended = command.output()?;
    ensure!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    Ok(())
}

#[test]
fn settings_come_from_flag_environment_and_file_in_this_order() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("controller.toml");
    fs::write(&file, "listen = \"127.0.0.1:1003\"\n")?;
    let printed = |words: &[&str], environment: &[(&str, &str)]| -> Result<String> {
        let mut command = Command::new(berth()?);
        command.args(["controller", "--print-config", "--data"]).arg(scratch.path()).arg("--config").arg(&file).args(words);
        command.env_remove("BERTH_CONTROLLER_LISTEN").envs(environment.iter().copied());
        run_within(STOP_LIMIT, &mut command)?.ok()
    };
    let environment = [("BERTH_CONTROLLER_LISTEN", "127.0.0.1:1002")];
    ensure!(printed(&["--listen", "127.0.0.1:1001"], &environment)?.contains("127.0.0.1:1001"));
    ensure!(printed(&[], &environment)?.contains("127.0.0.1:1002"));
    ensure!(printed(&[], &[])?.contains("127.0.0.1:1003"));
    fs::write(&file, "listn = \"127.0.0.1:1003\"\n")?;
    let misspelt = printed(&[], &[]).unwrap_err().to_string();
    ensure!(misspelt.contains("listn"), "{misspelt}");
    Ok(())
}

#[test]
fn health_and_metrics_answer() -> Result<()> {
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let rest = cluster.rest();
    ensure!(rest.get("/health")?.status == 200);
    let metrics = rest.get("/metrics")?;
    ensure!(metrics.status == 200 && metrics.content_type.starts_with("text/plain"), "{metrics:?}");
    ensure!(metrics.text.lines().any(|line| line.starts_with("# TYPE ")), "{}", metrics.text);
    Ok(())
}

#[test]
fn the_client_tells_by_its_exit_code_what_happened() -> Result<()> {
    let cluster = Cluster::empty()?;
    let address = cluster.address();
    ensure!(linstor(address, &["node", "list"])?.code() == 0);
    ensure!(linstor(address, &["nod", "list"])?.code() == 2, "an unknown word is an argument error");
    ensure!(linstor(address, &["resource-definition", "create", "a name with blanks"])?.code() != 0);
    let refused = linstor(address, &["volume-definition", "create", "missing", "1G"])?;
    ensure!(refused.code() == 10, "{refused:?}");
    ensure!(linstor("127.0.0.1:1", &["node", "list"])?.code() == 20, "nobody listens there");
    let machine = linstor(address, &["--machine-readable", "node", "list"])?.ok()?;
    ensure!(serde_json::from_str::<serde_json::Value>(&machine)?.is_array(), "{machine}");
    let curl = linstor(address, &["--curl", "resource-definition", "create", "shown"])?.ok()?;
    ensure!(curl.contains("curl -X POST") && curl.contains("/v1/resource-definitions"), "{curl}");
    let list = linstor(address, &["resource-definition", "list"])?.ok()?;
    ensure!(!list.contains("shown"), "--curl must only print: {list}");
    ensure!(!list.contains('\u{1b}'), "colours where there is no terminal: {list:?}");
    Ok(())
}

#[test]
fn called_as_linstor_the_program_is_the_client() -> Result<()> {
    let cluster = Cluster::empty()?;
    let link = cluster.scratch().path().join("linstor");
    std::os::unix::fs::symlink(berth()?, &link)?;
    let mut command = Command::new(&link);
    command.args(["--controllers", cluster.address(), "node", "list"]);
    let table = run_within(Duration::from_secs(20), &mut command)?.ok()?;
    for column in ["Node", "NodeType", "Addresses", "State"] {
        ensure!(table.contains(column), "{table}");
    }
    Ok(())
}

#[test]
fn lists_answer_while_a_satellite_hangs() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha", "bravo"])?;
    cluster.rest().post("/v1/resource-definitions", &json!({"resource_definition": {"name": "any"}}))?.ok()?;
    cluster.freeze("bravo", true)?;
    for path in ["/v1/nodes", "/v1/view/storage-pools", "/v1/view/resources", "/v1/resource-definitions"] {
        cluster.rest().call_within(Duration::from_secs(2), "GET", path, None)?.ok()?;
    }
    cluster.freeze("bravo", false)
}

#[test]
fn a_second_controller_is_told_that_the_satellite_is_taken() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let satellite = cluster.satellite("alpha")?;
    let (port, (address, _)) = (satellite.port()?, satellite.host_port().rsplit_once(':').context("no port")?);
    let other = Cluster::empty()?;
    let interface = json!({"name": "default", "address": address, "satellite_port": port, "satellite_encryption_type": "PLAIN"});
    other.rest().post("/v1/nodes", &json!({"name": "alpha", "type": "SATELLITE", "net_interfaces": [interface]}))?;
    other.rest().wait_for(Duration::from_secs(20), "/v1/nodes/alpha", |node| node["connection_status"] == "OTHER_CONTROLLER")?;
    cluster.wait_online("alpha")
}

#[test]
fn without_root_plain_files_are_served() -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.sub("cluster")?;
    let program = scratch.path().join("berth");
    fs::copy(berth()?, &program)?;
    let mut call: Vec<OsString> = Vec::new();
    if is_root() {
        // Nobody must reach the folder and the program.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY))?;
        let nobody = NOBODY.to_string();
        call.extend(["setpriv", "--reuid", nobody.as_str(), "--regid", nobody.as_str(), "--clear-groups", "--"].map(OsString::from));
    }
    call.push(program.into());
    call.extend(["dev", "--listen", "127.0.0.1:0", "--nodes", "1", "--dir"].map(OsString::from));
    call.push(dir.clone().into());
    let mut dev = Daemon::start_program(&scratch, "dev", &[("HOME", "/nonexistent")], &call)?;
    let rest = Rest::new(dev.address());
    let asked = json!({"name": "plain", "select_filter": {"place_count": 1, "storage_pool_list": ["DfltStorPool"]}});
    rest.post("/v1/resource-groups", &asked)?.ok()?;
    rest.post("/v1/resource-groups/plain/volume-groups", &json!({}))?.ok()?;
    let spawned = json!({"resource_definition_name": "web", "volume_sizes": [65536]});
    rest.post("/v1/resource-groups/plain/spawn", &spawned)?.ok()?;
    let there = |list: &Value| list[0]["volumes"][0]["device_path"].as_str().is_some_and(|path| Path::new(path).is_file());
    rest.wait_for(Duration::from_secs(30), "/v1/view/resources?resources=web", there)?;
    let mut said = dev.log_text();
    said.push_str(&dev.lines_so_far().join("\n"));
    ensure!(said.to_lowercase().contains("root"), "it does not say what it cannot do without root:\n{said}");
    dev.terminate(Duration::from_secs(10))?;
    Ok(())
}

#[test]
fn a_fresh_folder_is_set_up_without_asking() -> Result<()> {
    let scratch = Scratch::new()?;
    let data = scratch.path().join("deep/below/controller");
    let mut daemon = Daemon::start(
        &scratch,
        "controller",
        ["controller".into(), "--data".into(), data.clone().into_os_string(), "--listen".into(), "127.0.0.1:0".into()],
    )?;
    ensure!(data.join("berth.db").is_file());
    daemon.terminate(STOP_LIMIT)?;
    Ok(())
}
