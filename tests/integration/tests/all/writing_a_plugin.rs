//! `docs/writing-a-plugin.md`, followed from an empty folder to an answer of the plugin in a satellite.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, berth, run_within, within};

/// Time for a build of the SDK and what it needs.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// The blocks of commands of a page, in their order.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn a_plugin_comes_of_an_empty_folder_as_the_guide_says() -> Result<()> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let page = fs::read_to_string(sources.join("docs/writing-a-plugin.md"))?;
    let blocks = blocks(&page);
    ensure!(blocks.len() == 4, "the page has {} blocks", blocks.len());
    let mut cluster = Cluster::empty()?;
    let home = cluster.scratch().sub("newcomer")?;
    let programs = home.join("bin");
    fs::create_dir_all(&programs)?;
    symlink(berth()?, programs.join("berth"))?;
    // Built once and kept, beside what the tests themselves are built into.
    let kept = berth()?.parent().and_then(Path::parent).context("a target folder")?.join("newcomer");
    fs::create_dir_all(&kept)?;
    let real_home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let setting = |name: &str, usual: &str| std::env::var_os(name).map_or_else(|| real_home.join(usual), PathBuf::from);
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let made = home.join("my-platform");
    let data = cluster.scratch().path().join("satellite-data");
    let run = |folder: &Path, data: &Path, block: &str| {
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", block])
            .current_dir(folder)
            .env("PATH", &path)
            .env("HOME", &home)
            .env("BERTH_SOURCES", &sources)
            .env("BERTH_SATELLITE_DATA", data)
            .env("CARGO_HOME", setting("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", setting("RUSTUP_HOME", ".rustup"))
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("CARGO_TARGET_DIR");
        run_within(BUILD_LIMIT, &mut shell)
    };
    run(&home, &data, blocks[0])?.ok()?;
    symlink(&kept, made.join("target"))?;
    // Versions that are on this machine already.
    fs::copy(sources.join("Cargo.lock"), made.join("Cargo.lock"))?;
    let tested = run(&home, &data, blocks[1])?.ok()?;
    ensure!(tested.contains("2 passed"), "{tested}");
    run(&made, &data, blocks[2])?.ok()?;

    let built = kept.join("debug/libmy_platform.so");
    ensure!(page.contains("target/debug/libmy_platform.so"), "the page names another file than {}", built.display());
    // Where others may write no library is opened.
    let library = cluster.scratch().path().join("libmy_platform.so");
    fs::copy(built, &library)?;
    let address = cluster.address().to_owned();
    let environment = [("BERTH_SATELLITE_PLUGINS", library.to_str().context("a path")?), ("LS_CONTROLLERS", &address)];
    cluster.start_satellite("one", &environment)?;
    cluster.join("one")?;
    cluster.make_pool("one")?;
    cluster.make_volume("web", "one", 8192)?;
    let data = cluster.satellite_data("one")?;
    // It is started beside the satellite.
    let answer = within(Duration::from_secs(30), "the plugin answers", || {
        let done = run(&made, &data, blocks[3]).map_err(|error| format!("{error:#}"))?;
        done.ok().map_err(|error| format!("{error:#}"))
    })?;
    ensure!(serde_json::from_str::<serde_json::Value>(&answer)? == serde_json::json!(["one"]), "{answer}");
    let call = |words: &[&str]| {
        let mut command = Command::new(berth()?);
        command.args(["call", "--data"]).arg(&data).args(words);
        run_within(Duration::from_secs(60), &mut command)
    };
    let refused = call(&["my-platform", "sing"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("no operation 'sing'") && refused.stderr.contains("where"), "{refused:?}");
    let refused = call(&["nobody", "where"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("these do: my-platform"), "{refused:?}");
    is_told(&cluster, "what runs", |one| one["serves"] == "Tells where the data of volumes lies." && one.get("fault").is_none())?;
    installed(&mut cluster, &library)?;
    in_the_controller(&cluster, &library)?;
    cluster.delete_all_of("web")
}

/// Waits until the controller tells this of the plugin `my-platform`.
fn is_told(cluster: &Cluster, what: &str, fits: impl Fn(&serde_json::Value) -> bool) -> Result<()> {
    let found = |answer: &serde_json::Value| {
        answer["plugins"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "my-platform" && fits(one)))
    };
    let told = cluster.rest().wait_for(Duration::from_secs(30), "/v1/berth/plugins", found);
    told.map(drop).with_context(|| format!("the controller does not tell {what}"))
}

fn plugin(cluster: &Cluster, words: &[&str]) -> Result<berth_integration::Finished> {
    let mut command = Command::new(berth()?);
    command.arg("plugin").args(words);
    if words.first() != Some(&"inspect") {
        command.arg("--data").arg(cluster.satellite_data("one")?);
    }
    run_within(Duration::from_secs(60), &mut command)
}

/// The same plugin, installed for good instead of named at the start; and where signatures are required.
fn installed(cluster: &mut Cluster, library: &Path) -> Result<()> {
    let file = library.to_str().context("a path")?;
    let seen = plugin(cluster, &["inspect", file])?.ok()?;
    ensure!(seen.contains("Tells where the data of volumes lies.") && seen.contains("where: Nodes with the data of a volume"), "{seen}");
    let refused = plugin(cluster, &["install", file, "--grant-none"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("nothing can be granted"), "{refused:?}");
    let refused = plugin(cluster, &["install", file, "--config", "my.conf"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("absolute path"), "{refused:?}");

    cluster.kill_satellite("one");
    let address = cluster.address().to_owned();
    let controllers = ("LS_CONTROLLERS", address.as_str());
    cluster.start_satellite("one", &[controllers])?;
    cluster.wait_online("one")?;
    let said = plugin(cluster, &["install", file])?.ok()?;
    ensure!(said.contains("restart the satellite"), "{said}");
    is_told(cluster, "what was installed later", |one| one["fault"]["correction"] == "Restart the satellite")?;
    cluster.kill_satellite("one");
    cluster.start_satellite("one", &[controllers])?;
    is_told(cluster, "what is installed", |one| one.get("fault").is_none() && one["form"] == "LIBRARY")?;

    // Nobody has signed it.
    cluster.kill_satellite("one");
    let key = ("BERTH_SATELLITE_PLUGIN_KEYS", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3");
    cluster.start_satellite("one", &[controllers, key])?;
    is_told(cluster, "that it is not signed", |one| one["fault"]["message"].as_str().is_some_and(|text| text.contains("is not signed")))?;
    let said = plugin(cluster, &["remove", "my-platform"])?.ok()?;
    ensure!(said.contains("is removed"), "{said}");
    cluster.kill_satellite("one");
    cluster.start_satellite("one", &[controllers])?;
    cluster.wait_online("one")
}

/// The same plugin in a controller: its storage is that controller, and it cannot tell.
fn in_the_controller(cluster: &Cluster, library: &Path) -> Result<()> {
    let folder = cluster.scratch().path().join("second");
    let words: [&std::ffi::OsStr; 5] =
        ["controller".as_ref(), "--data".as_ref(), folder.as_os_str(), "--plugin".as_ref(), library.as_os_str()];
    let listen = [std::ffi::OsStr::new("--listen"), std::ffi::OsStr::new("127.0.0.1:0")];
    let controller = Daemon::start(cluster.scratch(), "second", words.into_iter().chain(listen))?;
    let log = cluster.scratch().path().join("second.log");
    within(Duration::from_secs(30), "it is started", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.contains("plugin started") && text.contains("ready to tell where volumes lie") { Ok(()) } else { Err(text) }
    })?;
    drop(controller);
    Ok(())
}

#[test]
fn a_plugin_that_cannot_be_used_is_told_and_the_satellite_serves_on() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let folder = cluster.scratch().path().to_owned();
    let write = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    };
    let whole = fs::read(berth()?)?;
    // Its own program: an ELF file of this machine, but no plugin. A part of it, and one of another machine.
    let cut = write("cut.so", &whole[..whole.len().min(4096)])?;
    let mut foreign = whole[..whole.len().min(1 << 16)].to_vec();
    foreign[18] = 243;
    let foreign = write("foreign.so", &foreign)?;
    let text = write("text.so", b"not a library")?;
    let missing = folder.join("missing.so").display().to_string();
    let all = [&cut, &foreign, &text, &missing].map(String::as_str).join(",");
    cluster.start_satellite("one", &[("BERTH_SATELLITE_PLUGINS", &all)])?;
    cluster.join("one")?;
    cluster.make_pool("one")?;
    cluster.make_volume("web", "one", 8192)?;
    let log = within(Duration::from_secs(30), "all are told", || {
        let log = fs::read_to_string(folder.join("satellite-one.log")).unwrap_or_default();
        if log.matches("plugin not started").count() == 4 { Ok(log) } else { Err(log) }
    })?;
    for word in ["cut.so", "foreign.so", "riscv", "text.so", "missing.so", "correction"] {
        ensure!(log.contains(word), "no {word} in {log}");
    }
    cluster.delete_all_of("web")
}
