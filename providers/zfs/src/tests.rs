use berth_conformance::{Bench, Settings, check};

use super::*;
use crate::fake::FakeZfs;

#[test]
fn it_passes_the_conformance_kit_on_both_kinds() {
    for kind in ["ZFS", "ZFS_THIN"] {
        let bench = FakeZfs::new(kind);
        // Others use the dataset, too.
        bench.put("tank/berth/theirs", 4096, None);
        bench.put("tank/berth/theirs@daily", 4096, None);
        bench.put("tank/berth/later", 4096, Some("berth9:future"));
        let before = bench.inventory().unwrap();
        let report = check(&ZfsProvider, &bench, &Settings { volumes: 200, ..Settings::default() }, &mut |_| {});
        assert!(report.passed(), "{report}");
        assert_eq!(bench.inventory().unwrap(), before);
    }
}

#[test]
fn the_manifest_can_be_used() {
    assert_eq!(ZfsProvider.manifest().check(), Ok(()));
}

#[test]
fn a_stranger_s_snapshot_of_our_volume_is_not_ours() {
    let bench = FakeZfs::new("ZFS_THIN");
    let mark =
        "berth1:v:00000000-0000-0000-0000-000000000001:00000000-0000-0000-0000-000000000002:00000000-0000-0000-0000-000000000003:web/0";
    bench.put("tank/berth/web", 4096, Some(mark));
    bench.put("tank/berth/web@daily", 4096, None);
    let known = |name: &str| Known {
        name: BackingName::parse(name).unwrap(),
        of: None,
        cluster: Uuid::from_u128(1),
        generation: Uuid::from_u128(2),
    };
    let all = ZfsProvider.list(&bench).unwrap();
    assert_eq!(all.iter().filter(|found| found.marked == Marked::Unmarked).count(), 1, "{all:?}");
    assert!(ZfsProvider.delete_snapshot(&bench, &known("daily")).is_err());
    let web = ZfsProvider.look(&bench, &BackingName::parse("web").unwrap(), None).unwrap();
    assert!(web.is_some_and(|found| matches!(found.marked, Marked::By(_))), "its volume is ours");
}
