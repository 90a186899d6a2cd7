//! The figures of the README: `cargo xtask bench` prints them as a table.
//!
//! Measures the `berth` program that `BERTH_PROGRAM` or the profile names, as a user would meet it: whole processes, the wire, real loop devices.
//! Each figure is the median of its runs unless it says otherwise. Nothing is asserted: a slow machine is not a defect.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use berth_integration::{Cluster, Daemon, Rest, Scratch, count, is_root};
use serde_json::json;

/// Definitions beside which lists are measured.
const MANY: usize = 10_000;

fn main() -> Result<()> {
    if std::env::args().any(|word| word == "--list") {
        return Ok(());
    }
    let mut rows = Rows::default();
    start_and_idle(&mut rows)?;
    definitions(&mut rows)?;
    resources(&mut rows)?;
    if is_root() {
        volumes(&mut rows)?;
    } else {
        eprintln!("note: without root there are no loop devices; their figures are left out");
    }
    rows.print()
}

#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, what: &str, figure: String) {
        eprintln!("{what}: {figure}");
        self.0.push((what.to_owned(), figure));
    }

    fn print(&self) -> Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let kib: u64 =
            memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse().ok()).unwrap_or(0);
        println!("Measured on {cores} cores, {} GiB of memory.\n", kib >> 20);
        println!("| what | figure |\n|---|---|");
        for (what, figure) in &self.0 {
            println!("| {what} | {figure} |");
        }
        Ok(())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn times(runs: u32, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    (0..runs).map(|_| timed(&mut work)).collect::<Result<Vec<_>>>().map(median)
}

/// Resident memory of a process, in MiB.
fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).context("VmRSS is no number")?;
    Ok(kib / 1024.0)
}

/// Processor time of a process, in ticks of 10 ms.
fn ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("odd stat")?.1.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    Ok(field(11) + field(12))
}

fn idle_cpu(pid: u32, span: Duration) -> Result<f64> {
    let before = ticks(pid)?;
    std::thread::sleep(span);
    #[allow(clippy::cast_precision_loss)] // A few ticks.
    Ok((ticks(pid)? - before) as f64 * 10.0 / span.as_secs_f64())
}

fn start_and_idle(rows: &mut Rows) -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let starts = (0..count(5, 15))
        .map(|_| {
            cluster.kill_controller();
            timed(|| {
                cluster.start_controller()?;
                cluster.rest().get("/v1/controller/version")
            })
        })
        .collect::<Result<Vec<_>>>()?;
    rows.add("controller: start to the first answer, empty", ms(median(starts)));
    let pid = cluster.controller()?.pid();
    rows.add("controller: idle CPU per second", format!("{:.1} ms", idle_cpu(pid, Duration::from_secs(10))?));
    rows.add("controller: RSS, idle", format!("{:.0} MiB", rss_mib(pid)?));
    Ok(())
}

fn define(rest: &Rest, name: &str) -> Result<()> {
    let body = json!({"resource_definition": {"name": name, "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    let volume = json!({"volume_definition": {"size_kib": 65536}});
    rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &volume)?.ok()?;
    Ok(())
}

/// Definitions per second of so many clients.
fn define_rate(rest: &Rest, prefix: &str, clients: usize, each: usize) -> Result<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let works: Vec<_> = (0..clients)
            .map(|client| {
                let rest = rest.clone();
                scope.spawn(move || (0..each).try_for_each(|at| define(&rest, &format!("{prefix}_{client}_{at}"))))
            })
            .collect();
        works.into_iter().try_for_each(|work| work.join().map_err(|_| anyhow::anyhow!("a client failed"))?)
    })?;
    #[allow(clippy::cast_precision_loss)] // Some thousands.
    Ok((clients * each) as f64 / start.elapsed().as_secs_f64())
}

fn definitions(rows: &mut Rows) -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let rest = cluster.rest();
    rows.add("definition + volume definition, 1 client", format!("{:.0} /s", define_rate(&rest, "one", 1, 300)?));
    rows.add("the same, 16 clients, empty", format!("{:.0} /s", define_rate(&rest, "few", 16, 60)?));
    define_rate(&rest, "many", 16, MANY / 16)?;
    rows.add("the same, 16 clients, beside 10,000 definitions", format!("{:.0} /s", define_rate(&rest, "more", 16, 60)?));
    let list = times(10, || rest.length("/v1/resource-definitions?with_volume_definitions=true").map(|_| ()))?;
    rows.add("list of 10,000 definitions with volume definitions", ms(list));
    let page = times(20, || rest.get("/v1/resource-definitions?limit=50&offset=5000")?.ok().map(|_| ()))?;
    rows.add("one page of 50 of that list", ms(page));
    rows.add("GET /metrics beside 10,000 definitions", ms(times(10, || rest.get("/metrics")?.ok().map(|_| ()))?));
    rows.add("controller: RSS with 10,000 definitions, after lists", format!("{:.0} MiB", rss_mib(cluster.controller()?.pid())?));
    cluster.kill_controller();
    let start = timed(|| {
        cluster.start_controller()?;
        cluster.rest().get("/v1/controller/version")
    })?;
    rows.add("controller: start to the first answer, 10,000 definitions", ms(start));
    Ok(())
}

/// Pid of the controller of a development cluster in `dir`.
fn controller_of(dir: &Path) -> Result<u32> {
    let data = dir.join("controller");
    for entry in std::fs::read_dir("/proc").context("no /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        if words.any(|word| word == b"controller") && words.any(|word| word == data.as_os_str().as_encoded_bytes()) {
            return Ok(pid);
        }
    }
    anyhow::bail!("the controller does not run")
}

fn resources(rows: &mut Rows) -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let words =
        ["dev", "--dir", &dir.to_string_lossy(), "--listen", "127.0.0.1:0", "--nodes", "0", "--simulated", "20", "--latency-ms", "0"]
            .map(str::to_owned);
    let dev = Daemon::start(&scratch, "dev", words)?;
    let rest = Rest::new(dev.address());
    let group = json!({"name": "bench", "select_filter": {"place_count": 3, "storage_pool": "sim", "layer_stack": ["DRBD", "STORAGE"]}});
    rest.post("/v1/resource-groups", &group)?.ok()?;
    rest.post("/v1/resource-groups/bench/volume-groups", &json!({}))?.ok()?;
    let each = MANY.div_ceil(3 * 16);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let works: Vec<_> = (0..16)
            .map(|client| {
                let rest = rest.clone();
                scope.spawn(move || {
                    (0..each).try_for_each(|at| {
                        let body = json!({"resource_definition_name": format!("r_{client}_{at}"), "volume_sizes": [65536]});
                        rest.post("/v1/resource-groups/bench/spawn", &body)?.ok().map(|_| ())
                    })
                })
            })
            .collect();
        works.into_iter().try_for_each(|work| work.join().map_err(|_| anyhow::anyhow!("a client failed"))?)
    })?;
    #[allow(clippy::cast_precision_loss)] // Some thousands.
    let rate = (16 * each) as f64 / start.elapsed().as_secs_f64();
    rows.add("create on 3 of 20 simulated satellites, 16 clients, until all are ready", format!("{rate:.0} /s"));
    let raw = |path: &'static str| times(20, || rest.length(path).map(|_| ()));
    let mib = rest.length("/v1/view/resources")? >> 20;
    rows.add(&format!("GET /v1/view/resources, 10,000 DRBD resources ({mib} MiB), p50"), ms(raw("/v1/view/resources")?));
    rows.add("one page of 50 of that list", ms(raw("/v1/view/resources?limit=50&offset=5000")?));
    rows.add("one resource of it", ms(raw("/v1/view/resources?resources=r_3_3")?));
    rows.add("GET /metrics, 10,000 resources", ms(raw("/metrics")?));
    rows.add("controller: RSS, 10,000 resources on 20 nodes, after lists", format!("{:.0} MiB", rss_mib(controller_of(&dir)?)?));
    Ok(())
}

fn spawn(cluster: &Cluster, name: &str) -> Result<Duration> {
    let start = Instant::now();
    let body = json!({"resource_definition_name": name, "volume_sizes": [65536]});
    cluster.rest().post("/v1/resource-groups/bench/spawn", &body)?.ok()?;
    std::fs::File::open(cluster.device(name, "alpha")?).context("the device cannot be opened")?;
    Ok(start.elapsed())
}

fn volumes(rows: &mut Rows) -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    rows.add("satellite: RSS, idle", format!("{:.0} MiB", rss_mib(cluster.satellite("alpha")?.pid())?));
    let group = json!({"name": "bench", "select_filter": {"place_count": 1, "storage_pool": "thin", "layer_stack": ["STORAGE"]}});
    cluster.rest().post("/v1/resource-groups", &group)?.ok()?;
    cluster.rest().post("/v1/resource-groups/bench/volume-groups", &json!({}))?.ok()?;
    let alone = (0..20).map(|at| spawn(&cluster, &format!("alone_{at}"))).collect::<Result<Vec<_>>>()?;
    rows.add("spawn to usable device, beside few others", ms(median(alone)));
    let snapshots = (0..20).map(|at| timed(|| snapshot(&cluster, &format!("alone_{at}")))).collect::<Result<Vec<_>>>()?;
    rows.add("snapshot", ms(median(snapshots)));
    let together = timed(|| {
        std::thread::scope(|scope| {
            let cluster = &cluster;
            let works: Vec<_> = (0..30).map(|at| scope.spawn(move || spawn(cluster, &format!("burst_{at}")))).collect();
            works.into_iter().try_for_each(|work| work.join().map_err(|_| anyhow::anyhow!("a client failed"))?.map(|_| ()))
        })
    })?;
    rows.add("30 of them at once, all usable", ms(together));
    for at in 0..250 {
        spawn(&cluster, &format!("other_{at}"))?;
    }
    let beside = (0..20).map(|at| spawn(&cluster, &format!("late_{at}"))).collect::<Result<Vec<_>>>()?;
    rows.add("spawn to usable device, beside 300 others", ms(median(beside)));
    let deletes = (0..20)
        .map(|at| timed(|| cluster.rest().delete(&format!("/v1/resource-definitions/late_{at}"))?.ok()))
        .collect::<Result<Vec<_>>>()?;
    rows.add("delete", ms(median(deletes)));
    let pid = cluster.satellite("alpha")?.pid();
    // Idle begins when the last uses of devices have been looked at, twice ten seconds after them.
    std::thread::sleep(Duration::from_secs(21));
    rows.add("satellite: idle CPU per second, 300 resources", format!("{:.1} ms", idle_cpu(pid, Duration::from_secs(10))?));
    rows.add("satellite: RSS, 300 resources", format!("{:.0} MiB", rss_mib(pid)?));
    lists_while_hanging(rows, &mut cluster)?;
    Ok(())
}

fn snapshot(cluster: &Cluster, name: &str) -> Result<()> {
    cluster.rest().post(&format!("/v1/resource-definitions/{name}/snapshots"), &json!({"name": "snap"}))?.ok()?;
    Ok(())
}

fn lists_while_hanging(rows: &mut Rows, cluster: &mut Cluster) -> Result<()> {
    let rest = cluster.rest();
    cluster.freeze("alpha", true)?;
    let list = times(10, || rest.get("/v1/view/resources")?.ok().map(|_| ()));
    cluster.freeze("alpha", false)?;
    rows.add("list of 300 resources while the satellite hangs", ms(list?));
    let program = berth_integration::berth()?;
    let size = std::fs::metadata(&program).context("no program")?.len();
    let _version = Command::new(program).arg("--version").output().context("the program does not run")?;
    #[allow(clippy::cast_precision_loss)] // Some MiB.
    rows.add("one binary", format!("{:.0} MiB", size as f64 / 1048576.0));
    Ok(())
}
