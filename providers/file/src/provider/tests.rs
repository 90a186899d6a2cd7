use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{MarkKind, Pool};
use proptest::prelude::*;

use super::*;

const CLUSTER: Uuid = Uuid::from_u128(0xc1);

fn machine(kind: &str) -> MemoryMachine {
    let pool = Pool { name: "p".into(), kind: kind.into(), place: "/pool".into(), props: Default::default() };
    MemoryMachine::new(pool, Memory::new(Kib(1 << 20)))
}

fn name(text: &str) -> BackingName {
    BackingName::parse(text).unwrap()
}

fn new(text: &str, kind: MarkKind, generation: u128, content: u128) -> New {
    let mark =
        Mark { kind, cluster: CLUSTER, generation: Uuid::from_u128(generation), content: Uuid::from_u128(content), name: text.into() };
    New { name: name(text), suffix: String::new(), of: None, mark }
}

fn volume(text: &str, generation: u128, content: u128) -> New {
    new(text, MarkKind::Volume, generation, content)
}

fn snapshot(text: &str, generation: u128, content: u128) -> New {
    new(text, MarkKind::Snapshot, generation, content)
}

const P: FileProvider = FileProvider;

#[test]
fn a_volume_is_made_marked_served_grown_and_removed() {
    for kind in ["FILE", "FILE_THIN"] {
        let on = machine(kind);
        let web = volume("web_00000", 1, 10);
        for _ in 0..2 {
            P.create(&on, &web, Kib(1024)).unwrap();
        }
        let device = P.attach(&on, &web.known()).unwrap();
        assert_eq!(device, P.attach(&on, &web.known()).unwrap());
        P.grow(&on, &web.known(), Kib(2048)).unwrap();
        P.grow(&on, &web.known(), Kib(1024)).unwrap();
        let found = P.look(&on, &web.name, None).unwrap().unwrap();
        assert_eq!(found.size, Kib(2048));
        assert_eq!(found.device.as_ref().map(|d| d.size), Some(Kib(2048)));
        assert_eq!(found.marked, Marked::By(web.mark.clone()));
        assert_eq!(found.allocated, if kind == "FILE" { Kib(2048) } else { Kib(0) });
        for _ in 0..2 {
            P.delete(&on, &web.known()).unwrap();
        }
        assert_eq!(on.memory().names(), Vec::<String>::new());
    }
}

#[test]
fn any_snapshot_can_be_rolled_back_to_and_all_stay() {
    let on = machine("FILE_THIN");
    let web = volume("web", 1, 10);
    P.create(&on, &web, Kib(64)).unwrap();
    for step in 1..=3u128 {
        on.memory().write("web.img", u64::try_from(step).unwrap());
        P.snapshot(&on, &web.known(), &snapshot(&format!("web_s{step}"), 100 + step, 10)).unwrap();
    }
    on.memory().write("web.img", 9);
    for (content, step) in [(11, 1u128), (12, 3), (13, 2)] {
        let wanted = volume("web", 1, content);
        let from = snapshot(&format!("web_s{step}"), 100 + step, 10).known();
        P.rollback(&on, &wanted, &from).unwrap();
        assert_eq!(on.memory().read("web.img"), Some(u64::try_from(step).unwrap()));
        // Repeated with the same content id it must not throw newer data away.
        on.memory().write("web.img", 50);
        P.rollback(&on, &wanted, &from).unwrap();
        assert_eq!(on.memory().read("web.img"), Some(50));
    }
    assert_eq!(on.memory().names(), ["web.img", "web_s1.img", "web_s2.img", "web_s3.img"]);
}

#[test]
fn foreign_files_are_never_touched() {
    let on = machine("FILE_THIN");
    let web = volume("web", 1, 10);
    on.memory().put("web.img", Kib(7), None);
    on.memory().write("web.img", 77);
    let refused = |result: Result<(), Fault>| {
        let fault = result.expect_err("a foreign file was taken");
        assert_eq!(fault.kind, FaultKind::Foreign);
        assert!(!fault.cause.is_empty() && !fault.correction.is_empty());
    };
    let all = |known: &New| {
        refused(P.create(&on, known, Kib(4)));
        refused(P.grow(&on, &known.known(), Kib(4096)));
        refused(P.delete(&on, &known.known()));
        refused(P.attach(&on, &known.known()).map(|_| ()));
        refused(P.detach(&on, &known.known()));
        refused(P.rollback(&on, known, &known.known()));
        refused(P.restore(&on, &known.known(), known, Kib(4)).map(|_| ()));
    };
    all(&web);
    for other in [volume("web", 2, 10), New { mark: Mark { cluster: Uuid::from_u128(0xc2), ..web.mark.clone() }, ..web.clone() }] {
        on.memory().put("web.img", Kib(7), Some(other.mark.render()));
        all(&web);
    }
    assert_eq!(P.clean(&on, CLUSTER).unwrap(), Vec::<String>::new());
    assert_eq!(on.memory().names(), ["web.img"]);
    assert_eq!(on.memory().read("web.img"), Some(77));
}

#[test]
fn an_unmarked_file_is_marked_on_an_explicit_word_only_and_keeps_its_data() {
    let on = machine("FILE_THIN");
    let web = volume("web", 1, 10);
    let fault = |size| P.adopt(&on, &web, Kib(size)).expect_err("it was taken in");
    assert_eq!(fault(4).kind, FaultKind::Lost, "nothing is made in its place");
    on.memory().put("web.img", Kib(64), None);
    on.memory().write("web.img", 77);
    assert_eq!(P.look(&on, &web.name, None).unwrap().unwrap().marked, Marked::Unmarked);
    let before = on.memory().state();
    let small = fault(128);
    assert!(small.kind == FaultKind::Foreign && small.cause.contains("64 KiB") && small.cause.contains("128 KiB"), "{small:?}");
    // Somebody else serves it.
    on.files().unwrap().attach("web.img", Fill::Thin).unwrap();
    let used = fault(64);
    assert!(used.kind == FaultKind::InUse && used.correction.contains("losetup -d"), "{used:?}");
    on.files().unwrap().detach("web.img").unwrap();
    assert_eq!(on.memory().state(), before, "a refusal changed something");
    P.adopt(&on, &web, Kib(48)).unwrap();
    P.adopt(&on, &web, Kib(48)).unwrap();
    let found = P.look(&on, &web.name, None).unwrap().unwrap();
    assert_eq!((found.marked, found.size, on.memory().read("web.img")), (Marked::By(web.mark.clone()), Kib(64), Some(77)));
    on.memory().power_cut(&mut || false);
    assert_eq!((on.memory().read("web.img"), P.attach(&on, &web.known()).map(|_| ())), (Some(77), Ok(())), "the mark is durable");
    // What is marked as something else stays that.
    assert_eq!(P.adopt(&on, &volume("web", 2, 20), Kib(4)).unwrap_err().kind, FaultKind::Foreign);
    assert_eq!(P.look(&on, &web.name, None).unwrap().unwrap().marked, Marked::By(web.mark));
}

#[test]
fn a_strangers_file_under_a_temporary_name_stays() {
    let on = machine("FILE_THIN");
    let (web, snap, copy) = (volume("web", 1, 10), snapshot("web_s", 2, 10), volume("copy", 3, 30));
    P.create(&on, &web, Kib(64)).unwrap();
    let other = Mark { cluster: Uuid::from_u128(0xc2), ..web.mark.clone() }.render();
    let names = ["other.img.berth-new", "web_s.img.berth-new", "copy.img.berth-new", ".berth-probe", ".berth-probe-copy"];
    for (kib, mark) in [(7, None), (7, Some(other.clone())), (0, Some(other))] {
        names.iter().for_each(|name| on.memory().put(name, Kib(kib), mark.clone()));
        assert_eq!(P.clean(&on, CLUSTER).unwrap(), Vec::<String>::new());
        let refused = [
            P.probe(&on).unwrap_err(),
            P.create(&on, &volume("other", 4, 40), Kib(64)).unwrap_err(),
            P.snapshot(&on, &web.known(), &snap).unwrap_err(),
            P.clone_volume(&on, &web.known(), &copy, Kib(64)).unwrap_err(),
            P.finish_copy(&on, &copy).unwrap_err(),
        ];
        for fault in refused {
            assert_eq!(fault.kind, FaultKind::Foreign, "{fault:?}");
            assert!(fault.message.contains(".berth-"), "{fault:?}");
            assert!(fault.correction.contains("/pool/"), "{fault:?}");
        }
        assert_eq!(on.memory().names().len(), 6);
    }
    // What was cut short before it was marked is empty.
    names.iter().for_each(|name| on.memory().put(name, Kib(0), None));
    P.snapshot(&on, &web.known(), &snap).unwrap();
    assert_eq!(P.clean(&on, CLUSTER).unwrap().len(), 4);
    assert_eq!(on.memory().names(), ["web.img", "web_s.img"]);
}

#[test]
fn without_reflinks_snapshots_are_refused_and_clones_are_copied_by_the_host() {
    let on = machine("FILE_THIN");
    on.memory().set_reflinks(false);
    let web = volume("web", 1, 10);
    P.create(&on, &web, Kib(64)).unwrap();
    let abilities = P.probe(&on).unwrap();
    assert_eq!(abilities.no_snapshots.map(|f| f.kind), Some(FaultKind::Unsupported));
    let fault = P.snapshot(&on, &web.known(), &snapshot("web_s", 2, 10)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsupported);
    assert!(fault.correction.contains("XFS"));
    on.memory().write("web.img", 5);
    let copy = volume("copy", 3, 30);
    let Filled::Copy { from, to } = P.clone_volume(&on, &web.known(), &copy, Kib(128)).unwrap() else { panic!("a copy was expected") };
    let (Data::File(from), Data::File(to)) = (from, to) else { panic!("files were expected") };
    on.memory().copy(&from, &to);
    P.finish_copy(&on, &copy).unwrap();
    P.finish_copy(&on, &copy).unwrap();
    assert_eq!(P.clone_volume(&on, &web.known(), &copy, Kib(128)), Ok(Filled::Done));
    assert_eq!(on.memory().read("copy.img"), Some(5));
    assert_eq!(on.memory().names(), ["copy.img", "web.img"]);
}

#[test]
fn a_full_pool_leaves_nothing_half_made() {
    let on = machine("FILE");
    let fault = P.create(&on, &volume("web", 1, 10), Kib(1 << 21)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::NoSpace);
    assert_eq!(on.memory().names(), Vec::<String>::new());
    P.create(&on, &volume("web", 1, 10), Kib(1 << 19)).unwrap();
    assert_eq!(P.grow(&on, &volume("web", 1, 10).known(), Kib(1 << 21)).unwrap_err().kind, FaultKind::NoSpace);
    assert_eq!(P.look(&on, &name("web"), None).unwrap().unwrap().size, Kib(1 << 19));
    assert_eq!(P.space(&on).unwrap().free, Kib(1 << 19));
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Create,
    Grow,
    Snapshot,
    Rollback,
    Restore,
    Clone,
    Delete,
    DeleteSnapshot,
    Attach,
    Detach,
}

fn act(on: &MemoryMachine, act: Act) -> Result<(), Fault> {
    let (web, snap, copy) = (volume("web", 1, 10), snapshot("web_s", 2, 10), volume("copy", 3, 30));
    match act {
        Act::Create => P.create(on, &web, Kib(64)),
        Act::Grow => P.grow(on, &web.known(), Kib(128)),
        Act::Snapshot => P.snapshot(on, &web.known(), &snap),
        Act::Rollback => P.rollback(on, &volume("web", 1, 11), &snap.known()),
        Act::Restore => P.restore(on, &snap.known(), &copy, Kib(96)).map(|_| ()),
        Act::Clone => P.clone_volume(on, &web.known(), &copy, Kib(96)).map(|_| ()),
        Act::Delete => P.delete(on, &web.known()),
        Act::DeleteSnapshot => P.delete_snapshot(on, &snap.known()),
        Act::Attach => P.attach(on, &web.known()).map(|_| ()),
        Act::Detach => P.detach(on, &web.known()),
    }
}

/// What is on disk, without devices.
fn facts(on: &MemoryMachine) -> Vec<String> {
    on.memory().state().iter().filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// splitmix64, as bits.
fn draws(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 1
    }
}

/// Acts that must work after the ones before them.
const LIVES: [(&[Act], Act); 10] = [
    (&[], Act::Create),
    (&[Act::Create], Act::Grow),
    (&[Act::Create, Act::Attach], Act::Grow),
    (&[Act::Create], Act::Snapshot),
    (&[Act::Create, Act::Attach, Act::Snapshot], Act::Rollback),
    (&[Act::Create, Act::Snapshot, Act::Grow], Act::Rollback),
    (&[Act::Create, Act::Snapshot], Act::Restore),
    (&[Act::Create], Act::Clone),
    (&[Act::Create, Act::Attach], Act::Delete),
    (&[Act::Create, Act::Snapshot], Act::DeleteSnapshot),
];

/// A machine on which something was done and reported.
fn lived(kind: &str, before: &[Act]) -> MemoryMachine {
    let on = machine(kind);
    for (step, data) in before.iter().zip(3..) {
        act(&on, *step).unwrap();
        on.memory().write("web.img", data);
    }
    on
}

/// Draws of what survives: nothing, everything, and whatever a seed says.
fn for_each_draw(mut check: impl FnMut(&str, &mut dyn FnMut() -> bool)) {
    check("nothing", &mut || false);
    check("everything", &mut || true);
    for seed in 0..60 {
        check(&format!("seed {seed}"), &mut draws(seed));
    }
}

#[test]
fn a_power_cut_at_any_change_loses_nothing_that_was_reported() {
    for kind in ["FILE", "FILE_THIN"] {
        for (before, last) in LIVES {
            let smooth = lived(kind, before);
            act(&smooth, last).unwrap();
            let expected = facts(&smooth);
            for cut in 0..8 {
                for_each_draw(|draw, survives| {
                    let what = format!("{kind} {before:?} {last:?} cut after {cut}, survives {draw}");
                    let on = lived(kind, before);
                    on.memory().cut_after(cut);
                    let reported = act(&on, last).is_ok();
                    on.memory().power_cut(survives);
                    if reported {
                        assert_eq!(facts(&on), expected, "{what}: reported, and lost");
                    }
                    P.clean(&on, CLUSTER).unwrap();
                    act(&on, last).unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
                    assert_eq!(facts(&on), expected, "{what}");
                });
            }
        }
    }
}

#[test]
fn what_a_killed_life_left_is_durable_before_it_is_taken_for_done() {
    for kind in ["FILE", "FILE_THIN"] {
        for (before, last) in LIVES {
            for cut in 0..8 {
                for_each_draw(|draw, survives| {
                    let on = lived(kind, before);
                    on.memory().cut_after(cut);
                    drop(act(&on, last));
                    on.memory().restart();
                    P.clean(&on, CLUSTER).unwrap();
                    let seen = facts(&on);
                    on.memory().power_cut(survives);
                    assert_eq!(facts(&on), seen, "{kind} {before:?} {last:?} cut after {cut}, survives {draw}");
                });
            }
        }
    }
}

fn acts() -> impl Strategy<Value = Act> {
    prop::sample::select(vec![
        Act::Create,
        Act::Grow,
        Act::Snapshot,
        Act::Rollback,
        Act::Restore,
        Act::Clone,
        Act::Delete,
        Act::DeleteSnapshot,
        Act::Attach,
        Act::Detach,
    ])
}

proptest! {
    /// Whatever was done before: an operation that is cut after its k-th change and then repeated after a start
    /// ends where the uncut one ends, with the same result.
    #[test]
    fn cut_and_repeated_is_as_uncut(kind in prop::sample::select(vec!["FILE", "FILE_THIN"]), before in prop::collection::vec(acts(), 0..6), last in acts(), cut in 0u32..8) {
        let (smooth, rough) = (machine(kind), machine(kind));
        for on in [&smooth, &rough] {
            on.memory().set_quiet();
            for step in &before {
                // Many orders make no sense; a refusal is as good a past as any.
                drop(act(on, *step));
                on.memory().write("web.img", 3);
            }
        }
        let expected = act(&smooth, last);
        rough.memory().cut_after(cut);
        drop(act(&rough, last));
        rough.memory().restart();
        P.clean(&rough, CLUSTER).unwrap();
        prop_assert_eq!(act(&rough, last).map_err(|f| f.kind), expected.map_err(|f| f.kind));
        prop_assert_eq!(rough.memory().state(), smooth.memory().state());
    }
}
