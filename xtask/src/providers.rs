//! Builds providers: as components for the sandbox, and as dynamic libraries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;
use crate::verbs::{cargo, status, target_folder};

/// What a component is built for.
const TARGET: &str = "wasm32-wasip2";
/// The profile of the workspace that makes small files.
const PROFILE: &str = "provider";
/// The provider whose component is committed, because the satellite has it inside, and where.
pub const EMBEDDED: (&str, &str) = ("berth-provider-file", "core/satellite/providers/file.wasm");
/// Components that tests load, by package and committed file. They are built anew by `cargo xtask fixtures` only.
pub const FIXTURES: &[(&str, &str)] = &[
    ("berth-guest-hostile", "core/sandbox/tests/fixtures/hostile.wasm"),
    ("berth-guest-defective", "core/sandbox/tests/fixtures/defective.wasm"),
];

/// Files that were built once with the released SDK; today's hosts must open them as long as the contract stands.
pub const KEPT: &str = "tests/fixtures/contract";
/// The provider and the plugin among them, by package.
const KEPT_PACKAGES: (&str, &str) = ("berth-provider-file", "berth-guest-plugin");
/// First line of their record.
const RECORD_HEAD: &str = "contract\tprovider.wasm\tprovider.so\tplugin.so\twhy they were replaced, the newest last\n";

/// Builds both forms of a provider and prints their paths and sizes; the embedded one's component is renewed in the sources, too.
///
/// # Errors
/// If there is no such package, no target for components, or the build fails.
pub fn provider(name: &str) -> Result<()> {
    let package = package(&root(), name)?;
    let component = component(&package)?;
    print_file("component", &component)?;
    if package == EMBEDDED.0 {
        renew(&component, EMBEDDED.1)?;
    }
    print_file("dynamic library", &library(&package)?)
}

/// Builds the dynamic library of a package.
fn library(package: &str) -> Result<PathBuf> {
    if !status(cargo().args(["build", "--lib", "--profile", PROFILE, "--package", package]))?.success() {
        bail!("the build of the dynamic library failed");
    }
    Ok(target_folder()?.join(PROFILE).join(format!("lib{}.so", package.replace('-', "_"))))
}

/// Builds the components that tests load, and writes them into the sources.
///
/// # Errors
/// As [`provider`].
pub fn fixtures() -> Result<()> {
    FIXTURES.iter().try_for_each(|(package, file)| renew(&component(package)?, file))
}

/// Replaces the files that were built once, because the contract was broken on purpose; the record keeps `why`.
///
/// # Errors
/// As [`provider`]; without a reason nothing is replaced.
pub fn keep_anew(why: &str) -> Result<()> {
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    if why.len() < 10 {
        bail!(
            "say what broke, for those whose files are refused from now on: cargo xtask fixtures --break \"create takes a size in bytes\""
        );
    }
    let (of_provider, of_plugin) = KEPT_PACKAGES;
    let built = [("provider.wasm", component(of_provider)?), ("provider.so", library(of_provider)?), ("plugin.so", library(of_plugin)?)];
    let mut line = contract()?;
    for (name, file) in &built {
        renew(file, &format!("{KEPT}/{name}"))?;
        line = format!("{line}\t{}", sum(file)?);
    }
    let record = root().join(KEPT).join("record.tsv");
    let before = fs::read_to_string(&record).unwrap_or_else(|_| RECORD_HEAD.to_owned());
    fs::write(&record, format!("{before}{line}\t{why}\n")).with_context(|| format!("cannot write {}", record.display()))?;
    println!("written: {KEPT}/record.tsv; commit it with the files, and tell the break in changelog.d");
    Ok(())
}

/// The contract of the SDK, as its source says.
fn contract() -> Result<String> {
    let source = fs::read_to_string(root().join("plugin-sdk/src/lib.rs")).context("the SDK's source cannot be read")?;
    let value = source.lines().find_map(|line| line.strip_prefix("pub const CONTRACT: &str = \"")?.split('"').next());
    Ok(value.context("plugin-sdk/src/lib.rs names no CONTRACT")?.to_owned())
}

/// SHA-256 of a file.
fn sum(file: &Path) -> Result<String> {
    let out = Command::new("sha256sum").arg(file).output().context("sha256sum cannot be started")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok(text.split_whitespace().next().filter(|sum| sum.len() == 64).context("sha256sum tells no sum")?.to_owned())
}

/// Builds the component of a package; the same sources and tools make the same bytes, wherever the clone lies.
///
/// # Errors
/// If there is no target for components, or the build fails.
pub fn component(package: &str) -> Result<PathBuf> {
    ensure_target()?;
    let mut build = cargo();
    build.args(["build", "--lib", "--profile", PROFILE, "--package", package, "--target", TARGET]);
    // Folders of this machine stand in the texts of panics, unless they are replaced.
    let home = cargo_home()?;
    let flags = [(root(), "/berth"), (home, "/cargo")].map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if !status(&mut build)?.success() {
        bail!("the build of the component failed");
    }
    Ok(target_folder()?.join(TARGET).join(PROFILE).join(format!("{}.wasm", package.replace('-', "_"))))
}

/// Whether the toolchain can build components.
#[must_use]
pub fn has_target() -> bool {
    let printed = Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()).output();
    printed.is_ok_and(|out| {
        out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).join("lib/rustlib").join(TARGET).join("lib").is_dir()
    })
}

/// Brings the target, if rustup can.
fn ensure_target() -> Result<()> {
    if has_target() {
        return Ok(());
    }
    let added = status(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()));
    if added.is_ok_and(|status| status.success()) && has_target() {
        return Ok(());
    }
    bail!("the toolchain has no target {TARGET}; run 'rustup target add {TARGET}' in the clone with a connection to static.rust-lang.org")
}

/// The package that is meant by a name: `file`, or the package's own.
fn package(root: &Path, name: &str) -> Result<String> {
    let provider = root.join("providers").join(name).join("Cargo.toml");
    if provider.is_file() {
        return Ok(format!("berth-provider-{name}"));
    }
    let known = crate::tidy::files(root).into_iter().filter(|file| file.file_name().is_some_and(|file| file == "Cargo.toml"));
    let line = format!("name = \"{name}\"");
    if known.filter_map(|file| fs::read_to_string(file).ok()).any(|text| text.lines().any(|other| other == line)) {
        return Ok(name.to_owned());
    }
    bail!("there is no provider {name:?}: name a folder of providers/, or a package of this workspace")
}

fn cargo_home() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(home) = set("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(Path::new(&set("HOME").context("neither CARGO_HOME nor HOME is set; set one")?).join(".cargo"))
}

fn print_file(what: &str, path: &Path) -> Result<()> {
    let size = fs::metadata(path).with_context(|| format!("{} was not built", path.display()))?.len();
    println!("{what}: {} ({} KiB)", path.display(), size.div_ceil(1024));
    Ok(())
}

/// Puts a built file into the sources.
fn renew(built: &Path, file: &str) -> Result<()> {
    let to = root().join(file);
    fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
    let bytes = fs::read(built).with_context(|| format!("{} was not built", built.display()))?;
    let same = fs::read(&to).is_ok_and(|old| old == bytes);
    if !same {
        fs::write(&to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    println!("{}: {file} ({} KiB)", if same { "unchanged" } else { "written" }, bytes.len().div_ceil(1024));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{EMBEDDED, FIXTURES, component, contract, has_target, keep_anew, package};
    use crate::root;

    #[test]
    fn a_provider_is_found_by_folder_and_by_package() {
        assert_eq!(package(&root(), "file").unwrap(), "berth-provider-file");
        assert_eq!(package(&root(), "berth-guest-hostile").unwrap(), "berth-guest-hostile");
        let error = package(&root(), "nothing").unwrap_err().to_string();
        assert!(error.contains("\"nothing\""), "{error}");
    }

    #[test]
    fn kept_files_are_not_replaced_without_a_reason() {
        for why in ["", "  \t ", "because"] {
            let error = keep_anew(why).unwrap_err().to_string();
            assert!(error.contains("say what broke"), "{error}");
        }
        assert_eq!(contract().unwrap().split('.').count(), 2);
    }

    #[test]
    fn the_committed_component_is_what_its_source_builds() {
        if !has_target() {
            eprintln!("left out: it needs the target of components");
            return;
        }
        for (package, file) in FIXTURES.iter().chain([&EMBEDDED]) {
            let built = std::fs::read(component(package).unwrap()).unwrap();
            let committed = std::fs::read(root().join(file)).unwrap();
            assert!(built == committed, "{file} is not what {package} builds; run 'cargo xtask fixtures' or 'cargo xtask provider NAME'");
        }
    }
}
