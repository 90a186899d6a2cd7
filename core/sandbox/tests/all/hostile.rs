use std::time::{Duration, Instant};

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{BackingName, Fault, FaultKind, Known, Limits, MarkKind, New, Output, Provider};
use berth_sandbox::Component;

use crate::machine::{Tested, hostile, pool};

/// One misbehaviour at `space`; the next call, on the same pool without it, works.
#[track_caller]
fn misbehave(component: &Component, how: &str) -> Fault {
    let on = pool("p", how);
    let fault = component.space(&on).expect_err(how);
    assert_eq!(component.space(&pool("p", "")).map(|space| space.total.0), Ok(1024), "after {how}");
    fault
}

/// The host's own words about a guest that misbehaved.
#[track_caller]
fn told(how: &str, kind: FaultKind, cause: &str) {
    let fault = misbehave(&hostile(), how);
    assert_eq!(fault.kind, kind, "{how}: {fault:?}");
    assert!(fault.message.contains("Provider 'hostile'") && fault.message.contains("'p'"), "{how}: {}", fault.message);
    assert!(fault.message.contains("'space'"), "{how}: {}", fault.message);
    assert!(fault.cause.contains(cause), "{how}: {}", fault.cause);
    assert!(!fault.correction.is_empty(), "{how}");
}

#[test]
fn a_panic_is_one_fault_that_says_what_it_said() {
    told("panic", FaultKind::Bug, "the guest panicked on purpose");
    let on = pool("p", "panic");
    hostile().space(&on).unwrap_err();
    let lines = on.lines.lock().unwrap();
    assert!(lines.iter().any(|line| line.contains("on purpose")), "{lines:?}");
}

#[test]
fn a_trap_and_an_exit_are_one_fault() {
    told("abort", FaultKind::Bug, "It gave itself up");
    told("exit", FaultKind::Bug, "ended its program");
}

#[test]
fn deep_recursion_is_one_fault() {
    let fault = misbehave(&hostile(), "recursion");
    assert_eq!(fault.kind, FaultKind::Bug);
    assert!(fault.cause.contains("stack was full") || fault.cause.contains("outside of its memory"), "{fault:?}");
}

#[test]
fn memory_beyond_the_limit_is_one_fault() {
    told("allocate", FaultKind::Bug, "memory, and may have 64 MiB");
    told("grow", FaultKind::Bug, "memory, and may have 64 MiB");
    // Who can do without goes on.
    for how in ["try-allocate", "pages"] {
        let fault = misbehave(&hostile(), how);
        assert!(fault.message.starts_with("refused: "), "{fault:?}");
    }
    let small = hostile().limited(Limits { memory_mib: 8, ..Limits::USUAL });
    let fault = misbehave(&small, "grow");
    assert!(fault.cause.contains("may have 8 MiB"), "{fault:?}");
}

#[test]
fn a_provider_that_cannot_start_in_its_memory_says_so() {
    let tiny = hostile().limited(Limits { memory_mib: 1, ..Limits::USUAL });
    let fault = tiny.space(&pool("p", "")).unwrap_err();
    assert!(fault.cause.contains("may have 1 MiB"), "{fault:?}");
}

#[test]
fn an_endless_loop_ends_and_others_go_on_meanwhile() {
    let component = hostile().limited(Limits { seconds: 1, ..Limits::USUAL });
    std::thread::scope(|scope| {
        let looping = scope.spawn(|| misbehave(&component, "loop"));
        let asking = scope.spawn(|| misbehave(&component, "ask"));
        let other = hostile();
        let mut calls = 0_u64;
        while !looping.is_finished() || !asking.is_finished() {
            other.space(&pool("q", "")).unwrap();
            calls += 1;
        }
        assert!(calls > 0);
        for fault in [looping.join().unwrap(), asking.join().unwrap()] {
            assert_eq!(fault.kind, FaultKind::Timeout, "{fault:?}");
            assert!(fault.message.contains("Provider 'hostile' took too long"), "{fault:?}");
            assert!(fault.cause.contains("more than 1 s"), "{fault:?}");
        }
    });
}

#[test]
fn the_time_of_commands_does_not_count() {
    let component = hostile().limited(Limits { seconds: 1, ..Limits::USUAL });
    let mut on = pool("p", "echo slow");
    on.echo = Box::new(|_| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1200) {
            std::thread::yield_now();
        }
        Output::default()
    });
    let fault = component.space(&on).unwrap_err();
    assert_eq!(fault.message, "stolen: 0 0");
}

#[test]
fn nothing_of_the_machine_is_there() {
    for (how, import) in [
        ("read", "wasi:filesystem/"),
        ("write", "wasi:filesystem/"),
        ("list", "wasi:filesystem/"),
        ("socket", "wasi:sockets/"),
        ("name", "wasi:sockets/"),
        ("date", "wasi:clocks/wall-clock"),
        ("clock", "wasi:clocks/monotonic-clock"),
        ("sleep", "wasi:"),
    ] {
        told(how, FaultKind::Bug, import);
    }
    for how in ["environment", "process", "thread", "outside"] {
        let fault = misbehave(&hostile(), how);
        assert!(fault.message.starts_with("refused: "), "{how}: {fault:?}");
    }
}

#[test]
fn what_a_standard_library_lives_on_works() {
    let component = hostile();
    for how in ["hash", "print"] {
        component.space(&pool("p", how)).unwrap_or_else(|fault| panic!("{how}: {fault:?}"));
    }
}

#[test]
fn a_command_that_was_not_granted_is_not_run() {
    let on = pool("p", "shadow");
    let fault = hostile().space(&on).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsupported, "{fault:?}");
    assert_eq!(*on.ran.lock().unwrap(), Vec::<String>::new());
    let on = pool("p", "echo hello");
    let fault = hostile().space(&on).unwrap_err();
    assert_eq!(fault.message, "stolen: 5 0");
    assert_eq!(*on.ran.lock().unwrap(), ["echo hello"]);
}

#[test]
fn the_output_of_commands_is_cut() {
    let mut on = pool("p", "echo much");
    on.echo = Box::new(|_| Output { code: 0, stdout: "ä".repeat(1 << 20), stderr: "x".repeat(1 << 20) });
    let fault = hostile().space(&on).unwrap_err();
    assert_eq!(fault.message, "stolen: 65536 65536");
}

#[test]
fn nothing_of_one_pool_is_remembered_in_another() {
    let component = hostile();
    let seen = |name: &str| component.space(&pool(name, "pools")).unwrap_err().message;
    assert_eq!(seen("a"), "stolen: a");
    // The instance is used again.
    assert_eq!(seen("a"), "stolen: a a");
    assert_eq!(seen("b"), "stolen: b");
    assert_eq!(seen("a"), "stolen: a a a");
    for name in ["c", "d", "e", "f", "g"] {
        assert_eq!(seen(name), format!("stolen: {name}"));
    }
    assert_eq!(seen("a"), "stolen: a");
    component.forget();
    assert_eq!(seen("a"), "stolen: a");
}

#[test]
fn the_log_is_bounded() {
    let on = pool("p", "log");
    hostile().space(&on).unwrap();
    let lines = on.lines.lock().unwrap();
    assert_eq!(lines.len(), 1000);
    assert_eq!(lines[0], "line 0");
    assert!(lines[999].contains("more than 1000 lines"), "{}", lines[999]);
    let on = pool("p", "long-log");
    hostile().space(&on).unwrap();
    assert_eq!(on.lines.lock().unwrap()[0].len(), 4096);
}

#[test]
fn what_crosses_is_bounded() {
    told("long-word", FaultKind::Bug, "1048576 bytes");
    told("many-words", FaultKind::Bug, "100000 words");
    let fault = misbehave(&hostile(), "fault");
    assert_eq!((fault.kind, fault.message.len(), fault.details.len()), (FaultKind::InUse, 65536, 65536));
}

#[test]
fn a_panic_of_the_machine_is_one_fault_too() {
    let component = hostile();
    let mut on = pool("p", "echo x");
    on.echo = Box::new(|_| panic!("the host panicked on purpose"));
    let fault = component.space(&on).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Bug);
    assert!(fault.message.contains("host's own part") && fault.cause.contains("the host panicked on purpose"), "{fault:?}");
    assert!(component.space(&pool("p", "")).is_ok());
}

fn known() -> Known {
    Known { name: BackingName::parse("v").unwrap(), of: None, cluster: Uuid::from_u128(1), generation: Uuid::from_u128(2) }
}

fn new() -> New {
    let Known { name, of, cluster, generation } = known();
    let mark = berth_plugin_sdk::Mark { kind: MarkKind::Volume, cluster, generation, content: generation, name: "v".into() };
    New { name, suffix: String::new(), of, mark }
}

#[test]
fn an_answer_against_the_contract_is_one_fault() {
    type Call = fn(&Component, &Tested) -> Option<Fault>;
    let cases: [(&str, Call, &str); 7] = [
        ("extent", |c, on| c.probe(on).err(), "extent"),
        ("huge", |c, on| c.clean(on, Uuid::from_u128(1)).err(), "2000000 entries"),
        ("twice", |c, on| c.list(on).err(), "'a' twice"),
        ("foreign-name", |c, on| c.look(on, &known().name, None).err(), "answered with 'other'"),
        ("path", |c, on| c.attach(on, &known()).err(), "no absolute path"),
        ("copy", |c, on| c.restore(on, &known(), &new(), berth_plugin_sdk::Kib(4)).err(), "'../secret'"),
        ("words", |c, on| c.clone_volume(on, &known(), &new(), berth_plugin_sdk::Kib(4)).err(), "0 words"),
    ];
    let component = hostile();
    for (how, call, cause) in cases {
        let fault = call(&component, &pool("p", how)).expect(how);
        assert_eq!(fault.kind, FaultKind::Bug, "{how}");
        assert!(fault.message.contains("Provider 'hostile' broke its contract"), "{how}: {}", fault.message);
        assert!(fault.cause.contains(cause), "{how}: {}", fault.cause);
        assert!(call(&component, &pool("p", "")).is_none(), "after {how}");
    }
}
