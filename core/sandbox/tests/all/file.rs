//! The provider of files as component does what it does linked in.

use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{BackingName, Kib, Mark, MarkKind, New, Pool, Provider};
use berth_provider_file::FileProvider;

use crate::machine::file;

const CLUSTER: Uuid = Uuid::from_u128(0xc1);

fn new(name: &str, kind: MarkKind, generation: u128) -> New {
    let id = Uuid::from_u128(generation);
    let mark = Mark { kind, cluster: CLUSTER, generation: id, content: id, name: name.into() };
    New { name: BackingName::parse(name).unwrap(), suffix: String::new(), of: None, mark }
}

/// Every call once, some with success and some without; what it answered and what was there afterwards.
fn told(provider: &dyn Provider, kind: &str, reflinks: bool) -> Vec<String> {
    let pool = Pool { name: "p".into(), kind: kind.into(), place: "/pool".into(), props: Default::default() };
    let on = MemoryMachine::new(pool, Memory::new(Kib(1 << 20)));
    on.memory().set_reflinks(reflinks);
    let (web, db, snap) =
        (new("web_00000", MarkKind::Volume, 1), new("db_00000", MarkKind::Volume, 2), new("web_snap", MarkKind::Snapshot, 3));
    let stranger = new("web_00000", MarkKind::Volume, 9);
    on.memory().put("old_00000.img", Kib(64), None);
    let mut all = Vec::new();
    let mut tell = |what: &str, answer: String| all.push(format!("{what}: {answer} {:?}", on.memory().state()));
    macro_rules! call {
        ($name:ident($($argument:expr),*)) => { tell(stringify!($name), format!("{:?}", provider.$name(&on, $($argument),*))) };
    }
    tell("manifest", format!("{:?}", provider.manifest()));
    call!(probe());
    call!(space());
    call!(create(&web, Kib(1024)));
    call!(create(&stranger, Kib(1024)));
    call!(create(&db, Kib(1 << 30)));
    call!(attach(&web.known()));
    call!(grow(&web.known(), Kib(2048)));
    call!(snapshot(&web.known(), &snap));
    call!(restore(&snap.known(), &db, Kib(4096)));
    call!(finish_copy(&db));
    call!(list());
    call!(look(&web.name, None));
    call!(look(&snap.name, Some(&web.name)));
    call!(delete(&stranger.known()));
    call!(detach(&web.known()));
    call!(rollback(&web, &snap.known()));
    call!(clone_volume(&web.known(), &new("copy_00000", MarkKind::Volume, 4), Kib(2048)));
    call!(adopt(&new("old_00000", MarkKind::Volume, 5), Kib(64)));
    call!(send(&snap.known(), None));
    call!(receive(&db, Kib(64), Some(&snap.known())));
    call!(delete_snapshot(&snap.known()));
    call!(delete(&web.known()));
    call!(clean(CLUSTER));
    on.memory().cut_after(0);
    call!(list());
    all
}

#[test]
fn the_component_answers_as_the_linked_one() {
    for kind in ["FILE", "FILE_THIN"] {
        for reflinks in [true, false] {
            let (component, linked) = (told(&file(), kind, reflinks), told(&FileProvider, kind, reflinks));
            for (ours, theirs) in component.iter().zip(&linked) {
                assert_eq!(ours, theirs);
            }
            assert_eq!(component.len(), linked.len());
        }
    }
}
