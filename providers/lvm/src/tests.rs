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
    let known = Known { name: BackingName::parse("web").unwrap(), of: None, cluster: Uuid::from_u128(1), generation: Uuid::from_u128(2) };
    assert_eq!(LvmProvider.delete(&on, &known).unwrap_err().kind, FaultKind::Tool);
    assert_eq!(LvmProvider.list(&on).unwrap_err().kind, FaultKind::Tool);
    assert!(on.0.ran.borrow().iter().all(|command| command.starts_with("lvs ")));
}

#[test]
fn thick_volumes_that_claim_to_be_zeroes_are_found_out() {
    /// It says of thick volumes what is true of thin ones only.
    #[derive(Default)]
    struct Claims(LvmProvider);
    macro_rules! as_it_is {
        ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
            $(fn $name(&self, on: &dyn Machine, $($arg: $type),*) -> Result<$answer, Fault> { self.0.$name(on, $($arg),*) })*
        };
    }
    impl Provider for Claims {
        fn manifest(&self) -> Manifest {
            self.0.manifest()
        }
        fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
            Ok(PoolAbilities { zeroes: true, ..self.0.probe(on)? })
        }
        as_it_is! {
            clean(cluster: Uuid) -> Vec<String>;
            space() -> Space;
            list() -> Vec<Found>;
            look(name: &BackingName, of: Option<&BackingName>) -> Option<Found>;
            create(new: &New, size: Kib) -> ();
            grow(volume: &Known, size: Kib) -> ();
            delete(volume: &Known) -> ();
            snapshot(volume: &Known, new: &New) -> ();
            delete_snapshot(snapshot: &Known) -> ();
            rollback(new: &New, snapshot: &Known) -> ();
            restore(snapshot: &Known, new: &New, size: Kib) -> Filled;
            clone_volume(volume: &Known, new: &New, size: Kib) -> Filled;
            finish_copy(new: &New) -> ();
            adopt(new: &New, size: Kib) -> ();
            attach(volume: &Known) -> Device;
            detach(volume: &Known) -> ();
        }
    }
    assert!(!LvmProvider.probe(&FakeLvm::new("LVM")).unwrap().zeroes && LvmProvider.probe(&FakeLvm::new("LVM_THIN")).unwrap().zeroes);
    let report = check(&Claims::default(), &FakeLvm::new("LVM"), &Settings { volumes: 10, ..Settings::default() }, &mut |_| {});
    let failed: Vec<_> = report.failures().map(|(check, finding)| (check.id.as_str(), finding.seen.as_str())).collect();
    assert!(failed.iter().any(|(id, seen)| *id == "zeroes" && seen.contains("its end has data 1")), "{failed:?}");
}
