//! A satellite that is killed after its 1st, 2nd, … change comes to the same end, and nothing is left over.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use berth_model::layers::ProviderKind;
use berth_model::observed::Standing;
use berth_model::plan::{ContentSource, PlanItem, Wanted};
use common::process::Process;
use common::*;
use uuid::Uuid;

/// Not a test: see `process.rs`.
#[test]
#[ignore = "run by the other tests as a child process"]
fn child() {
    process::child();
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

async fn settle(process: &mut Process, generation: &mut u64, place: &Path, items: &[PlanItem]) -> Option<bool> {
    let address = process.address().await;
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
        assert_eq!(settle(&mut process, &mut generation, &world.pool(), before).await, Some(true));
        for (device, file) in world.loops() {
            if file.ends_with("web_00000.img") {
                std::fs::write(&device, "abc").unwrap();
                sh(&["blockdev", "--flushbufs", &device]);
            }
        }
        drop(process);
        let mut process = Process::start(&home, cut);
        let uncut = settle_or_die(&mut process, &mut generation, &world.pool(), last).await;
        drop(process);
        let mut process = Process::start(&home, None);
        assert_eq!(settle(&mut process, &mut generation, &world.pool(), last).await, Some(true), "cut at {cut:?}");
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
async fn settle_or_die(process: &mut Process, generation: &mut u64, place: &Path, items: &[PlanItem]) -> bool {
    // Cut while it starts: there is no address, or nobody behind it.
    let Some(address) = process.address_or_death().await else { return false };
    let Some(mut controller) = try_connect(address).await else { return false };
    controller.generation = *generation;
    *generation += 1;
    let plan = berth_model::plan::PlanBody {
        pools: Some(vec![pool(place, ProviderKind::FileThin)]),
        items: items.to_vec(),
        files: None,
        forget: Vec::new(),
    };
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
