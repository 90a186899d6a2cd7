//! Docker's own daemon with the volume plugin: real containers on real volumes.
//!
//! Source of the expected behaviour: Docker's volume plugin protocol, and `docs/docker.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Dockerd, IMAGE, berth, count, is_root, note, tool, until, within};
use serde_json::Value;

/// Time for something to settle.
pub const SETTLED: Duration = Duration::from_secs(40);

/// A cluster of one node whose satellite runs the plugin, and a Docker daemon.
pub struct Site {
    // Daemons end in this order: containers first.
    pub docker: Dockerd,
    pub cluster: Cluster,
    driver: String,
    pub socket: PathBuf,
    environment: Vec<(String, String)>,
}

/// The library that was built with the tests.
fn library() -> Result<PathBuf> {
    let folder = berth()?.parent().context("a folder")?.to_owned();
    let name = "libberth_plugin_docker_volume.so";
    let found = [folder.join(name), folder.join("deps").join(name)];
    let newest = found.into_iter().filter(|file| file.is_file()).max_by_key(|file| file.metadata().and_then(|of| of.modified()).ok());
    newest.with_context(|| format!("{name} is not beside {}; cargo build -p berth-plugin-docker-volume", folder.display()))
}

/// Whether this machine can run the tests here.
pub fn ready() -> bool {
    if !is_root() {
        note("no Docker daemon: that needs root");
        return false;
    }
    for program in ["dockerd", "docker", "busybox", "mkfs.ext4"] {
        if tool(program).is_err() {
            note(&format!("no Docker daemon: {program} is not installed"));
            return false;
        }
    }
    true
}

impl Site {
    pub fn new(conf: &str, more: &[&str]) -> Result<Self> {
        let mut cluster = Cluster::empty()?;
        let driver = format!("berth{}{}", std::process::id(), cluster.address().rsplit(':').next().unwrap_or_default());
        let socket = PathBuf::from(format!("/run/docker/plugins/{driver}.sock"));
        let folder = cluster.scratch().path().to_owned();
        let file = folder.join("docker-volume.conf");
        let text = format!(
            "[global]\nsocket = {}\nmount-root = {}\nreplicas = 1\nlayers = storage\n{conf}\n",
            socket.display(),
            folder.join("volumes").display()
        );
        fs::write(&file, text)?;
        let environment = vec![
            ("BERTH_SATELLITE_PLUGINS".to_owned(), format!("{}={}", library()?.display(), file.display())),
            ("LS_CONTROLLERS".to_owned(), cluster.address().to_owned()),
            ("BERTH_LOG".to_owned(), "info,plugin=debug,berth=debug".to_owned()),
        ];
        start(&mut cluster, &environment)?;
        cluster.join("one")?;
        cluster.make_pool("one")?;
        let docker = Dockerd::start(cluster.scratch(), more)?;
        let site = Self { docker, cluster, driver, socket, environment };
        site.until_served()?;
        Ok(site)
    }

    fn until_served(&self) -> Result<()> {
        until(SETTLED, "the plugin listens", || std::os::unix::net::UnixStream::connect(&self.socket).is_ok())?;
        // The session ends when a plugin has been started, and the next one tells of it.
        let runs = |answer: &Value| {
            let all = answer["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
            all.iter().any(|one| one["name"] == "docker-volume" && one.get("fault").is_none())
        };
        self.cluster.rest().wait_for(SETTLED, "/v1/berth/plugins", runs)?;
        self.cluster.wait_online("one")
    }

    pub fn start_satellite(&mut self) -> Result<()> {
        start(&mut self.cluster, &self.environment)?;
        self.until_served()
    }

    pub fn create(&self, name: &str, options: &[&str]) -> Result<()> {
        let mut words = vec!["volume", "create", "-d", &self.driver];
        for option in options {
            words.extend(["-o", option]);
        }
        words.push(name);
        self.docker.ok(&words).map(drop)
    }

    fn refused(&self, name: &str, options: &[&str]) -> Result<String> {
        let mut words = vec!["volume", "create", "-d", &self.driver];
        for option in options {
            words.extend(["-o", option]);
        }
        words.push(name);
        self.docker.fails(&words)
    }

    pub fn shell(&self, mount: &str, script: &str) -> Result<String> {
        self.docker.shell(mount, &self.driver, script)
    }

    /// A container in the background.
    pub fn run(&self, name: &str, mounts: &[&str], script: &str) -> Result<()> {
        let mut words = vec!["run", "-d", "--name", name, "--network", "none", "--volume-driver", &self.driver];
        for mount in mounts {
            words.extend(["-v", mount]);
        }
        words.extend([IMAGE, "sh", "-c", script]);
        self.docker.ok(&words).map(drop)
    }

    fn inspect(&self, name: &str) -> Result<Value> {
        let text = self.docker.ok(&["volume", "inspect", name])?;
        let all: Value = serde_json::from_str(&text)?;
        Ok(all[0].clone())
    }

    pub fn mounts(&self) -> usize {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let root = self.cluster.scratch().path().join("volumes");
        table.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| Path::new(point).starts_with(&root)).count()
    }

    fn definitions(&self) -> Result<Vec<String>> {
        let all = self.cluster.rest().get("/v1/resource-definitions")?.json;
        let name = |one: &Value| one["name"].as_str().map(str::to_owned);
        Ok(all.as_array().map(|all| all.iter().filter_map(name).collect()).unwrap_or_default())
    }

    /// No volume, mount, device or file is left.
    pub fn nothing_is_left(&self) -> Result<()> {
        ensure!(self.mounts() == 0, "{} mounts are left", self.mounts());
        within(SETTLED, "no volume is left", || {
            let (definitions, leftovers) = (
                self.definitions().map_err(|error| format!("{error:#}"))?,
                self.cluster.leftovers().map_err(|error| format!("{error:#}"))?,
            );
            if definitions.is_empty() && leftovers.is_empty() { Ok(()) } else { Err(format!("{definitions:?} {leftovers:?}")) }
        })
    }
}

fn start(cluster: &mut Cluster, environment: &[(String, String)]) -> Result<()> {
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    cluster.start_satellite("one", &environment)
}

impl Drop for Site {
    fn drop(&mut self) {
        self.docker.clear();
        // A socket that nobody serves holds up every Docker daemon of the machine.
        self.cluster.kill_satellite("one");
        fs::remove_file(&self.socket).ok();
        fs::remove_file(format!("{}.lock", self.socket.display())).ok();
    }
}

#[test]
fn a_volume_outlives_its_containers_and_every_daemon() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let mut site = Site::new("", &[])?;
    site.create("shop_data", &["size=64M", "uid=1000", "mode=0770"])?;
    ensure!(site.shell("shop_data:/data", "stat -c %u:%a /data && echo first > /data/a && sync")? == "1000:770");

    // Two containers, one of which has the volume at two places.
    site.run("one", &["shop_data:/data", "shop_data:/again"], "while true; do echo $((n=n+1)) > /data/n; sleep 0.1; done")?;
    site.run("two", &["shop_data:/data"], "sleep 10000")?;
    ensure!(site.docker.ok(&["exec", "two", "cat", "/data/a"])? == "first");
    ensure!(site.mounts() == 1, "one mount for all");
    let seen = site.inspect("shop_data")?;
    let status = &seen["Status"];
    ensure!(seen["Scope"] == "global" && seen["Driver"] == site.driver.as_str(), "{seen}");
    ensure!(status["users"] == 3 && status["size_kib"] == 65536 && status["file_system"] == "ext4", "{status}");
    ensure!(status["used_kib"].as_u64().is_some() && status["replicas"][0]["node"] == "one", "{status}");
    ensure!(seen["CreatedAt"].as_str().is_some_and(|at| at.starts_with("20")), "{seen}");
    let said = site.docker.fails(&["volume", "rm", "shop_data"])?;
    ensure!(said.contains("in use"), "{said}");

    // The satellite dies under the containers: they do not notice, and counts hold for the next one.
    site.cluster.kill_satellite("one");
    let before = site.docker.ok(&["exec", "two", "cat", "/data/n"])?;
    within(SETTLED, "the container goes on writing", || {
        let now = site.docker.ok(&["exec", "two", "cat", "/data/n"]).map_err(|error| format!("{error:#}"))?;
        if now == before { Err(now) } else { Ok(()) }
    })?;
    site.start_satellite()?;
    site.cluster.wait_online("one")?;
    site.docker.ok(&["rm", "-f", "one"])?;
    ensure!(site.mounts() == 1, "two has it still");
    ensure!(site.inspect("shop_data")?["Status"]["users"] == 1);

    // The daemon is killed: its containers are mounted again with the ids of before.
    site.docker.kill();
    site.docker.start_again()?;
    site.docker.ok(&["start", "two"])?;
    ensure!(site.docker.ok(&["exec", "two", "cat", "/data/a"])? == "first");
    ensure!(site.inspect("shop_data")?["Status"]["users"] == 1, "the id of before is no second user");
    site.docker.ok(&["rm", "-f", "two"])?;
    until(SETTLED, "nothing is mounted", || site.mounts() == 0)?;

    ensure!(site.shell("shop_data:/data", "cat /data/a")? == "first");
    site.docker.ok(&["volume", "prune", "-f"])?;
    ensure!(site.docker.ok(&["volume", "ls", "-q"])?.lines().any(|name| name == "shop_data"), "prune leaves ours alone");
    site.docker.ok(&["volume", "rm", "shop_data"])?;
    ensure!(!site.docker.ok(&["volume", "ls", "-q"])?.lines().any(|name| name == "shop_data"));
    site.nothing_is_left()
}

#[test]
fn names_of_dockers_never_fail_and_bad_options_make_nothing() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("[profile.small]\nsize = 8M", &[])?;
    // Docker's own rule lets no spaces and slashes through; to the plugin they come over its socket.
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bae6ad5a4d3b2a8e2c1f0";
    let long = format!("long.{}", "x".repeat(200));
    let names = [hex, "My.Volume", "my.volume", "9lives", "all", long.as_str()];
    for name in names {
        site.create(name, &["profile=small"])?;
        ensure!(site.shell(&format!("{name}:/data"), "echo it > /data/f; cat /data/f")? == "it");
    }
    let listed: BTreeSet<String> = site.docker.ok(&["volume", "ls", "-q"])?.lines().map(str::to_owned).collect();
    ensure!(names.iter().all(|name| listed.contains(*name)), "{listed:?}");
    for name in ["a b", "a/b", &"y".repeat(300)] {
        let body = serde_json::json!({"Name": name, "Opts": {"size": "8M"}}).to_string();
        ensure!(ask(&site.socket, "VolumeDriver.Create", &body)?.contains("\"Err\":\"\""), "{name}");
        ensure!(ask(&site.socket, "VolumeDriver.Get", &body)?.contains("\"Status\""), "{name}");
        ensure!(ask(&site.socket, "VolumeDriver.Remove", &body)?.contains("\"Err\":\"\""), "{name}");
    }
    for name in names {
        site.docker.ok(&["volume", "rm", name])?;
    }
    within(SETTLED, "all are gone", || match site.definitions() {
        Ok(all) if all.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })?;

    for (options, words) in [
        (vec!["repliacs=2"], vec!["'repliacs'", "did you mean 'replicas'"]),
        (vec!["size=10"], vec!["'size'", "10G"]),
        (vec!["size=1M"], vec!["'size'", "4M"]),
        (vec!["size=900T"], vec!["space"]),
        (vec!["fs=ext5"], vec!["'fs'", "ext4, xfs, btrfs"]),
        (vec!["nodes=one", "replicas=3"], vec!["'nodes' and 'replicas'"]),
        (vec!["from-volume=none"], vec!["'from-volume'", "'none'"]),
        (vec!["from-volume=a", "from-snapshot=a/b"], vec!["'from-volume' and 'from-snapshot'"]),
        (vec!["profile=smal"], vec!["'profile'", "did you mean 'small'"]),
        (vec!["resource-group=nobody"], vec!["nobody"]),
        (vec!["storage-pool=nowhere"], vec!["nowhere"]),
        (vec!["replicas=5"], vec!["replicas"]),
        (vec!["property.Nonsense/Key=1"], vec!["Nonsense/Key"]),
        (vec!["layers=drbd,storage", "quorum=perhaps"], vec!["'quorum'"]),
    ] {
        let said = site.refused("refused", &options)?;
        for word in words {
            ensure!(said.contains(word), "{options:?}: no {word} in {said}");
        }
    }
    ensure!(site.definitions()?.is_empty(), "what was refused made nothing: {:?}", site.definitions()?);
    for (call, body, word) in [
        ("VolumeDriver.Create", "{", "JSON"),
        ("VolumeDriver.Create", "{}", "names no volume"),
        ("VolumeDriver.Mount", r#"{"Name":"nobody","ID":"1"}"#, "no volume 'nobody'"),
        ("VolumeDriver.Explode", r#"{"Name":"x"}"#, "no call"),
        ("Something.Else", r#"{"Name":"x"}"#, "no call"),
    ] {
        let said = ask(&site.socket, call, body)?;
        ensure!(said.contains("\"Err\"") && said.contains(word), "{call} {body}: {said}");
    }
    ensure!(ask(&site.socket, "VolumeDriver.Unmount", r#"{"Name":"nobody","ID":"1"}"#)?.contains("\"Err\":\"\""));
    site.nothing_is_left()
}

/// A call of the protocol, without Docker; answers the body.
pub fn ask(socket: &Path, call: &str, body: &str) -> Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "POST /{call} HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[test]
fn snapshots_copies_and_sizes_go_beyond_dockers_own_calls() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("", &[])?;
    for fs in ["ext4", "xfs"] {
        let size = if fs == "xfs" { "size=320M" } else { "size=32M" };
        let (first, copy, restored) = (format!("first_{fs}"), format!("copy_{fs}"), format!("restored_{fs}"));
        site.create(&first, &[size, &format!("fs={fs}")])?;
        ensure!(site.shell(&format!("{first}:/data"), "echo one > /data/f && sync")?.is_empty());
        site.cluster.linstor(&["snapshot", "create", &first, "monday"])?;
        ensure!(site.shell(&format!("{first}:/data"), "echo two > /data/f && sync")?.is_empty());
        site.create(&copy, &[&format!("from-volume={first}")])?;
        site.create(&restored, &[&format!("from-snapshot={first}/monday")])?;
        // All three at once, on one host.
        let three = [format!("{first}:/a"), format!("{copy}:/b"), format!("{restored}:/c")];
        site.run(&format!("three_{fs}"), &three.each_ref().map(String::as_str), "sleep 10000")?;
        ensure!(site.docker.ok(&["exec", &format!("three_{fs}"), "cat", "/a/f", "/b/f", "/c/f"])? == "two\ntwo\none");
        ensure!(site.inspect(&copy)?["Status"]["file_system"] == fs);

        // Larger by the command line, while a container has it.
        let before = site.inspect(&first)?["Status"]["file_system_kib"].as_u64().context("a size")?;
        let larger = if fs == "xfs" { "640M" } else { "64M" };
        site.cluster.linstor(&["volume-definition", "set-size", &first, "0", larger])?;
        // Not every kernel lets a process of a container grow a mounted ext4.
        if fs == "ext4" {
            site.docker.ok(&["restart", "-t", "0", &format!("three_{fs}")])?;
        }
        within(SETTLED, "the file system has grown", || {
            let status = site.inspect(&first).map_err(|error| format!("{error:#}"))?["Status"].clone();
            if status["file_system_kib"].as_u64().is_some_and(|now| now > before * 3 / 2) { Ok(()) } else { Err(status.to_string()) }
        })?;
        site.docker.ok(&["rm", "-f", &format!("three_{fs}")])?;
        for name in [&first, &copy, &restored] {
            site.docker.ok(&["volume", "rm", name])?;
        }
    }
    site.create("kept", &["size=8M", "snapshot-on-remove=true"])?;
    ensure!(site.shell("kept:/data", "echo mine > /data/f && sync")?.is_empty());
    site.docker.ok(&["volume", "rm", "kept"])?;
    ensure!(site.definitions()? == ["kept-removed-1"], "{:?}", site.definitions()?);
    site.create("again", &["from-volume=kept-removed-1"])?;
    ensure!(site.shell("again:/data", "cat /data/f")? == "mine");
    site.docker.ok(&["volume", "rm", "again"])?;
    site.cluster.delete_all_of("kept-removed-1")?;
    site.nothing_is_left()
}

#[test]
fn without_a_controller_docker_is_told_within_five_seconds() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let mut site = Site::new("", &[])?;
    site.create("data", &["size=8M"])?;
    site.create("idle", &["size=8M"])?;
    site.run("holder", &["data:/data"], "echo there > /data/f; sleep 10000")?;
    site.cluster.kill_controller();
    let begun = Instant::now();
    let said = ask(&site.socket, "VolumeDriver.Get", r#"{"Name":"idle"}"#)?;
    ensure!(said.contains("No controller answered") && said.contains("Err"), "{said}");
    let said = ask(&site.socket, "VolumeDriver.Create", r#"{"Name":"other"}"#)?;
    ensure!(said.contains("No controller answered"), "{said}");
    ensure!(begun.elapsed() < Duration::from_secs(10), "both together: {:?}", begun.elapsed());
    // What is mounted can be used, and given up.
    ensure!(site.docker.ok(&["exec", "holder", "cat", "/data/f"])? == "there");
    site.docker.ok(&["rm", "-f", "holder"])?;
    until(SETTLED, "it is unmounted", || site.mounts() == 0)?;
    site.cluster.start_controller()?;
    site.cluster.wait_online("one")?;
    ensure!(site.shell("data:/data", "cat /data/f")? == "there");
    site.docker.ok(&["volume", "rm", "data", "idle"])?;
    site.nothing_is_left()
}

#[test]
fn many_containers_start_at_once_and_many_volumes_come_and_go() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("size = 8M", &[])?;
    site.create("shared", &[])?;
    let containers = count(20, 50);
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let start = |number: u32| {
            let site = &site;
            move || {
                // Every fifth has a volume of its own, which Docker makes for it.
                let mounts = if number.is_multiple_of(5) { format!("own{number}:/data") } else { "shared:/data".to_owned() };
                site.run(&format!("c{number}"), &[&mounts], &format!("echo {number} > /data/f{number}; sleep 10000"))
            }
        };
        let all: Vec<_> = (0..containers).map(|number| scope.spawn(start(number))).collect();
        all.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")))).collect()
    });
    for one in ended {
        one?;
    }
    let own = containers.div_ceil(5);
    ensure!(site.mounts() == usize::try_from(own)? + 1, "{} mounts", site.mounts());
    ensure!(site.inspect("shared")?["Status"]["users"] == containers - own);
    let ids = site.docker.ok(&["ps", "-aq"])?;
    let mut words = vec!["rm", "-f"];
    words.extend(ids.split_whitespace());
    site.docker.ok(&words)?;
    until(SETTLED, "nothing is mounted", || site.mounts() == 0)?;
    let listing = site.shell("shared:/data", "ls /data")?;
    ensure!(listing.lines().count() == usize::try_from(containers - own)?, "{listing}");
    site.docker.ok(&["volume", "rm", "shared"])?;
    for number in (0..containers).step_by(5) {
        site.docker.ok(&["volume", "rm", &format!("own{number}")])?;
    }
    site.nothing_is_left()?;

    for number in 0..count(10, 500) {
        let name = format!("cycle{}", number % 7);
        site.create(&name, &[])?;
        site.docker.ok(&["volume", "rm", &name])?;
    }
    site.nothing_is_left()
}

#[test]
fn live_restore_and_compose_keep_their_volumes() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let mut site = Site::new("size = 8M", &["--live-restore"])?;
    site.create("live", &[])?;
    site.run("holder", &["live:/data"], "echo there > /data/f; while true; do sleep 1; done")?;
    site.docker.terminate()?;
    ensure!(site.mounts() == 1, "the container lives on with its volume");
    site.docker.start_again()?;
    ensure!(site.docker.ok(&["exec", "holder", "cat", "/data/f"])? == "there");
    site.docker.ok(&["rm", "-f", "holder"])?;
    until(SETTLED, "it is unmounted", || site.mounts() == 0)?;
    site.docker.ok(&["volume", "rm", "live"])?;

    if tool("docker-compose").is_err() {
        note("no project: docker-compose is not installed");
    } else {
        let folder = site.cluster.scratch().sub("project")?;
        let text = format!(
            "version: '3.3'\nservices:\n  app:\n    image: {IMAGE}\n    network_mode: none\n    command: sh -c 'echo up >> /data/log; sleep 10000'\n    volumes: ['my_data:/data']\nvolumes:\n  my_data:\n    driver: {}\n    driver_opts:\n      size: '16M'\n",
            site.driver
        );
        fs::write(folder.join("docker-compose.yml"), text)?;
        let compose = |words: &[&str]| {
            let mut command = std::process::Command::new(tool("docker-compose")?);
            command.env("DOCKER_HOST", site.docker.host()).current_dir(&folder).args(words);
            berth_integration::run_within(Duration::from_secs(120), &mut command)?.ok()
        };
        compose(&["up", "-d"])?;
        ensure!(site.inspect("project_my_data")?["Status"]["size_kib"] == 16384);
        compose(&["down"])?;
        compose(&["up", "-d"])?;
        within(SETTLED, "the log has two lines", || {
            let text = compose(&["exec", "-T", "app", "cat", "/data/log"]).map_err(|error| format!("{error:#}"))?;
            if text == "up\nup\n" { Ok(()) } else { Err(text) }
        })?;
        compose(&["down", "-v"])?;
    }
    site.nothing_is_left()
}
