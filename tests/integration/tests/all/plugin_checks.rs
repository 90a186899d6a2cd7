//! `berth plugin check` and `inspect` as an author of a provider meets them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Finished, Scratch, berth, is_root, note, run_within, tool};
use serde_json::Value;

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A library of this workspace, in a folder that nobody else may write.
fn library(scratch: &Scratch, name: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let program = berth()?;
    let folder = program.parent().context("the program lies in a folder")?;
    let places = [folder.join(format!("lib{name}.so")), folder.join(format!("deps/lib{name}.so"))];
    let found = places.into_iter().find(|file| file.is_file()).with_context(|| format!("cargo build --workspace makes lib{name}.so"))?;
    let copy = scratch.sub("libraries")?.join(format!("{name}.so"));
    std::fs::copy(found, &copy)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600))?;
    Ok(copy)
}

fn plugin(scratch: &Scratch, verb: &str, file: &Path, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(["plugin", verb]).arg(file).args(words).env("NO_COLOR", "1").env("COLUMNS", "200");
    // What the kit makes lies in the scratch folder, so that a test that was killed leaves nothing.
    command.env("TMPDIR", scratch.sub("work")?);
    run_within(Duration::from_secs(300), &mut command)
}

#[test]
fn the_file_provider_passes_in_both_forms_with_a_badge() -> Result<()> {
    let scratch = Scratch::new()?;
    let forms = [(source("core/satellite/providers/file.wasm"), "FILE_THIN"), (library(&scratch, "berth_provider_file")?, "FILE")];
    for (file, kind) in forms {
        let done = plugin(&scratch, "check", &file, &["--kind", kind, "--volumes", "20"])?;
        ensure!(done.code() == 0, "{}\n{}", done.stdout, done.stderr);
        let badge = done.stdout.lines().last().unwrap_or_default();
        let start = format!("berth-conformance {} file ", berth_conformance_version(&done.stdout)?);
        ensure!(badge.starts_with(&start) && badge.contains(&format!(" {kind}: ")) && badge.contains(" passed"), "{badge}");
        let (passed, ran) = badge.split_once(": ").and_then(|(_, rest)| rest.split_once(' ')?.0.split_once('/')).context("a badge")?;
        ensure!(passed == ran && passed.parse::<u32>()? > 30, "{badge}");
        let ok = done.stdout.lines().filter(|line| line.starts_with("ok  ")).count();
        ensure!(passed == ok.to_string() && !done.stdout.contains("FAIL"), "{}", done.stdout);
    }
    ensure!(std::fs::read_dir(scratch.sub("work")?)?.next().is_none() && scratch.loops().is_empty(), "something stayed");
    Ok(())
}

/// The version of the kit, as the last line of a report tells it.
fn berth_conformance_version(report: &str) -> Result<String> {
    let version = report.lines().last().and_then(|line| line.split_whitespace().nth(1)).context("no badge")?;
    ensure!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    Ok(version.to_owned())
}

#[test]
fn a_defect_fails_the_check_and_is_named() -> Result<()> {
    let scratch = Scratch::new()?;
    let forms = [source("core/sandbox/tests/fixtures/defective.wasm"), library(&scratch, "berth_guest_defective")?];
    // Without root there are no devices that could be lost.
    let mut defects = vec![("lies-about-space", "space", "free space falls by"), ("not-idempotent", "create", "there already")];
    if is_root() {
        defects.push(("leaks-device", "delete", "serves"));
    } else {
        note("no real devices without root");
    }
    for (at, file) in forms.iter().enumerate() {
        // Each run of the kit syncs thousands of times: one defect is enough for the second form.
        for (defect, id, word) in defects.iter().skip(if at == 0 { defects.len().saturating_sub(1) } else { 0 }) {
            let words = ["--volumes", "3", "-o", "json", "--property", &format!("StorDriver/Defective/Defect={defect}")];
            let done = plugin(&scratch, "check", file, &words)?;
            ensure!(done.code() == 1 && done.stderr.contains("checks failed"), "{defect}: {} {}", done.code(), done.stderr);
            let reports: Value = serde_json::from_str(&done.stdout)?;
            ensure!(reports[0]["passed"] == false, "{defect}");
            let checks = reports[0]["report"]["checks"].as_array().context("no checks")?;
            let check = checks.iter().find(|check| check["id"] == *id).with_context(|| format!("no check '{id}'"))?;
            ensure!(check["outcome"] == "failed" && check["detail"].to_string().contains(word), "{defect}: {check}");
        }
    }
    // A value that its manifest does not know is refused before anything is done.
    let done = plugin(&scratch, "check", &forms[0], &["--property", "StorDriver/Defective/Defect=none"])?;
    ensure!(done.code() == 1 && done.stderr.contains("'StorDriver/Defective/Defect' cannot be 'none'"), "{}", done.stderr);
    // What a defect left in a folder went with the folder; its devices are let go, too.
    ensure!(std::fs::read_dir(scratch.sub("work")?)?.next().is_none() && scratch.loops().is_empty(), "something stayed");
    Ok(())
}

#[test]
fn what_is_no_provider_is_refused_by_check_and_inspect() -> Result<()> {
    let scratch = Scratch::new()?;
    let folder = scratch.sub("files")?;
    let whole = std::fs::read(source("core/satellite/providers/file.wasm"))?;
    let foreign = library(&scratch, "berth_provider_file")?;
    let mut bytes = std::fs::read(&foreign)?;
    *bytes.get_mut(18).context("a header")? = 243;
    std::fs::write(&foreign, bytes)?;
    let write = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        let file = folder.join(name);
        std::fs::write(&file, bytes)?;
        Ok(file)
    };
    for (file, told) in [
        (write("half.wasm", whole.get(..whole.len() / 2).context("half of it")?)?, "cannot be used"),
        (write("empty.wasm", b"")?, "neither a WebAssembly component nor a dynamic library"),
        (write("notes.txt", b"hello")?, "neither a WebAssembly component nor a dynamic library"),
        (write("module.wasm", b"\0asm\x01\0\0\0")?, "cannot be used"),
        (write("short.so", b"\x7fELF\x02\x01")?, "cut off"),
        (foreign, "was built for riscv"),
        (folder.join("missing.wasm"), "cannot be read"),
        (folder.clone(), "cannot be read"),
    ] {
        for verb in ["check", "inspect"] {
            let said = plugin(&scratch, verb, &file, &[])?;
            ensure!(said.code() == 1 && said.stdout.is_empty(), "{verb} {}: {} {}", file.display(), said.code(), said.stdout);
            ensure!(said.stderr.contains(told) && said.stderr.lines().count() == 1, "{verb} {}: {}", file.display(), said.stderr);
        }
    }
    Ok(())
}

#[test]
fn inspect_tells_what_a_file_is_and_what_it_gets() -> Result<()> {
    let scratch = Scratch::new()?;
    for (file, form) in
        [(source("core/sandbox/tests/fixtures/hostile.wasm"), "component"), (library(&scratch, "berth_guest_hostile")?, "library")]
    {
        let said = plugin(&scratch, "inspect", &file, &[])?.ok()?;
        for word in ["hostile", "1.0.0", form, "PLUGIN", "echo {text}", "StorDriver/Hostile/Misbehave", "64 MiB", "10 s"] {
            ensure!(said.contains(word), "no '{word}' in {said}");
        }
        let less = ["--grant-none", "--no-files", "--memory", "16", "--seconds", "1", "-o", "json"];
        let seen: Value = serde_json::from_str(&plugin(&scratch, "inspect", &file, &less)?.ok()?)?;
        ensure!(seen["commands"].as_array().is_none_or(Vec::is_empty) && seen["files"] == false, "{seen}");
        ensure!(seen["memory_mib"] == 16 && seen["seconds"] == 1 && seen["sha256"].as_str().is_some_and(|sum| sum.len() == 64), "{seen}");
    }
    Ok(())
}

#[test]
fn the_provider_in_c_is_built_and_passes() -> Result<()> {
    if tool("clang").and(tool("wasm-ld")).is_err() {
        note("left out: it needs clang and lld");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let built = scratch.sub("built")?.join("provider.wasm");
    // The tool around the module is built once, beside what cargo builds of the workspace.
    let target = berth()?.parent().and_then(Path::parent).context("the program lies in a folder of cargo's")?.join("provider-in-c");
    let mut make = Command::new("sh");
    make.arg(source("examples/provider-in-c/make.sh")).arg(&built).env("CARGO_TARGET_DIR", target);
    run_within(Duration::from_secs(600), &mut make)?.ok()?;
    let made_of = |wasm: &Path| std::fs::read_to_string(wasm.with_extension("wasm.made-of"));
    let committed = source("examples/provider-in-c/provider.wasm");
    ensure!(made_of(&built)? == made_of(&committed)?, "provider.wasm is older than its source; run examples/provider-in-c/make.sh");
    // Another clang may make other bytes; what counts is what they do.
    note(if std::fs::read(&built)? == std::fs::read(&committed)? { "the same bytes as committed" } else { "other bytes than committed" });
    let done = plugin(&scratch, "check", &built, &["--volumes", "10"])?;
    ensure!(
        done.code() == 0 && done.stdout.lines().last().is_some_and(|line| line.contains(" example-in-c ")),
        "{}{}",
        done.stdout,
        done.stderr
    );
    Ok(())
}
