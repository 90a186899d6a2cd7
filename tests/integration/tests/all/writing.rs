//! `docs/writing-a-provider.md`, followed literally: its commands are read from the page and run, one block after the other.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, berth, note, run_within};

/// The blocks of commands of a page, in their order.
fn blocks(page: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(_), "```") => all.extend(block.take()),
            (Some(text), line) => text.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    all
}

/// Where the toolchain keeps the standard library of components; `None`: it has none.
fn has_target() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-wasip2"]).output();
    asked.is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_dir())
}

#[test]
fn a_newcomer_gets_from_an_empty_folder_to_volumes() -> Result<()> {
    if !has_target() {
        note("no standard library for wasm32-wasip2: rustup target add wasm32-wasip2");
        return Ok(());
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let blocks = blocks(&fs::read_to_string(sources.join("docs/writing-a-provider.md"))?);
    ensure!(blocks.len() >= 6, "the page has only {} blocks", blocks.len());

    let cluster = Cluster::with_nodes(&["alpha"])?;
    let home = cluster.scratch().path().join("newcomer");
    let programs = home.join("bin");
    fs::create_dir_all(&programs)?;
    for name in ["berth", "linstor"] {
        symlink(berth()?, programs.join(name))?;
    }
    // Built once and kept, beside what the tests themselves are built into.
    let kept = berth()?.parent().and_then(Path::parent).context("a target folder")?.join("newcomer");
    fs::create_dir_all(&kept)?;
    let real_home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let setting = |name: &str, usual: &str| std::env::var_os(name).map_or_else(|| real_home.join(usual), PathBuf::from);
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut folder = home.clone();
    for (at, block) in blocks.iter().enumerate() {
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &format!("{block}pwd\n")])
            .current_dir(&folder)
            .env("PATH", &path)
            .env("HOME", &home)
            .env("BERTH_SOURCES", &sources)
            .env("BERTH_SATELLITE_DATA", cluster.satellite_data("alpha")?)
            .env("LS_CONTROLLERS", cluster.address())
            .env("CARGO_HOME", setting("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", setting("RUSTUP_HOME", ".rustup"))
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("CARGO_TARGET_DIR");
        let said = run_within(Duration::from_secs(900), &mut shell)?;
        ensure!(said.code() == 0, "block {} of the page failed:\n{block}\n{}\n{}", at + 1, said.stdout, said.stderr);
        folder = PathBuf::from(said.stdout.lines().last().context("the folder")?);
        match at {
            0 => {
                let made = home.join("my-storage");
                symlink(&kept, made.join("target"))?;
                fs::copy(sources.join("Cargo.lock"), made.join("Cargo.lock"))?;
            }
            _ if block.contains("plugin check") => {
                let badge = said.stdout.lines().find(|line| line.starts_with("berth-conformance ")).context("a badge line")?;
                let page = fs::read_to_string(sources.join("docs/writing-a-provider.md"))?;
                ensure!(page.contains(badge), "the page shows another badge than {badge}");
            }
            _ => {}
        }
    }
    ensure!(home.join("my-pool/web_00000.vol").is_file(), "the volume is not where the page says");
    cluster.linstor(&["resource-definition", "delete", "web"])?;
    cluster.linstor(&["storage-pool", "delete", "alpha", "mine"])?;
    ensure!(fs::read_dir(home.join("my-pool"))?.next().is_none(), "something is left in the pool");
    Ok(())
}
