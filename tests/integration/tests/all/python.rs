//! The Python client from its registry, unchanged, against our cluster.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use berth_integration::{Cluster, is_root, note, python_with_client, run_within, tool};

/// Time for one script.
const LIMIT: Duration = Duration::from_secs(180);

fn script(name: &str, cluster: &Cluster) -> Result<()> {
    let python = python_with_client()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name);
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(format!("linstor://{}", cluster.address()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HOME", cluster.scratch().path());
    print!("{}", run_within(LIMIT, &mut command)?.ok()?);
    ensure!(cluster.scratch().loops().is_empty(), "left behind: {:?}", cluster.scratch().loops());
    Ok(())
}

#[test]
fn the_low_level_calls_work() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    script("low_level.py", &Cluster::with_nodes(&["alpha", "bravo"])?)
}

/// Simulated satellites: no method of the client's classes is left out, the script sees to that.
#[test]
fn every_method_is_answered() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated_with(&["alpha", "bravo", "charlie"], &["--allow-ext-files", "/etc/every"])?;
    script("every_method.py", &cluster)
}

#[test]
fn the_resource_object_works() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    script("resource_object.py", &Cluster::with_nodes(&["alpha", "bravo"])?)
}

#[test]
fn long_lists_are_read_compressed() -> Result<()> {
    let cluster = Cluster::empty()?;
    script("long_lists.py", &cluster)?;
    let url = format!("http://{}/v1/resource-definitions", cluster.address());
    let fetch = |words: &[&str]| run_within(LIMIT, Command::new(tool("curl")?).args(["--silent", "--fail"]).args(words).arg(&url))?.ok();
    let plain = fetch(&[])?;
    ensure!(plain.contains("web149") && plain == fetch(&["--compressed"])?, "curl reads something else when it is compressed");
    Ok(())
}
