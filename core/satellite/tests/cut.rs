//! A satellite that is killed after its 1st, 2nd, … change comes to the same end, and nothing is left over.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use berth_model::layers::ProviderKind;
use berth_model::observed::Standing;
use berth_model::plan::{ContentSource, PlanItem, Wanted};
use berth_satellite::{Config, serve};
use common::*;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Not a test: the satellite as a process of its own, started by the tests below.
#[test]
#[ignore = "run by the other tests as a child process"]
fn child() {
    let Some(home) = std::env::var_os("SATELLITE_HOME") else { return };
    let home = Path::new(&home);
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    }
    let (announce, address) = oneshot::channel();
    let mut config = Config::new(home.join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    (config.dev_dir, config.announce) = (home.join("dev"), Some(announce));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(async move {
            let address: SocketAddr = address.await.unwrap();
            let folder = std::env::var("SATELLITE_HOME").unwrap();
            std::fs::write(format!("{folder}/address.new"), address.to_string()).unwrap();
            std::fs::rename(format!("{folder}/address.new"), format!("{folder}/address")).unwrap();
        });
        serve(config, CancellationToken::new()).await.unwrap();
    });
}

struct Process(Child);

impl Process {
    fn start(home: &Path, cut_after: Option<u64>) -> Self {
        drop(std::fs::remove_file(home.join("address")));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--ignored"]).env("SATELLITE_HOME", home).stdout(Stdio::null());
        // What a killed child leaves on the terminal helps nobody.
        if std::env::var_os("RUST_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        if let Some(count) = cut_after {
            command.env("BERTH_CUT_AFTER", count.to_string());
        }
        Self(command.spawn().unwrap())
    }

    async fn address(&mut self, home: &Path) -> SocketAddr {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(address) = std::fs::read_to_string(home.join("address")).ok().and_then(|text| text.parse().ok()) {
                return address;
            }
            assert!(tokio::time::Instant::now() < end, "the satellite did not start");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Everything that the world shows, with data; device numbers do not count.
fn picture(world: &Xfs) -> Vec<String> {
    let mut all: Vec<String> = world
        .files()
        .into_iter()
        .map(|name| {
            let path = world.pool().join(&name);
            let bytes = std::fs::read(&path).unwrap();
            let mark = sh(&["getfattr", "--only-values", "-n", "user.berth.mark", path.to_str().unwrap()]);
            format!("{name} {} {:?} {mark}", bytes.len(), String::from_utf8_lossy(&bytes[..3]))
        })
        .collect();
    all.extend(world.loops().into_iter().map(|(_, file)| format!("loop of {}", Path::new(&file).file_name().unwrap().to_str().unwrap())));
    let links = sh(&["find", world.path().join("dev").to_str().unwrap(), "-type", "l", "-printf", "%P\n"]);
    all.extend(links.lines().map(str::to_owned));
    all.sort();
    all
}

async fn settle(home: &Path, process: &mut Process, generation: &mut u64, place: &Path, items: &[PlanItem]) -> Option<bool> {
    let address = process.address(home).await;
    let mut controller = connect(address, hello(1)).await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    controller.generation = *generation;
    controller.whole(vec![pool(place, ProviderKind::FileThin)], items.to_vec()).await;
    *generation = controller.generation;
    let ids: Vec<Uuid> = items.iter().map(PlanItem::id).collect();
    loop {
        let rests =
            |id: &Uuid| controller.items.get(id).is_some_and(|seen| seen.generation >= *generation && seen.standing != Standing::Working);
        if ids.iter().all(rests) {
            return Some(ids.iter().all(|id| controller.items[id].fault.is_none()));
        }
        if !controller.hear().await {
            return None;
        }
    }
}

/// Runs `last` after `before`, cut at every change of it in turn.
async fn check(before: &[PlanItem], last: &[PlanItem]) {
    let mut expected: Option<Vec<String>> = None;
    // The first round is not cut.
    let rounds = std::iter::once(None).chain((1..200).map(Some));
    for cut in rounds {
        let Some(world) = Xfs::new() else { return };
        let home = world.path().to_owned();
        let mut generation = 0;
        let mut process = Process::start(&home, None);
        assert_eq!(settle(&home, &mut process, &mut generation, &world.pool(), before).await, Some(true));
        for (device, file) in world.loops() {
            if file.ends_with("web_00000.img") {
                std::fs::write(&device, "abc").unwrap();
                sh(&["blockdev", "--flushbufs", &device]);
            }
        }
        drop(process);
        let mut process = Process::start(&home, cut);
        let uncut = settle_or_die(&home, &mut process, &mut generation, &world.pool(), last).await;
        drop(process);
        let mut process = Process::start(&home, None);
        assert_eq!(settle(&home, &mut process, &mut generation, &world.pool(), last).await, Some(true), "cut at {cut:?}");
        let now = picture(&world);
        match &expected {
            None => expected = Some(now),
            Some(expected) => assert_eq!(&now, expected, "cut at {cut:?}"),
        }
        if uncut && cut.is_some() {
            println!("{} changes", cut.unwrap_or(0) - 1);
            return;
        }
    }
    panic!("it never ended uncut");
}

/// Whether it came to rest before it was cut.
async fn settle_or_die(home: &Path, process: &mut Process, generation: &mut u64, place: &Path, items: &[PlanItem]) -> bool {
    // Cut while it starts: there is no address, or nobody behind it.
    let end = tokio::time::Instant::now() + DEADLINE;
    while !home.join("address").exists() {
        if process.0.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(tokio::time::Instant::now() < end);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let address: SocketAddr = std::fs::read_to_string(home.join("address")).unwrap().parse().unwrap();
    let Some(mut controller) = try_connect(address).await else { return false };
    controller.generation = *generation;
    *generation += 1;
    let plan =
        berth_model::plan::PlanBody { pools: Some(vec![pool(place, ProviderKind::FileThin)]), items: items.to_vec(), forget: Vec::new() };
    if !controller.try_send(*generation, 0, &plan).await {
        return false;
    }
    let ids: Vec<Uuid> = items.iter().map(PlanItem::id).collect();
    loop {
        let rests =
            |id: &Uuid| controller.items.get(id).is_some_and(|seen| seen.generation >= *generation && seen.standing != Standing::Working);
        if ids.iter().all(rests) {
            return true;
        }
        if !controller.hear().await {
            return false;
        }
    }
}

fn web(kib: u64, wanted: Wanted, content: u128, source: ContentSource) -> PlanItem {
    replica("web", 100, kib, wanted, content, source)
}

fn fresh() -> PlanItem {
    web(16384, Wanted::Active, 102, ContentSource::Fresh)
}

fn kept(kib: u64) -> PlanItem {
    web(kib, Wanted::Active, 102, ContentSource::Kept)
}

fn taken(wanted: Wanted, taken: bool) -> PlanItem {
    snapshot("web", 100, "snap", 200, wanted, taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn create_and_grow() {
    check(&[], &[fresh()]).await;
    check(&[fresh()], &[kept(32768)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_rollback() {
    check(&[fresh()], &[kept(16384), taken(Wanted::Active, false)]).await;
    let back = web(32768, Wanted::Active, 103, from_snapshot("web", "snap", 200));
    check(&[web(32768, Wanted::Active, 102, ContentSource::Fresh), taken(Wanted::Active, false)], &[back, taken(Wanted::Active, true)])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_and_clone() {
    let restored = replica("rest", 300, 32768, Wanted::Active, 302, from_snapshot("web", "snap", 200));
    check(&[fresh(), taken(Wanted::Active, false)], &[kept(16384), taken(Wanted::Active, true), restored]).await;
    let cloned = replica("copy", 400, 16384, Wanted::Active, 402, from_volume("web", 100));
    check(&[fresh()], &[kept(16384), cloned]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_and_deactivate() {
    let gone = web(16384, Wanted::Absent, 102, ContentSource::Kept);
    check(&[fresh(), taken(Wanted::Active, false)], &[gone, taken(Wanted::Absent, true)]).await;
    check(&[fresh()], &[web(16384, Wanted::Inactive, 102, ContentSource::Kept)]).await;
}
