//! Libraries that are good, that misbehave, and that must not be let in.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "library/mod.rs"]
mod library;

use std::path::{Path, PathBuf};
use std::process::Command;

use berth_loader::{LoadError, open_provider};
use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{BackingName, FaultKind, Kib, Mark, MarkKind, New, Pool, Provider};
use library::{copied, library, plain};

fn machine(kind: &str, props: &[(&str, &str)]) -> MemoryMachine {
    let props = props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    MemoryMachine::new(Pool { name: "p".into(), kind: kind.into(), place: "/pool".into(), props }, Memory::new(Kib(1 << 20)))
}

/// Compiles a library of C with these lines.
fn of_c(dir: &Path, name: &str, text: &str) -> PathBuf {
    let (source, target) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    std::fs::write(&source, text).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&target).arg(&source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    plain(&target);
    target
}

#[test]
fn a_library_does_what_the_linked_provider_does_beside_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let (file, manifest) = open_provider(&copied("berth_provider_file", dir.path())).unwrap();
    assert_eq!(manifest.name, "file");
    let (hostile, other) = open_provider(&copied("berth_guest_hostile", dir.path())).unwrap();
    assert_ne!(other.name, manifest.name, "each file is itself");
    let on = machine("FILE_THIN", &[]);
    let name = BackingName::parse("web_00000").unwrap();
    let (cluster, generation, content) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let mark = Mark { kind: MarkKind::Volume, cluster, generation, content, name: "web/0".into() };
    let web = New { name: name.clone(), suffix: String::new(), of: None, mark };
    file.create(&on, &web, Kib(4096)).unwrap();
    file.attach(&on, &web.known()).unwrap();
    let found = file.look(&on, &name, None).unwrap().unwrap();
    assert_eq!((found.size, found.name.as_str(), found.device.is_some()), (Kib(4096), "web_00000", true));
    assert_eq!(file.list(&on).unwrap(), [found]);
    // Faults come back whole.
    let stranger = New { mark: Mark { generation: Uuid::from_u128(9), ..web.mark.clone() }, ..web.clone() };
    let fault = file.delete(&on, &stranger.known()).unwrap_err();
    assert!(fault.kind == FaultKind::Foreign && !fault.cause.is_empty() && !fault.correction.is_empty(), "{fault:?}");
    file.delete(&on, &web.known()).unwrap();
    assert_eq!(on.memory().names(), Vec::<String>::new());
    hostile.list(&machine("PLUGIN", &[])).unwrap();
}

#[test]
fn a_panic_in_a_library_is_one_fault_of_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let (hostile, _) = open_provider(&copied("berth_guest_hostile", dir.path())).unwrap();
    for _ in 0..3 {
        let fault = hostile.space(&machine("PLUGIN", &[("StorDriver/Hostile/Misbehave", "panic")])).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Bug);
        assert!(fault.cause.contains("on purpose") && !fault.correction.is_empty(), "{fault:?}");
        hostile.space(&machine("PLUGIN", &[])).unwrap();
    }
}

#[test]
fn what_must_not_be_let_in_is_refused_by_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |file: &Path| {
        let error = open_provider(file).expect_err("it was let in");
        assert!(!error.correction().is_empty());
        error
    };
    let layout = refused(&copied("berth_guest_misfit", dir.path()));
    assert!(matches!(layout, LoadError::Layout { .. }) && layout.to_string().lines().count() == 1, "{layout}");
    let newer = of_c(dir.path(), "newer", "const char berth_provider_v3[64] = {0};\n");
    assert!(matches!(refused(&newer), LoadError::Newer { written: 3, .. }));
    let nothing = of_c(dir.path(), "nothing", "int something(void) { return 1; }\n");
    assert!(matches!(refused(&nothing), LoadError::Missing { .. }));
    let garbage = of_c(dir.path(), "garbage", "const char berth_provider_v0[4096] = {1};\n");
    assert!(matches!(refused(&garbage), LoadError::Layout { .. }));
    let unbound = of_c(dir.path(), "unbound", "int nobody_has_this(void);\nint f(void) { return nobody_has_this(); }\n");
    let open = refused(&unbound);
    assert!(matches!(open, LoadError::Open { .. }) && open.to_string().contains("nobody_has_this"), "{open}");
    let whole = std::fs::read(library("berth_provider_file")).unwrap();
    for (name, bytes) in [("half", &whole[..whole.len() / 2]), ("short", &whole[..40]), ("empty", &[][..])] {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        plain(&file);
        assert!(matches!(refused(&file), LoadError::NoLibrary { .. }), "{name}");
    }
    assert!(matches!(refused(&dir.path().join("missing")), LoadError::Read { .. }));
}

#[test]
fn a_file_that_others_may_write_is_not_opened() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = copied("berth_provider_file", dir.path());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(open_provider(&file), Err(LoadError::Unsafe { .. })));
    plain(&file);
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(open_provider(&file), Err(LoadError::Unsafe { .. })));
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(open_provider(&file).is_ok());
}
