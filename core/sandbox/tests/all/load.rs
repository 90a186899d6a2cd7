use berth_sandbox::{LoadError, Sandbox};

use crate::machine::{FILE, HOSTILE, SANDBOX};

#[track_caller]
fn refused(bytes: &[u8]) -> LoadError {
    let error = SANDBOX.load(bytes).expect_err("it was taken");
    assert!(!error.correction().is_empty());
    assert_eq!(error.fault().message, error.to_string());
    error
}

/// The file with one text in place of another of the same length.
fn with(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    assert!(at > 0, "{from} is not in it");
    bytes
}

#[test]
fn what_is_no_component_says_what_it_is() {
    assert_eq!(refused(b""), LoadError::NotWasm("it is empty"));
    assert_eq!(refused(b"\x7fELF\x02\x01\x01"), LoadError::NotWasm("it is a program or a dynamic library"));
    assert_eq!(refused(b"#!/bin/sh\n"), LoadError::NotWasm("it does not begin as one"));
    assert_eq!(refused(b"\0asm\x01\0\0\0"), LoadError::Module);
    assert_eq!(refused(b"\0asm\x0e\0\x01\0"), LoadError::Format("14.0.1.0".into()));
    assert_eq!(refused(b"\0asm\x0d\0\x01\0"), LoadError::NotProvider);
    assert!(matches!(refused(b"\0asm"), LoadError::Broken(_)));
    assert!(matches!(refused(&vec![0; (64 << 20) + 1]), LoadError::TooLarge(_)));
}

#[test]
fn a_truncated_component_is_refused_wherever_it_ends() {
    for end in [9, 100, 1000, FILE.len() / 2, FILE.len() - 1] {
        assert!(matches!(refused(&FILE[..end]), LoadError::Broken(_)), "{end}");
    }
}

#[test]
fn another_version_of_the_contract_is_named() {
    let error = refused(&with(FILE, "@0.1.0", "@0.9.0"));
    assert_eq!(error, LoadError::Version { written: "0.9.0".into() });
    assert!(error.to_string().contains("version 0.9.0") && error.to_string().contains("version 0.1"), "{error}");
}

#[test]
fn imports_that_the_world_does_not_have_are_named() {
    let LoadError::Import(name) = refused(&with(HOSTILE, "wasi:filesystem/", "evil:filesystem/")) else { panic!("taken otherwise") };
    assert!(name.starts_with("evil:filesystem/"), "{name}");
}

#[test]
fn the_manifest_is_known_after_loading() {
    let component = crate::machine::file();
    assert_eq!(component.manifest().name, "file");
    assert_eq!(component.limits(), component.manifest().limits);
    assert!(format!("{component:?}").contains("file"));
}

#[test]
fn components_outlive_their_sandbox() {
    let limits = berth_plugin_sdk::Limits { seconds: 1, ..berth_plugin_sdk::Limits::USUAL };
    let component = Sandbox::new(None).unwrap().load(HOSTILE).unwrap().limited(limits);
    let fault = berth_plugin_sdk::Provider::space(&component, &crate::machine::pool("p", "loop")).unwrap_err();
    assert_eq!(fault.kind, berth_plugin_sdk::FaultKind::Timeout);
}
