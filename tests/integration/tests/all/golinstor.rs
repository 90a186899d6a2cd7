//! The Go client from its registry, unchanged and pinned (`go/go.mod`), against our cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use berth_integration::{Cluster, note, run_within, tool};

/// Time to fetch and build the program the first time.
const BUILD_LIMIT: Duration = Duration::from_secs(400);
/// Time for its run.
const LIMIT: Duration = Duration::from_secs(180);

/// The machine's Go, also where the search path leaves it out.
fn go() -> Option<PathBuf> {
    tool("go").ok().or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|file| file.is_file()))
}

#[test]
fn every_method_is_answered() -> Result<()> {
    let Some(go) = go() else {
        note("no Go on this machine: its client is not tried");
        return Ok(());
    };
    let mut cluster = Cluster::empty()?;
    let program = cluster.scratch().path().join("golinstor-check");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    run_within(BUILD_LIMIT, Command::new(go).current_dir(folder).args(["build", "-mod=readonly", "-o"]).arg(&program).arg("."))?.ok()?;
    cluster.add_simulated_with(&["alpha", "bravo", "charlie"], &["--allow-ext-files", "/etc/every"])?;
    print!("{}", run_within(LIMIT, Command::new(&program).arg(format!("http://{}", cluster.address())))?.ok()?);
    Ok(())
}
