//! A resource gets another name while somebody writes to it: its device stays open, its stable path moves, the old name is free at once.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, is_root, mark, marked, note, until};
use serde_json::json;

/// For a path to move, on a machine that other tests keep busy.
const PATIENCE: Duration = Duration::from_secs(60);
const BLOCK: usize = 4096;
/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;
/// The first block is the test's own.
const BLOCKS: u64 = SIZE_KIB / 4 - 1;

fn stable(cluster: &Cluster, resource: &str) -> Result<PathBuf> {
    Ok(cluster.dev_dir("alpha")?.join("by-res").join(resource).join("0"))
}

/// Writes and reads back until it is told to end; the first fault is the answer.
fn write(device: &Path, end: &AtomicBool, rounds: &AtomicU64) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(device)?;
    let mut seen = [0u8; BLOCK];
    while !end.load(Ordering::Relaxed) {
        let round = rounds.load(Ordering::Relaxed);
        let block = [u8::try_from(round % 251)?; BLOCK];
        let at = (1 + round % BLOCKS) * BLOCK as u64;
        file.write_all_at(&block, at)?;
        file.sync_data()?;
        file.read_exact_at(&mut seen, at)?;
        ensure!(seen == block, "round {round} reads otherwise than it was written");
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn a_resource_is_renamed_while_it_is_written_to() -> Result<()> {
    if !is_root() {
        note("no devices: making them needs root");
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let rest = cluster.rest();
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "first")?;
    let path = stable(&cluster, "web")?;
    ensure!(std::fs::canonicalize(&path)? == std::fs::canonicalize(&device)?, "{} is not its path", path.display());

    let (end, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let more = |than: u64| until(PATIENCE, "more is written", || rounds.load(Ordering::Relaxed) > than + 20);
    let renamed = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&path, &end, &rounds));
        let rename = || -> Result<PathBuf> {
            more(0)?;
            let body = json!({"new_name": "site"});
            rest.post("/v1/berth/resource-definitions/web/rename", &body)?.ok()?;
            ensure!(stable(&cluster, "site")?.exists() && !path.exists(), "the answer came before the stable path had moved");
            // Free at once, also for a resource on the same node.
            rest.get("/v1/resource-definitions/web")?.refused(301)?;
            let second = cluster.make_volume("web", "alpha", SIZE_KIB)?;
            let new = stable(&cluster, "site")?;
            ensure!(std::fs::canonicalize(&new)? == std::fs::canonicalize(&device)?, "the device is another one");
            ensure!(
                std::fs::canonicalize(stable(&cluster, "web")?)? == std::fs::canonicalize(&second)?,
                "the old path is not the new one's"
            );
            more(rounds.load(Ordering::Relaxed))?;
            Ok(second)
        };
        let outcome = rename();
        end.store(true, Ordering::Relaxed);
        let written = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        written.context("while it was renamed")?;
        outcome
    });
    let second = renamed?;
    // Two resources with their own data.
    mark(&second, "other")?;
    ensure!(marked(&cluster.device("site", "alpha")?, 5)? == "first" && marked(&second, 5)? == "other");
    let volume = rest.get("/v1/resource-definitions/site/resources/alpha/volumes/0")?.ok()?.json;
    ensure!(volume["state"].is_object() || volume["device_path"].is_string(), "{volume}");

    // A path goes with its resource, and nothing of it is left under any of its names.
    cluster.delete_all_of("web")?;
    ensure!(stable(&cluster, "site")?.exists() && !stable(&cluster, "web")?.exists());
    rest.post("/v1/berth/resource-definitions/site/rename", &json!({"new_name": "web"}))?.ok()?;
    let (old, new) = (stable(&cluster, "site")?, stable(&cluster, "web")?);
    ensure!(new.exists() && !old.exists(), "the answer came before the stable path had moved back");
    ensure!(marked(&cluster.device("web", "alpha")?, 5)? == "first");
    cluster.delete_all_of("web")?;
    let left = cluster.leftovers()?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
