//! Providers that misbehave in a satellite that serves other volumes meanwhile: each costs its own call, and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use berth_integration::{Cluster, Finished, Reply, berth, is_root, note, run, run_within, tool, until};
use serde_json::{Value, json};

const NODE: &str = "alpha";
const LIMIT: Duration = Duration::from_secs(60);
/// The property by which the hostile provider is told how to misbehave, and when.
const MISBEHAVE: &str = "StorDriver/Hostile/Misbehave";

fn plugin(cluster: &Cluster, words: &[&str], file: Option<&Path>) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.arg("plugin").args(words).args(file).arg("--data").arg(cluster.satellite_data(NODE)?);
    run_within(LIMIT, &mut command)
}

/// A library of this workspace, in a folder of its own that nobody else may write.
fn library(cluster: &Cluster, name: &str) -> Result<PathBuf> {
    let program = berth()?;
    let folder = program.parent().context("the program lies in a folder")?;
    let places = [folder.join(format!("lib{name}.so")), folder.join(format!("deps/lib{name}.so"))];
    let found = places.into_iter().find(|file| file.is_file()).with_context(|| format!("cargo build --workspace makes lib{name}.so"))?;
    let copy = cluster.scratch().sub("libraries")?.join(format!("{name}.so"));
    std::fs::copy(found, &copy)?;
    plain(&copy)?;
    Ok(copy)
}

/// A library of C.
fn of_c(cluster: &Cluster, name: &str, text: &str) -> Result<PathBuf> {
    let folder = cluster.scratch().sub("libraries")?;
    let (source, built) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&source, text)?;
    run("cc", &[Path::new("-shared"), Path::new("-fPIC"), Path::new("-o"), &built, &source])?.ok()?;
    plain(&built)?;
    Ok(built)
}

fn plain(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?)
}

/// A user of a volume: writes and reads back, round after round, until it is told to stop.
#[derive(Default)]
struct User {
    rounds: AtomicU64,
    is_done: AtomicBool,
    failed: Mutex<Option<String>>,
}

impl User {
    fn work(&self, device: &Path) {
        let work = || -> Result<()> {
            let file = File::options().read(true).write(true).open(device)?;
            while !self.is_done.load(Ordering::Relaxed) {
                let round = self.rounds.load(Ordering::Relaxed);
                let block = [u8::try_from(round % 251)?; 4096];
                let at = (round % 1024) * 4096;
                file.write_all_at(&block, at)?;
                file.sync_data()?;
                // What is read comes from the device, not from the memory of this machine.
                rustix::fs::fadvise(&file, at, std::num::NonZeroU64::new(4096), rustix::fs::Advice::DontNeed)?;
                let mut read = [0; 4096];
                file.read_exact_at(&mut read, at)?;
                ensure!(read == block, "round {round} read something else");
                self.rounds.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        if let Err(error) = work() {
            *self.failed.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(format!("{error:#}"));
        }
    }

    /// Waits until some more rounds went well.
    fn goes_on(&self) -> Result<()> {
        let before = self.rounds.load(Ordering::Relaxed);
        let failed = || self.failed.lock().unwrap_or_else(|poison| poison.into_inner()).clone();
        until(LIMIT, "the volume in use is written and read", || {
            failed().is_some() || self.rounds.load(Ordering::Relaxed) >= before.saturating_add(3)
        })?;
        failed().map_or(Ok(()), |why| Err(anyhow!("the volume in use: {why}")))
    }
}

/// Runs `case` while a volume of the satellite is in use; nothing of it may be felt there, and the satellite stays the process it was.
fn beside_a_volume_in_use(case: impl FnOnce(&Cluster, &User) -> Result<()>) -> Result<()> {
    let mut cluster = Cluster::with_nodes(&[NODE])?;
    let before = cluster.satellite(NODE)?.pid();
    let device = cluster.make_volume("web", NODE, 65536)?;
    let user = User::default();
    let done = std::thread::scope(|scope| {
        let working = scope.spawn(|| user.work(&device));
        let done = user.goes_on().and_then(|()| case(&cluster, &user)).and_then(|()| user.goes_on());
        user.is_done.store(true, Ordering::Relaxed);
        working.join().map_err(|_| anyhow!("the user of the volume failed")).and(done)
    });
    done?;
    ensure!(cluster.satellite(NODE)?.runs() && cluster.satellite(NODE)?.pid() == before, "the satellite is another process");
    cluster.delete_all_of("web")?;
    ensure!(cluster.leftovers()?.iter().all(|left| left.contains("bad-")), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}

/// Makes a pool whose provider misbehaves so when a volume is made; answers its name.
fn bad_pool(cluster: &Cluster, how: &str) -> Result<String> {
    let name = format!("bad-{how}");
    let folder = cluster.scratch().sub(&name)?;
    let props = json!({"StorDriver/StorPoolName": folder, "StorDriver/Provider": "hostile", MISBEHAVE: format!("create:{how}")});
    let body = json!({"storage_pool_name": name, "provider_kind": "PLUGIN", "props": props});
    let path = format!("/v1/nodes/{NODE}/storage-pools");
    // The controller hears of a new plugin a moment later than the satellite.
    berth_integration::within(LIMIT, &format!("pool {name} is made"), || {
        cluster.rest().post(&path, &body).and_then(Reply::ok).map_err(|error| format!("{error:#}"))
    })?;
    Ok(name)
}

/// Makes a volume in that pool; it must be refused with one error.
fn one_error(cluster: &Cluster, pool: &str) -> Result<String> {
    let rest = cluster.rest();
    let body = json!({"resource_definition": {"name": pool, "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    // The hostile provider tells of 1 MiB.
    let volume = json!({"volume_definition": {"size_kib": 512}});
    rest.post(&format!("/v1/resource-definitions/{pool}/volume-definitions"), &volume)?.ok()?;
    let replica = json!([{"resource": {"node_name": NODE, "props": {"StorPoolName": pool}}}]);
    let reply = rest.post(&format!("/v1/resource-definitions/{pool}/resources"), &replica)?;
    ensure!(reply.errors().len() == 1, "not one error: {} {}", reply.status, reply.text);
    let error = reply.entries().into_iter().find(|entry| reply.errors().contains(&entry.number)).context("an error")?;
    ensure!(!error.message.is_empty(), "not clear: {}", reply.text);
    Ok(reply.text)
}

/// A misbehaviour, another volume that is made while it lasts, and what is told of it.
fn misbehaves(cluster: &Cluster, user: &User, how: &str, told: &str) -> Result<()> {
    let pool = bad_pool(cluster, how)?;
    let beside = format!("beside-{how}");
    let text = std::thread::scope(|scope| {
        let bad = scope.spawn(|| one_error(cluster, &pool));
        let made = cluster.make_volume(&beside, NODE, 4096).with_context(|| format!("a volume beside '{how}'"));
        let text = bad.join().map_err(|_| anyhow!("it failed"))?;
        made?;
        text
    })
    .with_context(|| format!("'{how}'"))?;
    ensure!(text.contains(told), "'{how}' tells nothing of '{told}': {text}");
    user.goes_on().with_context(|| format!("after '{how}'"))?;
    cluster.delete_all_of(&beside)?;
    cluster.delete_all_of(&pool)?;
    cluster.rest().delete(&format!("/v1/nodes/{NODE}/storage-pools/{pool}"))?.ok().map(drop)
}

#[test]
fn a_component_that_misbehaves_costs_one_call() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    beside_a_volume_in_use(|cluster, user| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/sandbox/tests/fixtures/hostile.wasm");
        plugin(cluster, &["install", "--seconds", "2"], Some(&file))?.ok()?;
        for (how, told) in [
            ("abort", "It gave itself up"),
            ("recursion", "Provider 'hostile'"),
            ("panic", "on purpose"),
            ("loop", "took too long"),
            ("ask", "took too long"),
            ("grow", "may have 64 MiB"),
            // All 4 GiB that it can name: it is refused, and says so.
            ("pages", "refused: 4 GiB"),
            // Seven megabytes of output, of which it gets what it may have.
            ("flood", "stolen: 65536 0"),
            ("long-word", "1048576 bytes"),
            ("shadow", "cat"),
        ] {
            misbehaves(cluster, user, how, told)?;
        }
        plugin(cluster, &["remove", "hostile"], None)?.ok().map(drop)
    })
}

#[test]
fn a_library_that_misbehaves_or_does_not_fit_costs_one_call() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    tool("cc")?;
    beside_a_volume_in_use(|cluster, user| {
        plugin(cluster, &["install"], Some(&library(cluster, "berth_guest_hostile")?))?.ok()?;
        misbehaves(cluster, user, "panic", "on purpose")?;
        misbehaves(cluster, user, "shadow", "cat")?;

        let other = library(cluster, "berth_provider_file")?;
        let mut bytes = std::fs::read(&other)?;
        *bytes.get_mut(18).context("a header")? = 243;
        std::fs::write(&other, bytes)?;
        let bad = [
            ("layout", library(cluster, "berth_guest_misfit")?, "another layout of the contract"),
            ("symbol", of_c(cluster, "symbol", "int something(void) { return 1; }\n")?, "the symbol 'berth_provider_v0' is missing"),
            ("machine", other, "was built for riscv"),
            ("newer", of_c(cluster, "newer", "const char berth_provider_v3[64] = {0};\n")?, "was written for contract 3"),
        ];
        for (name, file, told) in &bad {
            let said = plugin(cluster, &["install"], Some(file))?;
            ensure!(said.code() == 1 && said.stderr.lines().count() == 1, "{name}: {} {}", said.code(), said.stderr);
            ensure!(said.stderr.contains(told), "{name}: {}", said.stderr);
            user.goes_on()?;
        }
        // The same files, put into the running satellite's folder by somebody: it tells of each, and goes on.
        let folder = cluster.satellite_data(NODE)?.join("plugins");
        for (name, file, _) in &bad {
            std::fs::copy(file, folder.join(format!("{name}.so")))?;
            plain(&folder.join(format!("{name}.so")))?;
            let sum = run("sha256sum", &[file])?.ok()?;
            let sum = sum.split_whitespace().next().context("a sum")?;
            std::fs::write(folder.join(format!("{name}.toml")), format!("file = \"{name}.so\"\nsha256 = \"{sum}\"\n"))?;
        }
        let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/provider-in-c/provider.wasm");
        plugin(cluster, &["install"], Some(&component))?.ok()?;
        let listed: Value = serde_json::from_str(&plugin(cluster, &["list", "--local", "-o", "json"], None)?.ok()?)?;
        for (name, _, told) in &bad {
            let one = listed.as_array().into_iter().flatten().find(|one| one["name"] == *name);
            let Some(one) = one else { bail!("{name} is not listed: {listed}") };
            ensure!(one["fault"]["message"].as_str().is_some_and(|text| text.contains(told)), "{name}: {one}");
        }
        cluster.make_volume("later", NODE, 4096)?;
        cluster.delete_all_of("later")
    })
}
