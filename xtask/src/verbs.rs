//! The verbs: `check`, `test`, `sim`, `bench`, `dist`, `provider`, `fixtures`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::{claims, dist, packages, providers, root, tidy};

/// Names the file with the output of the tests for the program that compares it with `docs/claims.tsv`.
pub const TEST_LOG: &str = "BERTH_TEST_LOG";

/// Seeds of the simulated world in a long test: in a release build, where they take minutes.
const LONG_SEEDS: u32 = 10_000;

/// The verbs, each with the words that may follow it and what it does.
pub const VERBS: &[(&str, &str, &str)] = &[
    ("check", "", "format, lints, documentation and the rules of the house"),
    ("test", "[--no-install] [--long] [-- FILTER…]", "installs what the tests need, builds once, runs every test"),
    ("sim", "[--seeds N] [--seed N [--trace]] …", "runs seeds of the simulated world in a release build; `--help` says more"),
    ("bench", "[--only ID…] [--curves] [--scale] …", "measures a release build on this machine; `--help` says more"),
    ("dist", "", "an archive of the release: program, link, units, README, licence, checksum"),
    ("provider", "NAME", "builds a provider as component and as dynamic library, prints paths and sizes"),
    (
        "fixtures",
        "[--break \"WHAT BROKE\"]",
        "builds the components that tests load; with --break also the files that are kept of a contract",
    ),
];

/// Runs one verb; the number is the exit code.
///
/// # Errors
/// If the words are no verb of ours, or if something that the verb needs cannot be started.
pub fn run(words: &[String]) -> Result<u8> {
    let Some((verb, rest)) = words.split_first() else {
        eprint!("{}", usage());
        return Ok(2);
    };
    match verb.as_str() {
        "check" => {
            no_more_words(rest)?;
            check()
        }
        "test" => test(&TestOptions::parse(rest)?),
        "sim" => sim(rest),
        "bench" => bench(rest),
        "dist" => {
            no_more_words(rest)?;
            dist::dist().map(|()| 0)
        }
        "provider" => match rest {
            [name] => providers::provider(name).map(|()| 0),
            _ => bail!("name one provider, e.g. cargo xtask provider file"),
        },
        "fixtures" => match rest {
            [] => providers::fixtures().map(|()| 0),
            [word, why] if word == "--break" => providers::keep_anew(why).map(|()| 0),
            _ => bail!("cargo xtask fixtures takes nothing, or --break \"WHAT BROKE\""),
        },
        "help" | "--help" | "-h" => {
            print!("{}", usage());
            Ok(0)
        }
        other => bail!("no verb {other:?}; choose one of these:\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = String::from("cargo xtask VERB\n");
    for (verb, words, about) in VERBS {
        let call = format!("{verb} {words}");
        text.push_str(&format!("  {call:<44} {about}\n"));
    }
    text
}

fn no_more_words(rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(word) => bail!("this verb takes no further words, got {word:?}"),
    }
}

/// What may follow `cargo xtask test`.
#[derive(Debug, Default, PartialEq, Eq)]
struct TestOptions {
    /// Refuse, instead of installing, when a package is missing.
    no_install: bool,
    /// The same tests with larger counts.
    long: bool,
    /// Handed on to the test programs; with any of these the claims are not compared, as not every test runs.
    filters: Vec<String>,
}

impl TestOptions {
    fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--no-install" => options.no_install = true,
                "--long" => options.long = true,
                "--" => options.filters = words.by_ref().cloned().collect(),
                other => bail!("cargo xtask test knows --no-install, --long and -- FILTER, not {other:?}"),
            }
        }
        Ok(options)
    }
}

fn check() -> Result<u8> {
    let mut failed = Vec::new();
    for (name, words) in [
        ("fmt", ["fmt", "--all", "--check"].as_slice()),
        ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ("doc", &["doc", "--workspace", "--no-deps", "--document-private-items"]),
    ] {
        if !status(cargo().args(words).env("RUSTDOCFLAGS", "-D warnings"))?.success() {
            failed.push(name);
        }
    }
    let problems: Vec<String> = tidy::every_rule(&root()).into_iter().chain(claims::check_sources(&root())).collect();
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        failed.push("tidy");
    }
    if failed.is_empty() {
        println!("check passed: fmt, clippy, doc, tidy");
        return Ok(0);
    }
    println!("check failed: {}", failed.join(", "));
    Ok(1)
}

fn test(options: &TestOptions) -> Result<u8> {
    packages::ensure(!options.no_install)?;
    // One command builds the program and every test, so that no dependency is built twice with other features.
    let built = status(cargo().args(["build", "--workspace", "--all-targets"]))?;
    if !built.success() {
        return Ok(code(built));
    }
    let log = target_folder()?.join("xtask").join("test.log");
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    if !options.filters.is_empty() {
        tests.arg("--").args(&options.filters);
    }
    tests.env("BERTH_BIN", target_folder()?.join("debug").join("berth"));
    if options.long {
        tests.env("BERTH_LONG", "1");
    }
    let ran = status_with_log(&mut tests, &log)?;
    if !ran.success() || !options.filters.is_empty() {
        return Ok(code(ran));
    }
    let compared = status(cargo().args(["test", "--workspace", "--quiet", "--test", "claims_ran"]).env(TEST_LOG, &log))?;
    if !compared.success() {
        return Ok(code(compared));
    }
    if !options.long {
        eprintln!(
            "note: left out without --long: a hundred times as many cases of the engine's laws, {LONG_SEEDS} seeds of the simulated world, \
             and ten minutes of 100 readers beside writers"
        );
        return Ok(0);
    }
    let cases = status(cargo().args(["test", "--release", "--package", "berth-engine", "--lib"]).env("BERTH_CASES_MANY", "1"))?;
    if !cases.success() {
        return Ok(code(cases));
    }
    match sim(&["--seeds".to_owned(), LONG_SEEDS.to_string()])? {
        0 => bench(&["--load".to_owned(), "--strict".to_owned()]),
        failed => Ok(failed),
    }
}

/// The simulator takes its words itself.
fn sim(words: &[String]) -> Result<u8> {
    let built = status(cargo().args(["build", "--release", "--package", "berth-sim"]))?;
    if !built.success() {
        return Ok(code(built));
    }
    Ok(code(status(Command::new(target_folder()?.join("release").join("berth-sim")).args(words))?))
}

/// The measuring program takes its words itself.
fn bench(words: &[String]) -> Result<u8> {
    let built = status(cargo().args(["build", "--workspace", "--release", "--bin", "berth"]))?;
    if !built.success() {
        return Ok(code(built));
    }
    let program = target_folder()?.join("release").join("berth");
    let mut figures = cargo();
    figures.args(["bench", "--workspace", "--bench", "figures"]).env("BERTH_BIN", program);
    // Paths in the words are meant from where the caller stands.
    figures.env("BERTH_FROM", std::env::current_dir().context("no current folder")?);
    Ok(code(status(figures.arg("--").args(words))?))
}

/// A call of the cargo that started us, in the clone, with its output outside of the clone.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    if let Ok(folder) = target_folder() {
        command.env("CARGO_TARGET_DIR", folder);
    }
    command
}

/// Where cargo writes: `CARGO_TARGET_DIR`, else `berth/target` in the user's cache.
///
/// # Errors
/// If neither of `CARGO_TARGET_DIR`, `XDG_CACHE_HOME` and `HOME` is set.
pub fn target_folder() -> Result<PathBuf> {
    if let Some(folder) = set("CARGO_TARGET_DIR") {
        return Ok(root().join(folder));
    }
    Ok(cache_folder()?.join("target"))
}

/// Our folder in the user's cache.
///
/// # Errors
/// If neither of `XDG_CACHE_HOME` and `HOME` is set.
pub fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = set("XDG_CACHE_HOME") {
        return Ok(Path::new(&folder).join("berth"));
    }
    let home = set("HOME").context("none of CARGO_TARGET_DIR, XDG_CACHE_HOME and HOME is set; set one")?;
    Ok(Path::new(&home).join(".cache").join("berth"))
}

fn set(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    eprintln!("> {}", shown(command));
    command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {}", shown(command)))
}

/// Runs a command whose standard output goes to ours and, line by line, to a file.
fn status_with_log(command: &mut Command, log: &Path) -> Result<ExitStatus> {
    eprintln!("> {}", shown(command));
    let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    let output = child.stdout.take().context("the child has no standard output")?;
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let mut ours = std::io::stdout();
    while output.read_until(b'\n', &mut line)? > 0 {
        ours.write_all(&line)?;
        ours.flush()?;
        file.write_all(&line)?;
        line.clear();
    }
    file.flush()?;
    Ok(child.wait()?)
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    command.get_args().fold(program, |text, word| text + " " + &word.to_string_lossy())
}

/// The exit code to hand on; a child ended by a signal counts as failed.
fn code(status: ExitStatus) -> u8 {
    status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::{TestOptions, run, usage};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn test_options_are_told_apart() {
        let parsed = TestOptions::parse(&words("--no-install --long -- one two")).unwrap();
        assert_eq!(parsed, TestOptions { no_install: true, long: true, filters: words("one two") });
        assert_eq!(TestOptions::parse(&[]).unwrap(), TestOptions::default());
        assert!(TestOptions::parse(&words("--noinstall")).is_err());
    }

    #[test]
    fn an_unknown_verb_is_refused_with_the_list() {
        let message = run(&words("chekc")).unwrap_err().to_string();
        assert!(message.contains("check"), "{message}");
        assert!(usage().contains("--no-install"));
    }
}
