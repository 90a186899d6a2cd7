//! What this machine can do at best: one sync of the disk, one loop device.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use berth_integration::{Samples, Scratch, is_root, run, tool};

use crate::bench::{Bench, timed, times};

/// Pages that are synced; a commit of one change writes some pages of 4 KiB over older ones of the database's log.
const SYNCS: usize = 1_000;
const PAGE_BYTES: usize = 4096;
/// Pages of the file, which is there before: a sync has no new length to write down.
const PAGES: u64 = 256;
/// Loop devices that are attached.
const LOOPS: usize = 40;

/// Measures both, in a folder where the figures' databases lie.
pub fn measure(bench: &mut Bench) -> Result<()> {
    let scratch = Scratch::new()?;
    if bench.wants(&["sync"]) {
        let file = File::create(scratch.path().join("log")).context("cannot make a file")?;
        let page = [7_u8; PAGE_BYTES];
        let offset = |at: u64| (at % PAGES) * PAGE_BYTES as u64;
        for at in 0..PAGES {
            file.write_all_at(&page, offset(at))?;
        }
        file.sync_all()?;
        let syncs = times(bench.count(SYNCS), |at| {
            file.write_all_at(&page, offset(at as u64))?;
            Ok(file.sync_data()?)
        })?;
        let p99 = syncs.percentile(99);
        bench.add_with("sync", syncs, &format!("p99 {p99:.2} ms"))?;
    }
    if is_root() && bench.wants(&["losetup"]) {
        let file = scratch.path().join("volume");
        File::create(&file)?.set_len(64 << 20)?;
        let losetup = tool("losetup")?;
        let mut attached = Vec::new();
        for _ in 0..bench.count(LOOPS) {
            let mut device = String::new();
            attached.push(timed(|| {
                // Not with a wait that looks now and then: it takes less than that.
                let output = Command::new(&losetup).args(["--find", "--show"]).arg(&file).output()?;
                device = String::from_utf8(output.stdout)?;
                ensure!(output.status.success(), "losetup failed");
                Ok(())
            })?);
            run("losetup", &["--detach", device.trim()])?.ok()?;
        }
        bench.add("losetup", Samples::new(attached))?;
    }
    Ok(())
}
