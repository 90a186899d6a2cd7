//! A satellite on this machine, with real files and loop devices.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use berth_model::layers::ProviderKind;
use berth_model::names::ResourceName;
use berth_model::observed::{FaultKind, Holder, Standing, Stranger};
use berth_model::plan::{ContentSource, PlanBody, PlanItem, Wanted};
use berth_proto::refusal::Reason;
use berth_satellite::{Config, local, serve};
use common::*;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Satellite {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Satellite {
    async fn start(home: &Path) -> Self {
        Self::start_with(home, |_| {}).await
    }

    async fn start_with(home: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let (announce, address) = oneshot::channel();
        let mut config = Config::new(home.join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
        (config.dev_dir, config.announce) = (home.join("dev"), Some(announce));
        change(&mut config);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { serve(config, token).await.unwrap() });
        Self { address: address.await.unwrap(), stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}

fn fresh(name: &str, number: u128, kib: u64) -> berth_model::plan::PlanItem {
    replica(name, number, kib, Wanted::Active, number + 2, ContentSource::Fresh)
}

fn write(device: &str, text: &str) {
    let mut file = std::fs::OpenOptions::new().write(true).open(device).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
}

fn read(device: &str, length: usize) -> String {
    let mut bytes = vec![0; length];
    std::fs::File::open(device).unwrap().read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_volume() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    assert!(controller.capabilities().root);
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![fresh("web", 100, 65536)]).await;
    let seen = controller.rest(&[uuid::Uuid::from_u128(100)]).await.remove(0);
    assert_eq!((seen.standing, seen.fault.clone()), (Standing::Settled, None));
    let loop_device = device(&seen);
    let link = world.path().join("dev/by-res/web/0");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str().unwrap(), loop_device);
    assert!(controller.pools["pool"].snapshots);
    write(&loop_device, "one");

    // Snapshots, more data, a rollback to the older one, growth under use.
    let first = controller.plan(vec![snapshot("web", 100, "s1", 200, Wanted::Active, false)]).await.remove(0);
    assert_eq!(first.standing, Standing::Settled);
    write(&loop_device, "two");
    assert_eq!(controller.plan(vec![snapshot("web", 100, "s2", 210, Wanted::Active, false)]).await[0].standing, Standing::Settled);
    write(&loop_device, "333");
    let back = replica("web", 100, 65536, Wanted::Active, 77, from_snapshot("web", "s1", 200));
    let seen = controller.plan(vec![back.clone()]).await.remove(0);
    assert_eq!(seen.standing, Standing::Settled, "{seen:?}");
    assert_eq!(read(&device(&seen), 3), "one");
    write(&device(&seen), "new");
    // The same plan again throws nothing away.
    let seen = controller.plan(vec![back]).await.remove(0);
    assert_eq!(read(&device(&seen), 3), "new");
    let grown = replica("web", 100, 131_072, Wanted::Active, 77, ContentSource::Kept);
    let seen = controller.plan(vec![grown]).await.remove(0);
    assert_eq!(sh(&["blockdev", "--getsize64", &device(&seen)]).trim(), (131_072u64 * 1024).to_string());

    // A volume from a snapshot and one from a volume.
    let restored = replica("rest", 300, 65536, Wanted::Active, 302, from_snapshot("web", "s2", 210));
    let cloned = replica("copy", 400, 131_072, Wanted::Active, 402, from_volume("web", 100));
    let both = controller.plan(vec![restored, cloned]).await;
    assert_eq!(read(&device(&both[0]), 3), "two");
    assert_eq!(read(&device(&both[1]), 3), "new");

    // In use: not deleted, not detached; afterwards gone without a trace.
    sh(&["mkfs.ext4", "-q", &device(&both[0])]);
    let mount = world.path().join("here");
    std::fs::create_dir(&mount).unwrap();
    sh(&["mount", &device(&both[0]), mount.to_str().unwrap()]);
    let id = both[0].id;
    controller.until("the mount is noticed", |own| own.items[&id].volumes.first().is_some_and(|v| v.in_use)).await;
    let gone = |name: &str, number: u128| replica(name, number, 65536, Wanted::Absent, number + 2, ContentSource::Kept);
    let refused = controller.plan(vec![gone("rest", 300)]).await.remove(0);
    let fault = refused.fault.unwrap();
    assert_eq!((refused.standing, fault.kind), (Standing::Faulty, FaultKind::InUse));
    assert!(fault.cause.contains(mount.to_str().unwrap()), "{fault:?}");
    let path = mount.to_str().unwrap().to_owned();
    assert!(fault.holders.contains(&Holder::Mount { device: device(&both[0]), path }), "{fault:?}");
    sh(&["umount", mount.to_str().unwrap()]);
    controller.until("it goes after the unmount", |own| own.items[&id].standing == Standing::Gone).await;
    let absent = vec![
        gone("web", 100),
        gone("copy", 400),
        snapshot("web", 100, "s1", 200, Wanted::Absent, true),
        snapshot("web", 100, "s2", 210, Wanted::Absent, true),
    ];
    assert!(controller.plan(absent).await.iter().all(|seen| seen.standing == Standing::Gone));
    assert_eq!((world.files(), world.loops()), (vec![], vec![]));
    assert!(!world.path().join("dev/by-res/web").exists());
    satellite.end().await;
}

/// The folder of a node that was given up for lost, and of another cluster: told, and left alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_plan_does_not_name_is_told_and_stays() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let items = vec![fresh("web", 100, 65536), fresh("db", 300, 4096), snapshot("web", 100, "s1", 200, Wanted::Active, false)];
    let ids: Vec<_> = items.iter().map(PlanItem::id).collect();
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], items).await;
    assert!(controller.rest(&ids).await.iter().all(|seen| seen.standing == Standing::Settled));
    std::fs::write(world.pool().join("foreign_00000.img"), b"data").unwrap();
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![fresh("db", 300, 4096)]).await;
    controller.until("the list", |own| own.strangers.as_ref().is_some_and(|all| all.len() == 2)).await;
    let told = controller.strangers.take().unwrap();
    let row =
        |one: &Stranger| (one.backing.clone(), one.snapshot, one.id.as_u128(), one.content.as_u128(), one.name.clone(), one.size_kib.0);
    let expected = [("web_00000", false, 101, 102, "web/0"), ("web_00000_s1", true, 201, 102, "web/0@s1")];
    let expected =
        expected.map(|(backing, snapshot, id, content, name)| (backing.to_owned(), snapshot, id, content, name.to_owned(), 65536));
    assert_eq!(told.iter().map(row).collect::<Vec<_>>(), expected);
    assert_eq!(world.files(), ["db_00000.img", "foreign_00000.img", "web_00000.img", "web_00000_s1.img"]);
    satellite.end().await;
    // Told anew by the next life, after its start.
    let satellite = Satellite::start(world.path()).await;
    let mut again = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    again.until("the list", |own| own.strangers.as_ref() == Some(&told)).await;
    satellite.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_served_without_a_controller() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(5)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let items: Vec<_> = (0..5).map(|n| fresh(&format!("res{n}"), 100 + n * 10, 16384)).collect();
    controller.whole(vec![pool(&world.pool(), ProviderKind::File)], items).await;
    let ids: Vec<_> = (0..5).map(|n| uuid::Uuid::from_u128(100 + n * 10)).collect();
    for (n, seen) in controller.rest(&ids).await.iter().enumerate() {
        write(&device(seen), &format!("data {n}"));
    }
    satellite.end().await;
    assert_eq!(world.loops().len(), 5, "the end of the satellite ended the devices");

    // A reboot: devices gone, links stale; one file lost: it is not made anew.
    for (device, _) in world.loops() {
        sh(&["losetup", "-d", &device]);
    }
    std::fs::remove_file(world.pool().join("res4_00000.img")).unwrap();
    let satellite = Satellite::start(world.path()).await;
    let data = world.path().join("data");
    let end = tokio::time::Instant::now() + DEADLINE;
    while world.loops().len() < 4 {
        assert!(tokio::time::Instant::now() < end, "not attached: {:?}", local::get_resources(&data).await);
        tokio::task::yield_now().await;
    }
    let status = local::get_status(&data).await.unwrap();
    assert_eq!((status.connected, status.items, status.epoch), (false, 5, 5));
    let by_res = |n: u32| world.path().join(format!("dev/by-res/res{n}/0"));
    let name = ResourceName::parse("res2").unwrap();
    // In use: refused, and nothing of it is done later.
    use rustix::fs::{Mode, OFlags, open};
    assert_eq!(local::post_attach(&data, &name).await.unwrap().by_hand, None);
    let held = open(by_res(2), OFlags::RDONLY | OFlags::EXCL, Mode::empty()).unwrap();
    let refused = local::post_detach(&data, &name).await.unwrap_err();
    assert!(matches!(&refused, local::LocalError::Refused(why) if why.contains("in use")), "{refused:?}");
    drop(held);
    let all = local::get_resources(&data).await.unwrap();
    assert_eq!(all.iter().find(|state| state.resource == name).unwrap().by_hand, None);
    assert!(by_res(2).exists());
    let state = local::post_detach(&data, &name).await.unwrap();
    assert_eq!(state.by_hand, Some(false));
    let told = state.seen.unwrap().fault.expect("it is told to the controller, too");
    assert!(
        told.kind == FaultKind::ByHand && told.message.contains("detached by hand on ") && told.message.contains(" since 20"),
        "{told:?}"
    );
    assert!(told.correction.contains("berth local attach res2"), "{told:?}");
    assert!(!by_res(2).exists());
    assert_eq!(world.loops().len(), 3);
    let state = local::post_attach(&data, &name).await.unwrap();
    let seen = state.seen.unwrap();
    assert_eq!((state.by_hand, seen.standing, seen.fault), (None, Standing::Settled, None));
    for n in 0..4 {
        assert_eq!(read(by_res(n).to_str().unwrap(), 6), format!("data {n}"));
    }
    let unknown = local::post_attach(&data, &ResourceName::parse("other").unwrap()).await.unwrap_err().to_string();
    assert!(unknown.contains("'other'") && unknown.contains("'berth local resources'"), "{unknown}");
    assert_eq!(world.files(), ["res0_00000.img", "res1_00000.img", "res2_00000.img", "res3_00000.img"]);
    satellite.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_controller_and_plan_are_obeyed() {
    let home = tempfile::tempdir().unwrap();
    let satellite = Satellite::start(home.path()).await;
    let mut old = connect(satellite.address, hello(3)).await.unwrap_or_else(|r| panic!("{r:?}"));
    old.whole(Vec::new(), Vec::new()).await;
    old.until("the whole state", |own| own.wholes == 1).await;
    let end = tokio::time::Instant::now() + DEADLINE;
    while local::get_status(&home.path().join("data")).await.unwrap().generation == 0 {
        assert!(tokio::time::Instant::now() < end, "the plan was not taken");
    }
    let mut newer = connect(satellite.address, hello(4)).await.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(newer.welcome.generation, 1);
    // The half-open session of the older one was ended.
    while old.hear().await {}
    let refused = |hello| async { connect(satellite.address, hello).await.err().map(|refusal| refusal.reason()) };
    assert_eq!(refused(hello(3)).await, Some(Reason::StaleEpoch));
    let other = berth_proto::Hello { cluster_id: uuid::Uuid::from_u128(9).to_string(), ..hello(9) };
    assert_eq!(refused(other).await, Some(Reason::OtherController));
    let other = berth_proto::Hello { node_id: uuid::Uuid::from_u128(9).to_string(), ..hello(9) };
    assert_eq!(refused(other).await, Some(Reason::OtherNode));
    // The session's own controller did not say who it is; the first one that says is obeyed, a second one is not.
    let leader = |name: &str| berth_proto::Hello { leader: name.to_owned(), ..hello(4) };
    newer = connect(satellite.address, leader("one")).await.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(refused(leader("two")).await, Some(Reason::OtherController));
    let other = berth_proto::Hello { protocol_min: 7, protocol_max: 9, ..hello(9) };
    assert_eq!(refused(other).await, Some(Reason::VersionMismatch));
    // None of them ended the good one.
    newer.send(7, 0, &PlanBody { pools: Some(Vec::new()), ..PlanBody::default() }).await;
    newer.send(6, 0, &PlanBody::default()).await;
    newer.until("the older plan is refused", |own| own.stale.len() == 1).await;
    assert_eq!((newer.stale[0].offered, newer.stale[0].held, newer.stale[0].held_epoch), (6, 7, 4));
    newer.send(9, 8, &PlanBody::default()).await;
    newer.until("a plan on an unknown base is refused", |own| own.need_whole == 1).await;
    satellite.end().await;
    let satellite = Satellite::start(home.path()).await;
    assert_eq!(connect(satellite.address, hello(3)).await.err().map(|refusal| refusal.reason()), Some(Reason::StaleEpoch));
    let again = connect(satellite.address, hello(4)).await.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(again.welcome.generation, 7);
    satellite.end().await;
    // A database that was restored: its leader has a higher epoch and a lower serial.
    let satellite = Satellite::start(home.path()).await;
    let mut restored = connect(satellite.address, hello(5)).await.unwrap_or_else(|r| panic!("{r:?}"));
    restored.send(3, 2, &PlanBody::default()).await;
    restored.until("a part of it is refused", |own| own.need_whole == 1).await;
    restored.generation = 2;
    let none = berth_model::plan::PlanItem::Snapshot(berth_model::plan::SnapshotPlan {
        adopt: false,
        volumes: Vec::new(),
        ..match snapshot("web", 1, "s1", 40, Wanted::Active, true) {
            berth_model::plan::PlanItem::Snapshot(plan) => plan,
            berth_model::plan::PlanItem::Resource(_) => unreachable!("a snapshot was asked for"),
        }
    });
    restored.whole(Vec::new(), vec![none]).await;
    assert_eq!(restored.rest(&[uuid::Uuid::from_u128(40)]).await[0].generation, 3);
    restored.send(2, 0, &PlanBody::default()).await;
    restored.until("an older one of its own is refused", |own| own.stale.len() == 1).await;
    assert_eq!((restored.stale[0].held, restored.stale[0].held_epoch), (3, 5));
    satellite.end().await;
    let satellite = Satellite::start(home.path()).await;
    let again = connect(satellite.address, hello(5)).await.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(again.welcome.generation, 3);
    satellite.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_somebody_else_are_noticed() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![fresh("web", 100, 65536)]).await;
    let seen = controller.rest(&[uuid::Uuid::from_u128(100)]).await.remove(0);
    let (id, first, link) = (seen.id, device(&seen), world.path().join("dev/by-res/web/0"));

    // A second device of the same file, in use: nothing of the volume goes, and the first device stays.
    let file = world.pool().join("web_00000.img");
    let second = sh(&["losetup", "--find", "--show", file.to_str().unwrap()]).trim().to_owned();
    use rustix::fs::{Mode, OFlags, open};
    let held = open(second.as_str(), OFlags::RDONLY | OFlags::EXCL, Mode::empty()).unwrap();
    let gone = replica("web", 100, 65536, Wanted::Absent, 102, ContentSource::Kept);
    let refused = controller.plan(vec![gone.clone()]).await.remove(0);
    assert_eq!(refused.fault.map(|fault| fault.kind), Some(FaultKind::InUse));
    assert_eq!(world.loops().len(), 2);
    let again = controller.plan(vec![replica("web", 100, 65536, Wanted::Active, 102, ContentSource::Kept)]).await.remove(0);
    assert_eq!(
        (again.standing, device(&again), std::fs::read_link(&link).unwrap()),
        (Standing::Settled, first.clone(), first.clone().into())
    );
    drop(held);

    // Somebody detaches the one that serves, and a foreign file gets its number.
    let foreign = world.path().join("foreign");
    std::fs::File::create(&foreign).unwrap().set_len(1 << 20).unwrap();
    sh(&["losetup", "-d", &first]);
    // Another program of this machine may be quicker: the number is taken then, too.
    let reused = std::process::Command::new("losetup").args([&first, foreign.to_str().unwrap()]).status().unwrap().success();
    controller
        .until("the other device serves", |own| own.items[&id].volumes.first().is_some_and(|v| v.device_path.as_ref() == Some(&second)))
        .await;
    assert_eq!(std::fs::read_link(&link).unwrap().to_str().unwrap(), second);
    assert_eq!(controller.plan(vec![gone]).await[0].standing, Standing::Gone);
    assert_eq!((world.files(), world.loops()), (vec![], vec![]));
    if reused {
        sh(&["losetup", "-d", &first]);
    }
    satellite.end().await;
}

/// Whatever became of its device meanwhile, the path of a volume that goes does not stay, to lead to somebody else's data one day.
#[tokio::test(flavor = "multi_thread")]
async fn no_path_stays_of_a_volume_that_goes() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let volumes = vec![fresh("web", 100, 4096), fresh("db", 200, 4096)];
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], volumes).await;
    let seen = controller.rest(&[uuid::Uuid::from_u128(100), uuid::Uuid::from_u128(200)]).await;
    let link = |name: &str| world.path().join("dev/by-res").join(name).join("0");
    std::fs::remove_file(link("web")).unwrap();
    std::os::unix::fs::symlink(device(&seen[1]), link("web")).unwrap();
    let gone = replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept);
    assert_eq!(controller.plan(vec![gone]).await[0].standing, Standing::Gone);
    assert!(!link("web").exists() && link("web").symlink_metadata().is_err());
    assert_eq!(std::fs::read_link(link("db")).unwrap().to_str().unwrap(), device(&seen[1]));

    // Somebody else has the name by now: it has the path, too.
    let elsewhere = |item: PlanItem| match item {
        PlanItem::Resource(mut plan) => {
            plan.volumes[0].backing = "db_next".into();
            PlanItem::Resource(plan)
        }
        PlanItem::Snapshot(_) => unreachable!(),
    };
    let next = elsewhere(fresh("db", 300, 4096));
    let gone = replica("db", 200, 4096, Wanted::Absent, 202, ContentSource::Kept);
    let both = controller.plan(vec![gone, next]).await;
    assert_eq!((both[0].standing, both[1].standing), (Standing::Gone, Standing::Settled));
    assert_eq!(std::fs::read_link(link("db")).unwrap().to_str().unwrap(), device(&both[1]));
    let gone = elsewhere(replica("db", 300, 4096, Wanted::Absent, 302, ContentSource::Kept));
    assert_eq!(controller.plan(vec![gone]).await[0].standing, Standing::Gone);
    assert_eq!((world.files(), world.loops(), link("db").symlink_metadata().is_err()), (vec![], vec![], true));
    satellite.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_cannot_be_used_says_why_and_heals() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let place = world.path().join("mnt/later");
    controller.whole(vec![pool(&place, ProviderKind::FileThin)], vec![fresh("web", 100, 4096)]).await;
    let id = uuid::Uuid::from_u128(100);
    let seen = controller.rest(&[id]).await.remove(0);
    assert_eq!((seen.standing, seen.fault.map(|fault| fault.kind)), (Standing::Faulty, Some(FaultKind::Pool)));
    controller.until("the pool says why", |own| own.pools.get("pool").is_some_and(|pool| pool.fault.is_some())).await;
    std::fs::create_dir(&place).unwrap();
    controller.until("it heals", |own| own.items[&id].standing == Standing::Settled).await;
    controller.plan(vec![replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept)]).await;
    // A file of somebody else is in the way.
    std::fs::write(place.join("mine_00000.img"), "precious").unwrap();
    let seen = controller.plan(vec![fresh("mine", 500, 4096)]).await.remove(0);
    assert_eq!(seen.fault.map(|fault| fault.kind), Some(FaultKind::Foreign));
    assert_eq!(std::fs::read_to_string(place.join("mine_00000.img")).unwrap(), "precious");
    // So is what is not a file. Nothing of ours is there: it can be given up.
    std::fs::create_dir(place.join("dir_00000.img")).unwrap();
    std::os::unix::fs::symlink("/dev/null", place.join("link_00000.img")).unwrap();
    sh(&["mkfifo", place.join("fifo_00000.img").to_str().unwrap()]);
    for (name, number) in [("dir", 600), ("link", 610), ("fifo", 620)] {
        let seen = controller.plan(vec![fresh(name, number, 4096)]).await.remove(0);
        assert_eq!(seen.fault.map(|fault| fault.kind), Some(FaultKind::Foreign), "{name}");
        let gone = replica(name, number, 4096, Wanted::Absent, number + 2, ContentSource::Fresh);
        assert_eq!(controller.plan(vec![gone]).await[0].standing, Standing::Gone, "{name}");
        assert!(place.join(format!("{name}_00000.img")).symlink_metadata().is_ok());
    }
    satellite.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_its_file_system_is_no_empty_pool() {
    let Some(world) = Xfs::new() else { return };
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let idle = replica("web", 100, 4096, Wanted::Inactive, 102, ContentSource::Fresh);
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![idle]).await;
    let id = uuid::Uuid::from_u128(100);
    assert_eq!(controller.rest(&[id]).await[0].standing, Standing::Settled);
    // The pool's folder goes, as with the file system below it, also while the satellite is away; an empty one has its name.
    let (place, aside) = (world.pool(), world.path().join("mnt/aside"));
    std::fs::rename(&place, &aside).unwrap();
    std::fs::create_dir(&place).unwrap();
    let gone = replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept);
    let seen = controller.plan(vec![gone.clone(), fresh("new", 200, 4096)]).await;
    let pool_faults =
        |seen: &[berth_model::observed::ItemSeen]| seen.iter().all(|s| s.fault.as_ref().is_some_and(|f| f.kind == FaultKind::Pool));
    assert!(pool_faults(&seen), "{seen:?}");
    controller.until("the pool says why", |own| own.pools["pool"].fault.as_ref().is_some_and(|f| f.correction.starts_with("Mount"))).await;
    satellite.end().await;
    let satellite = Satellite::start(world.path()).await;
    let mut controller = connect(satellite.address, hello(2)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&place, ProviderKind::FileThin)], vec![gone, fresh("new", 200, 4096)]).await;
    let ids = [id, uuid::Uuid::from_u128(200)];
    let seen = controller.rest(&ids).await;
    assert!(pool_faults(&seen), "{seen:?}");
    assert_eq!(world.files(), Vec::<String>::new());
    std::fs::remove_dir(&place).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    controller.until("it heals", |own| own.items[&id].standing == Standing::Gone && own.items[&ids[1]].standing == Standing::Settled).await;
    assert_eq!(world.files(), ["new_00000.img"]);
    satellite.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_can_do_is_found_out_again() {
    let Some(world) = Xfs::new() else { return };
    let (plain, place) = (world.path().join("plain"), world.path().join("place"));
    std::fs::create_dir(&plain).unwrap();
    std::os::unix::fs::symlink(&plain, &place).unwrap();
    let satellite = Satellite::start_with(world.path(), |config| config.scan_interval = std::time::Duration::from_millis(200)).await;
    let mut controller = connect(satellite.address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&place, ProviderKind::FileThin)], vec![]).await;
    controller.until("the pool is there", |own| own.pools.get("pool").is_some_and(|pool| pool.free_kib.is_some())).await;
    if controller.pools["pool"].snapshots {
        eprintln!("skipped: temporary files lie on a file system with reflinks");
    } else {
        // The file system is replaced by a better one, with all that was on it.
        let mark = sh(&["getfattr", "--only-values", "-n", "user.berth.pool", plain.to_str().unwrap()]);
        sh(&["setfattr", "-n", "user.berth.pool", "-v", &mark, world.pool().to_str().unwrap()]);
        let new = world.path().join("place.new");
        std::os::unix::fs::symlink(world.pool(), &new).unwrap();
        std::fs::rename(&new, &place).unwrap();
        controller.until("it takes snapshots", |own| own.pools["pool"].snapshots).await;
    }
    satellite.end().await;
}
