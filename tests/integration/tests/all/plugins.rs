//! Providers as files that come, are replaced and go while volumes are served.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Finished, berth, is_root, mark, marked, note, run_within};
use serde_json::{Value, json};

/// The component that is part of the satellite, as a file of its own.
fn component() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/satellite/providers/file.wasm")
}

/// The same provider as a dynamic library, where cargo puts it beside the program.
fn library() -> Result<PathBuf> {
    let program = berth()?;
    let folder = program.parent().context("the program lies in a folder")?;
    let places = [folder.join("libberth_provider_file.so"), folder.join("deps/libberth_provider_file.so")];
    places.into_iter().find(|file| file.is_file()).context("cargo build --workspace makes libberth_provider_file.so")
}

fn plugin(cluster: &Cluster, words: &[&str], file: Option<&Path>) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.arg("plugin").args(words).args(file).arg("--data").arg(cluster.satellite_data("alpha")?);
    run_within(Duration::from_secs(60), &mut command)
}

/// Waits until the controller has heard that alpha's plugin `file` looks like this.
fn heard(cluster: &Cluster, what: &str, fits: impl Fn(&Value) -> bool) -> Result<()> {
    let found = |answer: &Value| answer["plugins"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "file" && fits(one)));
    cluster
        .rest()
        .wait_for(Duration::from_secs(30), "/v1/berth/plugins?node=alpha", found)
        .with_context(|| format!("{what} is not told"))?;
    cluster.wait_online("alpha")
}

#[test]
fn a_provider_is_replaced_and_removed_under_volumes_in_use() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    heard(&cluster, "the embedded provider", |one| one["form"] == "EMBEDDED")?;
    let device = cluster.make_volume("web", "alpha", 65536)?;
    mark(&device, "before")?;
    let open = std::fs::File::open(&device)?;

    // A component takes its place at once.
    let told = plugin(&cluster, &["install", "--memory", "16"], Some(&component()))?.ok()?;
    ensure!(told.contains("The satellite uses it: FILE, FILE_THIN"), "{told}");
    heard(&cluster, "the component", |one| one["form"] == "COMPONENT" && one["memory_mib"] == 16)?;
    ensure!(cluster.device("web", "alpha")? == device && marked(&device, 6)? == "before", "the device in use changed");
    cluster.make_volume("made-by-component", "alpha", 65536)?;

    // One that may not do what it needs says so, and changes nothing of what is served.
    plugin(&cluster, &["install", "--no-files"], Some(&component()))?.ok()?;
    let told = plugin(&cluster, &["install"], Some(&component()))?.ok()?;
    ensure!(told.contains("what was granted to the version before it"), "{told}");
    heard(&cluster, "the component without files", |one| one["files"] == false)?;
    let told = |pools: &Value| pools.to_string().contains("may not make requests on files");
    cluster.rest().wait_for(Duration::from_secs(30), "/v1/nodes/alpha/storage-pools", told).context("the pool's fault is not told")?;
    ensure!(marked(&device, 6)? == "before");

    // As a library it is used after the next start.
    let told = plugin(&cluster, &["install", "--anew"], Some(&library()?))?.ok()?;
    ensure!(told.contains("is installed"), "{told}");
    cluster.kill_satellite("alpha");
    cluster.start_satellite("alpha", &[])?;
    heard(&cluster, "the library", |one| one["form"] == "LIBRARY" && one.get("fault").is_none())?;
    cluster.make_volume("made-by-library", "alpha", 65536)?;
    ensure!(cluster.device("web", "alpha")? == device && marked(&device, 6)? == "before", "the device in use changed");

    // A file that was changed behind its back is not loaded; what is part of the satellite serves.
    let listed = plugin(&cluster, &["list", "--local", "-o", "json"], None)?.ok()?;
    let listed: Value = serde_json::from_str(&listed)?;
    let file = listed[0]["file"].as_str().context("a path")?.to_owned();
    cluster.kill_satellite("alpha");
    std::fs::OpenOptions::new().write(true).open(&file)?.set_len(1000)?;
    cluster.start_satellite("alpha", &[])?;
    heard(&cluster, "the fault", |one| {
        one["fault"]["message"].as_str().is_some_and(|text| text.contains("not the file that was installed"))
    })?;
    cluster.make_volume("made-meanwhile", "alpha", 65536)?;

    plugin(&cluster, &["remove", "file"], None)?.ok()?;
    heard(&cluster, "the embedded provider again", |one| one["form"] == "EMBEDDED" && one.get("fault").is_none())?;
    ensure!(marked(&device, 6)? == "before");
    drop(open);
    for name in ["web", "made-by-component", "made-by-library", "made-meanwhile"] {
        cluster.delete_all_of(name)?;
    }
    ensure!(cluster.leftovers()?.is_empty(), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}

#[test]
fn files_that_are_no_plugins_are_refused_by_name() -> Result<()> {
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let scratch = cluster.scratch().path();
    let whole = std::fs::read(component())?;
    let library = std::fs::read(library()?)?;
    let foreign: Vec<u8> = library.iter().enumerate().map(|(at, byte)| if at == 18 { 243 } else { *byte }).collect();
    let half = |bytes: &[u8]| bytes.get(..bytes.len() / 2).map(<[u8]>::to_vec).unwrap_or_default();
    for (name, bytes, why) in [
        ("text.wasm", b"hello".to_vec(), "neither a WebAssembly component nor a dynamic library"),
        ("half.wasm", half(&whole), "cannot be used"),
        ("module.wasm", b"\0asm\x01\0\0\0".to_vec(), "cannot be used"),
        ("half.so", half(&library), "cut off"),
        ("riscv.so", foreign, "riscv"),
        ("short.so", b"\x7fELF\x02\x01".to_vec(), "cut off"),
    ] {
        let file = scratch.join(name);
        std::fs::write(&file, bytes)?;
        let said = plugin(&cluster, &["install"], Some(&file))?;
        ensure!(said.code() != 0 && said.stderr.contains(why), "{name}: {}", said.stderr);
    }
    let said = plugin(&cluster, &["install"], Some(&scratch.join("missing")))?;
    ensure!(said.code() != 0 && said.stderr.contains("cannot be read"), "{}", said.stderr);
    let said = plugin(&cluster, &["remove", "nothing"], None)?;
    ensure!(said.code() != 0 && said.stderr.contains("no plugin 'nothing'"), "{}", said.stderr);
    heard(&cluster, "nothing was installed", |one| one["form"] == "EMBEDDED")?;
    // A pool names only what is there.
    let pool = json!({"storage_pool_name": "pool", "provider_kind": "PLUGIN", "props": {"StorDriver/StorPoolName": "/srv/p"}});
    cluster.rest().post("/v1/nodes/alpha/storage-pools", &pool)?.refused(989)?;
    Ok(())
}
