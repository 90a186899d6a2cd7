use berth_conformance::{Bench, Settings, check};

use super::*;
use crate::fake::FakeLvm;

#[test]
fn it_passes_the_conformance_kit_on_both_kinds() {
    for kind in ["LVM", "LVM_THIN"] {
        let bench = FakeLvm::new(kind);
        // Others use the group, too.
        bench.put("root", 1 << 20, &[]);
        bench.put("theirs_00000", 4096, &["other"]);
        bench.put("later_00000", 4096, &["berth1:future"]);
        let before = bench.inventory().unwrap();
        let report = check(&LvmProvider, &bench, &Settings { volumes: 200, ..Settings::default() }, &mut |_| {});
        assert!(report.passed(), "{report}");
        assert_eq!(bench.inventory().unwrap(), before);
    }
}

#[test]
fn the_manifest_asks_for_each_command_by_its_words() {
    let manifest = LvmProvider.manifest();
    assert_eq!(manifest.check(), Ok(()));
    assert!(manifest.commands.iter().all(|command| !command.contains("...")), "no command has a tail that is not known");
}

#[test]
fn an_answer_that_is_no_report_is_a_fault_and_changes_nothing() {
    struct Mute(FakeLvm);
    impl Machine for Mute {
        fn pool(&self) -> &berth_plugin_sdk::Pool {
            self.0.pool()
        }
        fn run(&self, argv: &[&str]) -> Result<berth_plugin_sdk::Output, Fault> {
            self.0.ran.borrow_mut().push(argv.join(" "));
            Ok(berth_plugin_sdk::Output { stdout: "{\"report\":[{\"lv\":[{\"lv_name\":\"we".into(), ..Default::default() })
        }
        fn files(&self) -> Result<&dyn berth_plugin_sdk::Files, Fault> {
            self.0.files()
        }
        fn log(&self, _line: &str) {}
    }
    let on = Mute(FakeLvm::new("LVM"));
    let known = Known { name: BackingName::parse("web").unwrap(), cluster: Uuid::from_u128(1), generation: Uuid::from_u128(2) };
    assert_eq!(LvmProvider.delete(&on, &known).unwrap_err().kind, FaultKind::Tool);
    assert_eq!(LvmProvider.list(&on).unwrap_err().kind, FaultKind::Tool);
    assert!(on.0.ran.borrow().iter().all(|command| command.starts_with("lvs ")));
}
