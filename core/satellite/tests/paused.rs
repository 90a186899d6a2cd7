//! Satellites on simulated machines in paused time: the code of the daemon, and the same run each time.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use berth_model::layers::ProviderKind;
use berth_model::observed::{FaultKind, Holder, ItemSeen, Standing};
use berth_model::plan::{ContentSource, PlanItem, PoolPlan, Wanted};
use berth_plugin_sdk::{Files, Kib, Mark, MarkKind};
use berth_proto::refusal::Reason;
use berth_proto::up::Message;
use common::world::{Talk, World};
use common::{from_snapshot, hello, replica, snapshot};
use uuid::Uuid;

fn fresh(name: &str, number: u128) -> PlanItem {
    replica(name, number, 4096, Wanted::Active, number + 2, ContentSource::Fresh)
}

fn pools() -> Option<Vec<PoolPlan>> {
    Some(vec![common::pool(Path::new("/pool"), ProviderKind::FileThin)])
}

fn ids(items: &[PlanItem]) -> Vec<Uuid> {
    items.iter().map(PlanItem::id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_plan_is_reached_and_a_lost_one_is_noticed() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    assert!(matches!(talk.hear().await, Some(Message::Welcome(welcome)) if welcome.generation == 0));
    let items: Vec<PlanItem> = (0..40).map(|n| fresh(&format!("res{n}"), 100 + n * 10)).collect();
    talk.plan(0, pools(), items.clone()).await;
    assert!(talk.rest(&ids(&items)).await.iter().all(|seen| seen.standing == Standing::Settled));
    assert_eq!((world.memory.names().len(), world.links.lock().unwrap().len()), (40, 40));
    // Plan 2 is lost on the way; the sign of life after it says so.
    talk.generation += 1;
    talk.ping(1, 2).await;
    talk.until("the answer", |message| matches!(message, Message::Pong(_))).await;
    let asked = talk.until("a request for the whole", |message| matches!(message, Message::NeedWhole(_))).await;
    assert!(matches!(asked, Message::NeedWhole(need) if need.generation == 1));
    let fewer = vec![replica("res0", 100, 4096, Wanted::Absent, 102, ContentSource::Kept)];
    talk.plan(0, pools(), fewer.clone()).await;
    assert_eq!(talk.rest(&ids(&fewer)).await[0].standing, Standing::Gone);
    // What a plan does not name stays.
    assert_eq!(world.memory.names().len(), 39);
    talk.ping(2, talk.generation).await;
    talk.until("the answer", |message| matches!(message, Message::Pong(pong) if pong.number == 2)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(talk.up.is_empty(), "{:?}", talk.up.recv().await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_observation_is_sent_once_more() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    talk.plan(0, pools(), vec![fresh("web", 100)]).await;
    talk.rest(&ids(&[fresh("web", 100)])).await;
    let before = talk.observations.len();
    talk.need_report().await;
    talk.until("a report", |message| matches!(message, Message::Observation(_))).await;
    let report = &talk.observations[before];
    assert!(report.whole);
    assert_eq!((report.items.len(), report.pools.len()), (1, 1));
    talk.ping(1, 1).await;
    let pong = talk.until("the answer", |message| matches!(message, Message::Pong(_))).await;
    assert!(matches!(pong, Message::Pong(pong) if pong.observations == u64::try_from(talk.observations.len()).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn an_older_controller_is_refused_also_after_a_death() {
    let world = World::new();
    let satellite = world.start();
    let mut old = Talk::begin(&satellite, hello(4)).await;
    old.plan(0, pools(), vec![fresh("web", 100)]).await;
    old.rest(&ids(&[fresh("web", 100)])).await;
    let mut new = Talk::begin(&satellite, hello(5)).await;
    assert!(matches!(new.hear().await, Some(Message::Welcome(welcome)) if welcome.generation == 1));
    while old.hear().await.is_some() {}
    assert!(old.log.last().unwrap().contains("replaced"), "{:?}", old.log.last());
    satellite.kill();
    satellite.ended().await;
    assert_eq!(satellite.status().await, None);
    while new.hear().await.is_some() {}
    assert!(new.log.last().unwrap().ends_with("end"), "nobody is told by the dead: {:?}", new.log.last());
    let next = world.start();
    let status = next.status().await.unwrap();
    assert_eq!((status.epoch, status.generation, status.items, status.connected), (5, 1, 1, false));
    let mut stale = Talk::begin(&next, hello(4)).await;
    assert!(matches!(stale.hear().await, Some(Message::Refusal(refusal)) if refusal.reason() == Reason::StaleEpoch));
    assert!(stale.hear().await.is_none());
}

/// Alone it serves what it held, and changes nothing of its data; killed at any moment it goes on where it was.
#[tokio::test(start_paused = true)]
async fn a_satellite_that_is_killed_at_any_moment_ends_where_it_should() {
    for killed_after in 0..60 {
        let world = World::new();
        world.disk.lock().unwrap().latency = Duration::from_millis(2);
        let satellite = world.start();
        let mut talk = Talk::begin(&satellite, hello(1)).await;
        let items = vec![fresh("web", 100), snapshot("web", 100, "snap", 200, Wanted::Active, false), fresh("db", 300)];
        talk.plan(0, pools(), items.clone()).await;
        talk.plan(1, None, vec![replica("copy", 400, 8192, Wanted::Active, 402, from_snapshot("web", "snap", 200))]).await;
        tokio::time::sleep(Duration::from_millis(killed_after)).await;
        satellite.kill();
        satellite.ended().await;
        let files = world.memory.names();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.memory.names(), files, "the dead change nothing");
        let next = world.start();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let made = |names: Vec<String>| names.into_iter().filter(|name| name.ends_with(".img")).collect::<Vec<_>>();
        assert_eq!(made(world.memory.names()), made(files), "alone it makes nothing");
        let mut talk = Talk::begin(&next, hello(1)).await;
        let Some(Message::Welcome(welcome)) = talk.hear().await else { panic!("not welcome") };
        talk.generation = welcome.generation;
        let mut all = items.clone();
        all.push(replica("copy", 400, 8192, Wanted::Active, 402, from_snapshot("web", "snap", 200)));
        talk.plan(0, pools(), all.clone()).await;
        talk.settle(&ids(&all)).await;
        assert_eq!(world.memory.names(), ["copy_00000.img", "db_00000.img", "web_00000.img", "web_00000_snap.img"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_be_kept_is_not_obeyed() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    talk.plan(0, pools(), vec![fresh("web", 100)]).await;
    talk.rest(&ids(&[fresh("web", 100)])).await;
    for base in [1, 0] {
        world.disk.lock().unwrap().broken = true;
        talk.plan(base, pools(), vec![fresh("db", 300)]).await;
        while talk.hear().await.is_some() {}
        assert!(talk.log.iter().any(|line| line.contains("cannot keep its plan")), "{:?}", talk.log);
        world.disk.lock().unwrap().broken = false;
        talk = Talk::begin(&satellite, hello(1)).await;
        assert!(matches!(talk.hear().await, Some(Message::Welcome(welcome)) if welcome.generation == 1));
        talk.generation = 1;
    }
    assert_eq!(world.memory.names(), ["web_00000.img"]);
    // After a whole one that failed nobody knows which one is on disk: nothing may build on it.
    talk.plan(1, None, vec![fresh("db", 300)]).await;
    talk.until("a request for the whole", |message| matches!(message, Message::NeedWhole(_))).await;
    talk.plan(0, pools(), vec![fresh("web", 100), fresh("db", 300)]).await;
    talk.rest(&ids(&[fresh("db", 300)])).await;
    talk.plan(talk.generation, None, vec![fresh("third", 500)]).await;
    talk.rest(&ids(&[fresh("third", 500)])).await;
    satellite.kill();
    assert_eq!(world.start().status().await.unwrap().items, 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_in_the_way_is_named() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    talk.plan(0, pools(), vec![fresh("web", 100)]).await;
    talk.rest(&ids(&[fresh("web", 100)])).await;
    world.holders.lock().unwrap().push((77, "qemu".into()));
    let idle = replica("web", 100, 4096, Wanted::Inactive, 102, ContentSource::Kept);
    talk.plan(1, None, vec![idle.clone()]).await;
    let fault = talk.rest(&ids(&[idle])).await.remove(0).fault.unwrap();
    assert_eq!(fault.kind, FaultKind::InUse);
    assert_eq!(fault.holders, [Holder::Process { device: "/dev/memory/1".into(), pid: 77, command: "qemu".into() }]);
    assert_eq!(fault.cause, "/dev/memory/1 is used: process 77 (qemu) has it open");
    world.holders.lock().unwrap().clear();
    satellite.devices_used(vec!["/dev/memory/1".into()]).await;
    talk.settle(&[Uuid::from_u128(100)]).await;
}

fn strangers_mark(cluster: Uuid, number: u128, name: &str) -> Option<String> {
    let id = Uuid::from_u128;
    Some(Mark { kind: MarkKind::Volume, cluster, generation: id(number), content: id(number + 1), name: name.into() }.render())
}

#[tokio::test(start_paused = true)]
async fn what_no_item_names_is_told_and_never_touched() {
    let world = World::new();
    world.memory.put("old_00000.img", Kib(64), strangers_mark(common::CLUSTER, 901, "old/0"));
    world.memory.put("late_00000.img", Kib(64), strangers_mark(common::CLUSTER, 301, "late/0"));
    world.memory.put("other_00000.img", Kib(64), strangers_mark(Uuid::from_u128(0xc2), 902, "other/0"));
    world.memory.put("nobody_00000.img", Kib(64), None);
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    let items = vec![fresh("web", 100), snapshot("web", 100, "snap", 200, Wanted::Active, false)];
    talk.plan(0, pools(), items.clone()).await;
    // The first list is of a satellite without pools.
    while talk.strangers().await != ["pool/late_00000 late/0 301", "pool/old_00000 old/0 901"] {}
    talk.settle(&ids(&items)).await;
    // Named by a plan, it is no stranger any more.
    talk.plan(1, None, vec![fresh("late", 300)]).await;
    assert_eq!(talk.strangers().await, ["pool/old_00000 old/0 901"]);
    // An item that a whole plan leaves out stays, and is told with its snapshot.
    talk.plan(0, pools(), vec![fresh("late", 300)]).await;
    let told = talk.strangers().await;
    assert_eq!(told, ["pool/old_00000 old/0 901", "pool/web_00000 web/0 101", "pool/web_00000_snap web/0@snap 201"]);
    talk.plan(0, pools(), [items, vec![fresh("late", 300)]].concat()).await;
    assert_eq!(talk.strangers().await, ["pool/old_00000 old/0 901"]);
    // Somebody moves it away: the next scan tells.
    Files::remove(&world.memory, "old_00000.img").unwrap();
    assert_eq!(talk.strangers().await, Vec::<String>::new());
    let names = ["late_00000.img", "nobody_00000.img", "other_00000.img", "web_00000.img", "web_00000_snap.img"];
    assert_eq!(world.memory.names(), names);
    // A later session is told anew.
    let mut again = Talk::begin(&satellite, hello(2)).await;
    assert_eq!(again.strangers().await, Vec::<String>::new());
}

/// Volumes come and go while the pools are listed again and again; none of them is ever taken for a stranger.
#[tokio::test(start_paused = true)]
async fn an_old_generation_leaves_the_path_of_the_new_one() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    let old = fresh("web", 100);
    talk.plan(0, pools(), vec![old.clone()]).await;
    talk.settle(&[old.id()]).await;
    // The same name again, beside what is left of the old one.
    let mut new = fresh("web", 300);
    let PlanItem::Resource(plan) = &mut new else { unreachable!("a replica") };
    plan.volumes[0].backing = "web_00000.1".into();
    talk.plan(0, pools(), vec![new.clone()]).await;
    talk.settle(&[new.id()]).await;
    let path = world.links.lock().unwrap().clone();
    talk.plan(0, pools(), vec![replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept), new.clone()]).await;
    assert_eq!(talk.rest(&[old.id()]).await[0].standing, Standing::Gone);
    assert_eq!(world.memory.names(), ["web_00000.1.img"]);
    assert_eq!(*world.links.lock().unwrap(), path, "it still points at the new one");
}

#[tokio::test(start_paused = true)]
async fn what_is_just_made_or_removed_is_no_stranger() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    talk.plan(0, pools(), Vec::new()).await;
    for round in 0..60u64 {
        let number = 1000 + u128::from(round) * 10;
        let name = format!("res{round}");
        talk.plan(talk.generation, None, vec![fresh(&name, number)]).await;
        tokio::time::sleep(Duration::from_millis(round % 9)).await;
        // A pool that is planned anew is listed.
        let mut anew = pools().unwrap();
        anew[0].props.insert_internal("StorDriver/x", round.to_string());
        talk.plan(talk.generation, Some(anew), Vec::new()).await;
        tokio::time::sleep(Duration::from_millis(round % 5)).await;
        let gone = replica(&name, number, 4096, Wanted::Absent, number + 2, ContentSource::Kept);
        talk.plan(talk.generation, None, vec![gone.clone()]).await;
        assert_eq!(talk.rest(&ids(&[gone])).await[0].standing, Standing::Gone);
        talk.forget(&[Uuid::from_u128(number)]).await;
    }
    let listed = talk.observations.iter().filter_map(|seen| seen.strangers.as_ref());
    let count = listed.clone().count();
    assert!(count > 30, "only {count} lists");
    assert!(listed.clone().all(Vec::is_empty), "{:?}", listed.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_told_as_lost() {
    let world = World::new();
    let satellite = world.start();
    let mut talk = Talk::begin(&satellite, hello(1)).await;
    let items = vec![fresh("web", 100), snapshot("web", 100, "snap", 200, Wanted::Active, false)];
    talk.plan(0, pools(), items.clone()).await;
    talk.settle(&ids(&items)).await;
    let kept =
        vec![replica("web", 100, 4096, Wanted::Active, 102, ContentSource::Kept), snapshot("web", 100, "snap", 200, Wanted::Active, true)];
    talk.plan(1, None, kept.clone()).await;
    talk.settle(&ids(&kept)).await;
    Files::remove(&world.memory, "web_00000.img").unwrap();
    Files::remove(&world.memory, "web_00000_snap.img").unwrap();
    let lost = |seen: &ItemSeen| seen.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Lost);
    while !ids(&kept).iter().all(|id| lost(&talk.items[id])) {
        talk.hear().await.unwrap();
    }
    assert_eq!(world.memory.names(), Vec::<String>::new());
}

/// One life with all kinds of things in it, as text.
fn run() -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        let satellite = world.start();
        let mut talk = Talk::begin(&satellite, hello(1)).await;
        let mut items: Vec<PlanItem> = (0..30).map(|n| fresh(&format!("res{n}"), 1000 + n * 10)).collect();
        items.extend((0..30).map(|n| snapshot(&format!("res{n}"), 1000 + n * 10, "snap", 5000 + n * 10, Wanted::Active, false)));
        talk.plan(0, pools(), items.clone()).await;
        talk.ping(1, 7).await;
        talk.rest(&ids(&items)).await;
        talk.need_report().await;
        let rest: Vec<PlanItem> = (0..15)
            .map(|n| replica(&format!("res{n}"), 1000 + n * 10, 8192, Wanted::Inactive, 1002 + n * 10, ContentSource::Kept))
            .chain((15..30).map(|n| replica(&format!("res{n}"), 1000 + n * 10, 4096, Wanted::Absent, 1002 + n * 10, ContentSource::Kept)))
            .collect();
        world.memory.put("res3_00000.img", Kib(1), None);
        talk.plan(1, None, rest.clone()).await;
        talk.rest(&ids(&rest)).await;
        satellite.kill();
        while talk.hear().await.is_some() {}
        let mut log = talk.log;
        let mut again = Talk::begin(&world.start(), hello(2)).await;
        again.until("a whole report", |message| matches!(message, Message::Observation(_))).await;
        log.extend(again.log);
        log.extend(world.memory.state());
        log
    })
}

#[test]
fn a_run_is_the_same_each_time() {
    let first = run();
    assert!(first.len() > 50, "{first:#?}");
    for _ in 0..3 {
        assert_eq!(run(), first);
    }
}
