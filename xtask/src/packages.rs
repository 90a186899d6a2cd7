//! What the tests need of the machine beyond Rust, by Debian package.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

/// How one looks whether a package is there.
enum Probe {
    /// A program of this name in the search path.
    Program(&'static str),
    /// Python can make a virtual environment.
    PythonVenv,
}

/// One package: its Debian name, how to see that it is there, and what it is for.
struct Need {
    package: &'static str,
    probe: Probe,
    purpose: &'static str,
}

/// Everything that any test starts. A tool which a test calls and that Debian's base lacks is listed here.
const NEEDS: &[Need] = &[
    Need { package: "xfsprogs", probe: Probe::Program("mkfs.xfs"), purpose: "a file system with reflinks for the pools" },
    Need { package: "e2fsprogs", probe: Probe::Program("mkfs.ext4"), purpose: "a file system on the volumes under test" },
    Need { package: "util-linux", probe: Probe::Program("losetup"), purpose: "loop devices" },
    Need { package: "mount", probe: Probe::Program("mount"), purpose: "mounting the volumes under test" },
    Need { package: "strace", probe: Probe::Program("strace"), purpose: "the trace that shows each change reach the disk" },
    Need { package: "faketime", probe: Probe::Program("faketime"), purpose: "the controller whose clock is ten years off" },
    Need { package: "slapd", probe: Probe::Program("slapd"), purpose: "a directory that logins are checked against" },
    Need { package: "docker.io", probe: Probe::Program("dockerd"), purpose: "the daemon that uses the volume plugin" },
    Need { package: "docker-compose", probe: Probe::Program("docker-compose"), purpose: "a project with a volume of the plugin" },
    Need { package: "busybox-static", probe: Probe::Program("busybox"), purpose: "the image of its containers" },
    Need { package: "bsdutils", probe: Probe::Program("script"), purpose: "a terminal for shells and interactive mode" },
    Need { package: "zsh", probe: Probe::Program("zsh"), purpose: "completion in this shell" },
    Need { package: "fish", probe: Probe::Program("fish"), purpose: "completion in this shell" },
    Need { package: "python3", probe: Probe::Program("python3"), purpose: "the tests with the Python client" },
    Need { package: "python3-venv", probe: Probe::PythonVenv, purpose: "a place of its own for the Python client" },
];

/// Folders in which system programs lie even where the search path of a plain user omits them.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// The packages that are missing, with what each is for.
#[must_use]
pub fn missing() -> Vec<(&'static str, &'static str)> {
    missing_with(is_there)
}

fn missing_with(is_there: impl Fn(&Probe) -> bool) -> Vec<(&'static str, &'static str)> {
    NEEDS.iter().filter(|need| !is_there(&need.probe)).map(|need| (need.package, need.purpose)).collect()
}

/// Names what is missing, then installs it; with `install` false it refuses instead.
///
/// # Errors
/// If something is missing and may not, or cannot, be installed; the message names every package.
pub fn ensure(install: bool) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    for (package, purpose) in &missing {
        eprintln!("missing: {package} ({purpose})");
    }
    if !install {
        return Err(refusal(&names));
    }
    let Some(apt) = find("apt-get") else {
        bail!("{} missing, and there is no apt-get on this machine to install them with", names.join(", "));
    };
    eprintln!("installing: {}", names.join(" "));
    run_as_root(&apt, &["update", "-q"])?;
    let mut words = vec!["install", "-y", "-q", "--no-install-recommends"];
    words.extend(&names);
    run_as_root(&apt, &words)?;
    let still: Vec<&str> = self::missing().iter().map(|(package, _)| *package).collect();
    if !still.is_empty() {
        bail!("still missing after the installation: {}", still.join(", "));
    }
    Ok(())
}

/// The path of a program, looked for where root would find it.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn refusal(names: &[&str]) -> anyhow::Error {
    anyhow!("{} missing; install with: apt-get install --no-install-recommends {}", names.join(", "), names.join(" "))
}

fn is_there(probe: &Probe) -> bool {
    match probe {
        Probe::Program(name) => find(name).is_some(),
        Probe::PythonVenv => find("python3").is_some_and(|python| {
            Command::new(python)
                .args(["-c", "import venv, ensurepip"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        }),
    }
}

fn run_as_root(program: &Path, words: &[&str]) -> Result<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0\n"));
    let mut command = if is_root {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.arg(program);
        command
    };
    // What apt prints goes to standard error: standard output belongs to the tests.
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("{} {} failed: {status}", program.display(), words.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{NEEDS, Probe, find, missing_with, refusal};

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        assert!(missing_with(|_| true).is_empty());
        assert_eq!(missing_with(|_| false).len(), NEEDS.len());
        let missing = missing_with(|probe| !matches!(probe, Probe::Program("mkfs.xfs")));
        assert_eq!(missing.iter().map(|(package, _)| *package).collect::<Vec<_>>(), ["xfsprogs"]);
        let message = refusal(&["xfsprogs", "strace"]).to_string();
        assert!(message.contains("apt-get install --no-install-recommends xfsprogs strace"), "{message}");
    }

    #[test]
    fn programs_are_found_by_name_and_others_are_not() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
