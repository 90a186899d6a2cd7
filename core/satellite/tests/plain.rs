//! Without root, or where blocks cannot be shared.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};

use berth_model::layers::ProviderKind;
use berth_model::observed::{FaultKind, Holder, Standing};
use berth_model::plan::{ContentSource, PlanItem, Wanted};
use common::*;
use uuid::Uuid;

fn fresh(name: &str, number: u128, kib: u64) -> PlanItem {
    replica(name, number, kib, Wanted::Active, number + 2, ContentSource::Fresh)
}

/// A folder that everybody can enter, on the file system of temporary files.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Not a test: see `process.rs`.
#[test]
#[ignore = "run by the other tests as a child process"]
fn child() {
    process::child();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_root_files_serve_as_they_are() {
    let home = open_folder();
    let place = home.path().join("pool");
    let mut process = process::Process::start_as_nobody(home.path());
    let mut controller = connect(process.address().await, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    assert!(!controller.capabilities().root);
    controller.whole(vec![pool(&place, ProviderKind::FileThin)], vec![fresh("web", 100, 4096)]).await;
    let id = Uuid::from_u128(100);
    let seen = controller.rest(&[id]).await.remove(0);
    assert_eq!(seen.fault.map(|fault| fault.kind), Some(FaultKind::Pool), "the folder is missing");
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir(&place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    controller.until("it heals", |own| own.items[&id].standing == Standing::Settled).await;
    let file = device(&controller.items[&id]);
    assert_eq!(file, place.join("web_00000.img").to_str().unwrap());
    let link = home.path().join("dev/by-res/web/0");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str().unwrap(), file);
    let idle = replica("web", 100, 4096, Wanted::Inactive, 102, ContentSource::Kept);
    assert_eq!(controller.plan(vec![idle]).await[0].standing, Standing::Settled);
    assert!(!link.exists());
    let gone = replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept);
    assert_eq!(controller.plan(vec![gone]).await[0].standing, Standing::Gone);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_shared_blocks_snapshots_are_refused_and_idle_volumes_are_copied() {
    let home = open_folder();
    let place = home.path().join("pool");
    std::fs::create_dir(&place).unwrap();
    let mut process = process::Process::start(home.path(), None);
    let mut controller = connect(process.address().await, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&place, ProviderKind::FileThin)], vec![fresh("web", 100, 4096)]).await;
    let seen = controller.rest(&[Uuid::from_u128(100)]).await.remove(0);
    assert_eq!(seen.standing, Standing::Settled, "{seen:?}");
    if controller.pools["pool"].snapshots {
        eprintln!("skipped: temporary files lie on a file system with reflinks");
    } else {
        let mut volume = std::fs::OpenOptions::new().write(true).open(device(&seen)).unwrap();
        volume.write_all(b"data").unwrap();
        volume.sync_all().unwrap();
        drop(volume);
        let taken = controller.plan(vec![snapshot("web", 100, "snap", 200, Wanted::Active, false)]).await.remove(0);
        let fault = taken.fault.unwrap();
        assert_eq!(fault.kind, FaultKind::Unsupported);
        assert!(fault.correction.contains("XFS"));
        let cloned = replica("copy", 400, 8192, Wanted::Active, 402, from_volume("web", 100));
        let seen = controller.plan(vec![cloned]).await.remove(0);
        assert_eq!(seen.standing, Standing::Settled, "{seen:?}");
        let mut bytes = [0; 4];
        std::fs::File::open(device(&seen)).unwrap().read_exact(&mut bytes).unwrap();
        assert_eq!((&bytes, seen.volumes[0].backing_kib.0), (b"data", 8192));
        let names: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
    let absent = |name: &str, number: u128| replica(name, number, 4096, Wanted::Absent, number + 2, ContentSource::Kept);
    let gone =
        controller.plan(vec![absent("web", 100), absent("copy", 400), snapshot("web", 100, "snap", 200, Wanted::Absent, false)]).await;
    assert!(gone.iter().all(|seen| seen.standing == Standing::Gone), "{gone:?}");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_and_a_satellite_that_stays_up() {
    let Some(world) = Xfs::new() else { return };
    let mut process = process::Process::start(world.path(), None);
    let mut controller = connect(process.address().await, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let items = vec![fresh("big", 100, 4 << 20), fresh("small", 200, 4096)];
    controller.whole(vec![pool(&world.pool(), ProviderKind::File)], items).await;
    let seen = controller.rest(&[Uuid::from_u128(100), Uuid::from_u128(200)]).await;
    assert_eq!(seen[0].fault.as_ref().map(|fault| fault.kind), Some(FaultKind::NoSpace));
    assert_eq!((seen[1].standing, seen[1].volumes[0].allocated_kib.0), (Standing::Settled, 4096));
    assert_eq!(world.files(), ["small_00000.img"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_opens_a_device_exclusively_uses_it() {
    let Some(world) = Xfs::new() else { return };
    let mut process = process::Process::start(world.path(), None);
    let mut controller = connect(process.address().await, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![fresh("web", 100, 4096)]).await;
    let seen = controller.rest(&[Uuid::from_u128(100)]).await.remove(0);
    use rustix::fs::{Mode, OFlags, open};
    let held = open(device(&seen).as_str(), OFlags::RDONLY | OFlags::EXCL, Mode::empty()).unwrap();
    let absent = replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept);
    let refused = controller.plan(vec![absent]).await.remove(0);
    let fault = refused.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::InUse);
    let own = std::process::id();
    let is = |holder: &Holder| matches!(holder, Holder::Process { device: at, pid, .. } if *at == device(&seen) && *pid == own);
    assert!(fault.holders.iter().any(is), "{fault:?}");
    assert!(fault.cause.contains(&format!("process {own} (")), "{fault:?}");
    assert!(refused.volumes[0].in_use);
    drop(held);
    controller.until("it goes", |own| own.items[&seen.id].standing == Standing::Gone).await;
    assert_eq!((world.files(), world.loops()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_user_is_noticed_by_the_data_that_it_moves() {
    let Some(world) = Xfs::new() else { return };
    let mut process = process::Process::start(world.path(), None);
    let mut controller = connect(process.address().await, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![fresh("web", 100, 4096), fresh("db", 200, 4096)]).await;
    let seen = controller.rest(&[Uuid::from_u128(100), Uuid::from_u128(200)]).await;
    use rustix::fs::{Mode, OFlags, open};
    let mut held: std::fs::File = open(device(&seen[0]).as_str(), OFlags::RDWR | OFlags::EXCL, Mode::empty()).unwrap().into();
    held.write_all(b"data").unwrap();
    held.sync_all().unwrap();
    controller.until("the use is noticed", |own| own.items[&seen[0].id].volumes[0].in_use).await;
    assert!(!controller.items[&seen[1].id].volumes[0].in_use);
    drop(held);
    controller.until("its end is noticed", |own| !own.items[&seen[0].id].volumes[0].in_use).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_keeps_a_device_open_is_named() {
    let Some(world) = Xfs::new() else { return };
    let mut process = process::Process::start(world.path(), None);
    let mut controller = connect(process.address().await, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    controller.whole(vec![pool(&world.pool(), ProviderKind::FileThin)], vec![fresh("web", 100, 4096)]).await;
    let seen = controller.rest(&[Uuid::from_u128(100)]).await.remove(0);
    // It opens the device, says so, and keeps it until it is told otherwise.
    let words = ["-c", "exec 3<\"$0\"; echo open; read end", &device(&seen)];
    let pipes = || std::process::Stdio::piped();
    let mut keeper = std::process::Command::new("sh").args(words).stdin(pipes()).stdout(pipes()).spawn().unwrap();
    keeper.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let refused = controller.plan(vec![replica("web", 100, 4096, Wanted::Absent, 102, ContentSource::Kept)]).await.remove(0);
    let fault = refused.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::InUse, "{fault:?}");
    assert_eq!(fault.holders, [Holder::Process { device: device(&seen), pid: keeper.id(), command: "sh".into() }]);
    drop(keeper.stdin.take());
    keeper.wait().unwrap();
    controller.until("it goes", |own| own.items[&seen.id].standing == Standing::Gone).await;
    assert_eq!((world.files(), world.loops()), (vec![], vec![]));
}
