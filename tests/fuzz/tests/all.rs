//! Every parser of outside text comes back from any bytes, and the lists of them agree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use berth_fuzz::{TARGETS, Target};
use proptest::prelude::*;

/// A line of this is what a parser may be given in one of these tests; `cargo fuzz` goes on from there.
const CASES: u32 = 48;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn by_name(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

/// Bytes near what a target reads: a seed of its own with parts replaced, doubled and cut out, or anything at all.
fn near(target: Target) -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        prop_oneof![
            Just("\""),
            Just("{"),
            Just("["),
            Just("}"),
            Just("null"),
            Just("-1"),
            Just("99999999999999999999"),
            Just("1e999"),
            Just("\\u0000"),
            Just("/"),
            Just("\n"),
            Just("="),
            Just("é"),
            Just("-"),
            Just("(")
        ]
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..8, piece);
    let mutated = (prop::sample::select(seeds), proptest::collection::vec(edit, 0..5)).prop_map(|(mut bytes, edits)| {
        for (at, gone, piece) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        bytes
    });
    prop_oneof![4 => mutated, 1 => proptest::collection::vec(any::<u8>(), 0..400)]
}

fn tried(name: &str) {
    let target = by_name(name);
    for seed in target.seeds {
        (target.run)(seed.as_bytes());
    }
    // What nests or repeats without end is what parsers end badly on.
    for piece in ["[", "{\"a\":", "(", "\"", "-", "\n", "0", "\u{0}", "\\"] {
        (target.run)(piece.repeat(5000).as_bytes());
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
    let ran = runner.run(&near(target), |bytes| {
        (target.run)(&bytes);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{name}: {error}");
    }
}

/// A test for each target.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { tried(stringify!($name)); })*

        /// Those that have a test.
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

tests! {
    rest_bodies,
    select_filters,
    properties,
    object_names,
    sizes,
    regexes,
    cli_words,
    client_files,
    client_replies,
    linstor_files,
    linstor_export,
    database_export,
    support_bundle,
    records,
    wire_messages,
    wire_documents,
    keystores,
    sign_in,
    trace_places,
    marks,
    patterns,
    plugin_configs,
    machine_texts,
    secrets_in_texts,
}

#[test]
fn the_table_the_targets_and_the_tests_name_the_same_parsers() {
    let known: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(known.len(), TARGETS.len(), "one is listed twice");
    assert_eq!(known, TESTED.iter().map(|name| (*name).to_owned()).collect(), "tests");
    let files = std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap();
    let files: BTreeSet<String> = files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(known, files, "fuzz/fuzz_targets");
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let table = std::fs::read_to_string(root().join("docs/fuzzing.md")).unwrap();
    for name in &known {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} has no program in fuzz/Cargo.toml");
        let source = std::fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("\"{name}\"")), "fuzz/fuzz_targets/{name}.rs drives another one");
    }
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(known, rows.map(str::to_owned).collect(), "docs/fuzzing.md");
}

#[test]
fn every_document_of_a_request_is_read_by_a_target() {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(root().join("core/api/src")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let room = path.file_stem().unwrap().to_string_lossy().into_owned();
        for piece in
            text.split("#[derive(").skip(1).filter(|piece| piece.split(')').next().is_some_and(|list| list.contains("Deserialize")))
        {
            let name = piece.split("pub struct ").nth(1).and_then(|rest| rest.split([' ', '(', '<']).next());
            // A kind of values in between is no document of its own.
            let between = piece.split("pub enum ").next().unwrap_or_default();
            if let Some(name) = name.filter(|_| between.contains("pub struct ")) {
                found.insert((room.clone(), name.to_owned()));
            }
        }
    }
    let read: BTreeSet<_> = berth_fuzz::bodies::DOCUMENTS.iter().map(|(room, name)| ((*room).to_owned(), (*name).to_owned())).collect();
    let missing: Vec<_> = found.difference(&read).collect();
    assert!(missing.is_empty() && found.len() > 40, "{missing:?}");
}
