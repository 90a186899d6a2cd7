use berth_model::ids::Id;
use berth_model::names::{ResourceName, SnapshotName, StorPoolName};
use berth_model::plan::Content;
use proptest::prelude::*;

use super::*;

fn number() -> VolumeNumber {
    VolumeNumber::new(0).unwrap()
}

fn volume(wanted: Wanted, content: u128, source: ContentSource) -> VolumePlan {
    VolumePlan {
        id: Id::from_uuid(Uuid::from_u128(2)),
        number: number(),
        wanted,
        pool: StorPoolName::parse("pool").unwrap(),
        backing: "web_00000".into(),
        backing_kib: Kib(1024),
        content: Content { id: Id::from_uuid(Uuid::from_u128(content)), source },
        peers: Vec::new(),
    }
}

fn replica(wanted: Wanted, content: u128, source: ContentSource) -> PlanItem {
    PlanItem::Resource(ResourcePlan {
        adopt: false,
        id: Id::from_uuid(Uuid::from_u128(1)),
        resource: ResourceName::parse("web").unwrap(),
        wanted,
        layers: vec![LayerKind::Storage],
        diskless: false,
        volumes: vec![volume(wanted, content, source)],
    })
}

fn copy(wanted: Wanted, taken: bool) -> PlanItem {
    PlanItem::Snapshot(SnapshotPlan {
        adopt: false,
        id: Id::from_uuid(Uuid::from_u128(5)),
        snapshot: SnapshotName::parse("snap").unwrap(),
        resource: ResourceName::parse("web").unwrap(),
        wanted,
        taken,
        volumes: vec![SnapshotVolumePlan {
            id: Id::from_uuid(Uuid::from_u128(6)),
            number: number(),
            pool: StorPoolName::parse("pool").unwrap(),
            backing: "web_00000_snap".into(),
            source: Id::from_uuid(Uuid::from_u128(2)),
            source_backing: "web_00000".into(),
        }],
    })
}

fn from_snapshot() -> ContentSource {
    ContentSource::Snapshot { id: Id::from_uuid(Uuid::from_u128(9)), backing: "web_00000_snap".into() }
}

fn from_volume() -> ContentSource {
    ContentSource::Volume { id: Id::from_uuid(Uuid::from_u128(9)), backing: "old_00000".into() }
}

fn ours(content: u128, kib: u64) -> Backing {
    Backing::Ours { content: Uuid::from_u128(content), size: Kib(kib), allocated: Kib(0) }
}

fn nothing() -> VolumeFound {
    VolumeFound { number: number(), pool_fault: None, backing: Backing::Missing, source: Backing::Missing, device: None, link: None }
}

fn served(content: u128, kib: u64, used: bool) -> VolumeFound {
    let device = DeviceFound { path: "/dev/loop1".into(), size: Kib(kib), in_use: used };
    VolumeFound { backing: ours(content, kib), device: Some(device), link: Some("/dev/loop1".into()), ..nothing() }
}

/// Steps as words; a refusal by its kind.
fn check(plan: &PlanItem, found: VolumeFound, expect: &[&str]) {
    let steps = reconcile(plan, &ItemFound { missing_layers: BTreeMap::new(), volumes: vec![found] });
    let words: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Refuse(_, fault) => {
                assert!(!fault.message.is_empty() && !fault.correction.is_empty());
                format!("refuse {:?}", fault.kind)
            }
            other => format!("{other:?}").split('(').next().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(words, expect);
}

#[test]
fn a_missing_volume_is_made_from_what_the_plan_says() {
    let there = VolumeFound { source: ours(9, 1024), ..nothing() };
    check(&replica(Wanted::Active, 7, ContentSource::Fresh), nothing(), &["Create"]);
    check(&replica(Wanted::Active, 7, ContentSource::Kept), nothing(), &["refuse Lost"]);
    check(&replica(Wanted::Active, 7, from_snapshot()), there.clone(), &["Restore"]);
    check(&replica(Wanted::Active, 7, from_snapshot()), nothing(), &["refuse Lost"]);
    check(&replica(Wanted::Active, 7, from_volume()), there, &["Clone"]);
    check(&replica(Wanted::Absent, 7, ContentSource::Kept), nothing(), &[]);
}

#[test]
fn a_volume_is_served_linked_and_grown() {
    let plan = replica(Wanted::Active, 7, ContentSource::Kept);
    check(&plan, VolumeFound { backing: ours(7, 1024), ..nothing() }, &["Attach", "Link"]);
    check(&plan, VolumeFound { device: None, ..served(7, 1024, false) }, &["Unlink", "Attach", "Link"]);
    check(&plan, VolumeFound { link: None, ..served(7, 1024, false) }, &["Link"]);
    check(&plan, VolumeFound { link: Some("/dev/loop9".into()), ..served(7, 1024, false) }, &["Link"]);
    check(&plan, served(7, 1024, true), &[]);
    check(&plan, served(7, 512, true), &["Grow"]);
    check(&plan, served(7, 4096, false), &[]);
    check(&plan, VolumeFound { backing: ours(7, 2048), ..served(7, 1024, false) }, &["Grow"]);
    check(&replica(Wanted::Inactive, 7, ContentSource::Kept), served(7, 1024, false), &["Unlink", "Detach"]);
}

#[test]
fn another_content_is_a_rollback_or_a_loss() {
    let there = VolumeFound { source: ours(9, 1024), ..served(7, 1024, false) };
    check(&replica(Wanted::Active, 8, from_snapshot()), there, &["Unlink", "Detach", "Rollback"]);
    let used = VolumeFound { source: ours(9, 1024), ..served(7, 1024, true) };
    check(&replica(Wanted::Active, 8, from_snapshot()), used, &["refuse InUse"]);
    check(&replica(Wanted::Active, 8, from_snapshot()), served(7, 1024, false), &["refuse Lost"]);
    check(&replica(Wanted::Active, 8, ContentSource::Kept), served(7, 1024, false), &["refuse Lost"]);
    check(&replica(Wanted::Active, 8, ContentSource::Fresh), served(7, 1024, false), &["refuse Lost"]);
}

#[test]
fn only_the_named_object_is_removed_and_only_when_idle() {
    let absent = replica(Wanted::Absent, 7, ContentSource::Kept);
    check(&absent, served(7, 1024, false), &["Unlink", "Detach", "Delete"]);
    check(&absent, served(99, 1024, false), &["Unlink", "Detach", "Delete"]);
    check(&absent, served(7, 1024, true), &["refuse InUse"]);
    let other = VolumeFound { backing: Backing::Foreign("other".into()), ..nothing() };
    check(&absent, other.clone(), &[]);
    // The path that an earlier step could not take away, or did not see, goes later.
    check(&absent, VolumeFound { link: Some("/dev/loop9".into()), ..other }, &["Unlink"]);
    check(&absent, VolumeFound { link: Some("/dev/loop9".into()), ..nothing() }, &["Unlink"]);
    check(&replica(Wanted::Inactive, 7, ContentSource::Kept), served(7, 1024, true), &["refuse InUse"]);
    let stranger = VolumeFound { backing: Backing::Foreign("unmarked".into()), ..nothing() };
    check(&replica(Wanted::Active, 7, ContentSource::Fresh), stranger, &["refuse Foreign"]);
}

fn adopted(mut item: PlanItem) -> PlanItem {
    match &mut item {
        PlanItem::Resource(plan) => plan.adopt = true,
        PlanItem::Snapshot(plan) => plan.adopt = true,
    }
    item
}

#[test]
fn what_is_unmarked_is_marked_on_an_explicit_word_only_and_nobody_is_told_to_delete_it() {
    let there = |kib| VolumeFound { backing: Backing::Unmarked { size: Kib(kib) }, ..nothing() };
    let kept = replica(Wanted::Active, 7, ContentSource::Kept);
    check(&kept, there(1024), &["refuse Foreign"]);
    check(&adopted(kept.clone()), there(1024), &["Adopt"]);
    check(&adopted(kept.clone()), nothing(), &["refuse Lost"]);
    check(&adopted(kept.clone()), VolumeFound { backing: Backing::Foreign("other".into()), ..nothing() }, &["refuse Foreign"]);
    // What was never made has no data from before.
    check(&adopted(replica(Wanted::Active, 7, ContentSource::Fresh)), there(1024), &["refuse Foreign"]);
    check(&replica(Wanted::Absent, 7, ContentSource::Kept), there(1024), &[]);
    check(&copy(Wanted::Active, true), there(1024), &["refuse Foreign"]);
    check(&adopted(copy(Wanted::Active, true)), there(1024), &["Adopt"]);
    check(&adopted(copy(Wanted::Active, false)), there(1024), &["refuse Foreign"]);
    check(&copy(Wanted::Absent, true), there(1024), &[]);
    for (plan, kib, next) in
        [(&kept, 1024, "berth drift adopt"), (&copy(Wanted::Active, true), 16, "berth drift adopt"), (&kept, 16, "right file")]
    {
        let steps = reconcile(plan, &ItemFound { missing_layers: BTreeMap::new(), volumes: vec![there(kib)] });
        let [Step::Refuse(_, fault)] = steps.as_slice() else { panic!("{steps:?}") };
        assert!(fault.message.contains("before the import") && fault.correction.contains(next), "{fault:?}");
        assert!(!fault.correction.contains("elete"), "{fault:?}");
    }
}

#[test]
fn a_snapshot_is_taken_once() {
    let there = VolumeFound { source: ours(7, 1024), ..nothing() };
    check(&copy(Wanted::Active, false), there.clone(), &["TakeSnapshot"]);
    check(&copy(Wanted::Active, true), there.clone(), &["refuse Lost"]);
    check(&copy(Wanted::Active, false), nothing(), &["refuse Lost"]);
    check(&copy(Wanted::Active, true), VolumeFound { backing: ours(7, 1024), ..there.clone() }, &[]);
    check(&copy(Wanted::Absent, true), VolumeFound { backing: ours(7, 1024), ..there.clone() }, &["DeleteSnapshot"]);
    check(&copy(Wanted::Absent, true), VolumeFound { backing: Backing::Foreign("x".into()), ..there }, &[]);
}

#[test]
fn a_missing_layer_or_pool_is_said_and_nothing_is_done() {
    let plan = replica(Wanted::Active, 7, ContentSource::Fresh);
    let missing_layers = BTreeMap::from([(LayerKind::Drbd, "no module".to_owned())]);
    let steps = reconcile(&plan, &ItemFound { missing_layers: missing_layers.clone(), volumes: vec![nothing()] });
    assert!(matches!(&steps[..], [Step::Refuse(_, fault)] if fault.kind == FaultKind::Unsupported && fault.cause == "no module"));
    assert_eq!(standing(&plan, &steps).0, Standing::Faulty);
    let absent = replica(Wanted::Absent, 7, ContentSource::Fresh);
    assert_eq!(reconcile(&absent, &ItemFound { missing_layers, volumes: vec![nothing()] }), []);
    assert_eq!(standing(&absent, &[]), (Standing::Gone, None));
    let broken = fault(FaultKind::Pool, "gone".into(), "c".into(), "Mount it");
    check(&plan, VolumeFound { pool_fault: Some(broken), ..nothing() }, &["refuse Pool"]);
}

/// What a machine does for a step.
fn run(step: &Step, plan: &PlanItem, found: &mut VolumeFound) {
    let (content, size) = match plan {
        PlanItem::Resource(plan) => (plan.volumes[0].content.id.uuid(), plan.volumes[0].backing_kib),
        PlanItem::Snapshot(_) => (Uuid::from_u128(7), Kib(1024)),
    };
    match step {
        Step::Create(_) | Step::Clone(_) | Step::TakeSnapshot(_) => found.backing = Backing::Ours { content, size, allocated: Kib(0) },
        // A snapshot may be smaller than the volume has become.
        Step::Restore(_) | Step::Rollback(_) => {
            assert!(found.device.as_ref().is_none_or(|device| !device.in_use));
            found.device = None;
            found.backing = Backing::Ours { content, size: Kib(16), allocated: Kib(0) };
        }
        Step::Grow(_) => {
            if let Backing::Ours { size: have, .. } = &mut found.backing {
                *have = size.max(*have);
                if let Some(device) = &mut found.device {
                    device.size = *have;
                }
            }
        }
        Step::Attach(_) => {
            let Backing::Ours { size, .. } = found.backing else { panic!("attached what is not ours") };
            found.device = Some(DeviceFound { path: "/dev/loop4".into(), size, in_use: false });
        }
        Step::Detach(_) => {
            assert!(found.device.take().is_some_and(|device| !device.in_use));
        }
        Step::Link(_) => found.link = found.device.as_ref().map(|device| device.path.clone()),
        Step::Unlink(_) => found.link = None,
        Step::DeleteSnapshot(_) => {
            assert!(found.device.take().is_none_or(|device| !device.in_use));
            found.backing = Backing::Missing;
        }
        Step::Delete(_) => {
            assert!(found.device.is_none() && matches!(found.backing, Backing::Ours { .. }));
            found.backing = Backing::Missing;
        }
        Step::Adopt(_) => {
            assert!(matches!(
                plan,
                PlanItem::Resource(ResourcePlan { adopt: true, .. }) | PlanItem::Snapshot(SnapshotPlan { adopt: true, .. })
            ));
            let Backing::Unmarked { size } = found.backing else { panic!("marked what is marked, or not there") };
            found.backing = Backing::Ours { content, size, allocated: Kib(0) };
        }
        Step::Refuse(..) => {}
    }
}

fn backing() -> impl Strategy<Value = Backing> {
    prop_oneof![
        Just(Backing::Missing),
        (6u128..9, prop::sample::select(vec![16u64, 1024, 2048])).prop_map(|(content, kib)| ours(content, kib)),
        Just(Backing::Foreign("other".into())),
        prop::sample::select(vec![16u64, 1024, 2048]).prop_map(|kib| Backing::Unmarked { size: Kib(kib) }),
    ]
}

fn found() -> impl Strategy<Value = VolumeFound> {
    let used = any::<bool>();
    let device = prop::option::of((prop::sample::select(vec![16u64, 1024, 2048]), used));
    let link = prop::option::of(prop::sample::select(vec!["/dev/loop1".to_owned(), "/dev/loop9".to_owned()]));
    (backing(), backing(), device, link).prop_map(|(backing, source, device, link)| {
        let device = device.map(|(kib, in_use)| DeviceFound { path: "/dev/loop1".into(), size: Kib(kib), in_use });
        // Only what is ours has a device of ours.
        let held = matches!(backing, Backing::Ours { .. });
        VolumeFound { device: device.filter(|_| held), link, backing, source, ..nothing() }
    })
}

fn plans() -> impl Strategy<Value = PlanItem> {
    let wanted = prop::sample::select(vec![Wanted::Active, Wanted::Inactive, Wanted::Absent]);
    let source = prop::sample::select(vec![ContentSource::Fresh, ContentSource::Kept, from_snapshot(), from_volume()]);
    let any_adopted = (any::<bool>(), plans_as_they_are(wanted, source));
    any_adopted.prop_map(|(adopt, plan)| if adopt { adopted(plan) } else { plan })
}

fn plans_as_they_are(
    wanted: impl Strategy<Value = Wanted> + Clone + 'static,
    source: impl Strategy<Value = ContentSource> + 'static,
) -> impl Strategy<Value = PlanItem> {
    prop_oneof![
        (wanted.clone(), 6u128..9, source).prop_map(|(wanted, content, source)| replica(wanted, content, source)),
        (wanted, any::<bool>()).prop_map(|(wanted, taken)| copy(wanted, taken)),
    ]
}

proptest! {
    /// Looking and running the first step ends, either as planned or at refusals only; a device in use is never taken away;
    /// what is not ours is never changed.
    #[test]
    fn looking_and_acting_ends(plan in plans(), start in found()) {
        let mut now = start.clone();
        let mut turns = 0;
        loop {
            let steps = reconcile(&plan, &ItemFound { missing_layers: BTreeMap::new(), volumes: vec![now.clone()] });
            let Some(step) = steps.iter().find(|step| !matches!(step, Step::Refuse(..))) else {
                let (standing, fault) = standing(&plan, &steps);
                prop_assert_eq!(steps.is_empty(), fault.is_none());
                prop_assert_ne!(standing, Standing::Working);
                break;
            };
            run(step, &plan, &mut now);
            turns += 1;
            prop_assert!(turns < 10, "no end: {:?}", step);
        }
        let word = matches!(&plan, PlanItem::Resource(ResourcePlan { adopt: true, .. }) | PlanItem::Snapshot(SnapshotPlan { adopt: true, .. }));
        if matches!(start.backing, Backing::Foreign(_)) || matches!(start.backing, Backing::Unmarked { .. }) && !word {
            let link = start.link.clone().filter(|_| !matches!((&plan, plan.wanted()), (PlanItem::Resource(_), Wanted::Absent)));
            prop_assert_eq!(&now, &VolumeFound { link, ..start.clone() });
        }
        if start.device.as_ref().is_some_and(|device| device.in_use) {
            prop_assert_eq!(now.device.map(|device| device.path), start.device.map(|device| device.path));
        }
    }
}
