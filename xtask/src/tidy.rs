//! The rules of the house that a machine can check.
//!
//! Each rule takes the root of the clone and returns its findings, one line each, beginning with the place. Empty is good.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No source file may be longer.
const LINES_MAX: usize = 700;

/// From here on a file is due to be divided; `cargo xtask check` says so without failing.
const LINES_SOFT: usize = 600;

/// The rooms that touch nothing but memory.
const ROOMS_WITHOUT_IO: [&str; 5] = ["core/model", "core/engine", "core/api", "core/conformance", "plugin-sdk"];

/// Every folder in here is a room without I/O, too.
const PROVIDERS: &str = "providers";

/// What a room without I/O may depend on, besides other rooms without I/O. All of these compute and nothing else; the last two make the
/// edges of extensions.
const PURE_CRATES: [&str; 14] = [
    "serde",
    "serde_json",
    "schemars",
    "thiserror",
    "uuid",
    "imbl",
    "regex",
    "base64",
    "proptest",
    "insta",
    "jiff",
    "toml",
    "wit-bindgen",
    "abi_stable",
];

/// Calls and types that reach for the world, each with the reason to show.
const IMPURE: [(&str, &str); 16] = [
    ("std::fs", "files belong to the shells"),
    ("TcpStream", "sockets belong to the shells"),
    ("TcpListener", "sockets belong to the shells"),
    ("ToSocketAddrs", "looking up names belongs to the shells"),
    ("std::process", "processes belong to the satellite"),
    ("std::env::var", "settings are arguments"),
    ("std::io::stdin", "input is an argument"),
    ("SystemTime", "time is an argument"),
    ("Instant::", "time is an argument"),
    ("time::Instant", "time is an argument"),
    ("thread::sleep", "waiting is an effect"),
    ("thread::spawn", "tasks belong to the shells"),
    ("Uuid::now_v7", "identities arrive with the request"),
    ("Uuid::new_v4", "identities arrive with the request"),
    ("Timestamp::now", "time is an argument"),
    ("tokio::", "waiting belongs to the shells"),
];

/// What the `lib.rs` of a room without I/O must say, so that clippy.toml holds for it.
const GUARD: &str = "#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]";

/// Runs every rule.
#[must_use]
pub fn every_rule(root: &Path) -> Vec<String> {
    for note in long_files(root, LINES_SOFT) {
        eprintln!("note: {note}");
    }
    let mut problems = long_files(root, LINES_MAX);
    problems.extend(banned_words(root));
    problems.extend(impure_manifests(root));
    problems.extend(impure_sources(root));
    problems.extend(unguarded_rooms(root));
    problems.extend(rooms_without_mention(root));
    problems.extend(broken_links(root));
    problems.extend(unexplained_dependencies(root));
    problems
}

/// All files of the project, sorted; what Git ignores and Git's own folder are left out.
#[must_use]
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !["target", ".git", "node_modules", "__pycache__"].iter().any(|skipped| name == **skipped) {
                    folders.push(path);
                }
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Source files with more lines than `limit`.
#[must_use]
pub fn long_files(root: &Path, limit: usize) -> Vec<String> {
    with_text(root, &["rs", "py", "sh", "proto"])
        .filter_map(|(place, text)| {
            let lines = text.lines().count();
            (lines > limit).then(|| format!("{place}: {lines} lines, more than {limit}: divide it"))
        })
        .collect()
}

/// Words that tell of one machine, of unfinished work, or of anything but the project.
#[must_use]
pub fn banned_words(root: &Path) -> Vec<String> {
    // In two pieces each, so that this list does not find itself.
    let words: Vec<String> = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X:"),
        ("HA", "CK:"),
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/far", "m/"),
        ("unimpl", "emented!("),
        ("to", "do!("),
        ("in a real ", "implementation"),
        ("Chat", "GPT"),
        ("Cla", "ude"),
        ("language ", "model"),
        ("AI-gen", "erated"),
        ("linstor-server", "/src"),
    ]
    .map(|(a, b)| format!("{a}{b}"))
    .to_vec();
    let mut problems = Vec::new();
    for (place, text) in with_text(root, &["rs", "md", "toml", "py", "sh", "proto", "tsv", "service", "txt"]) {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{place}:{}: {word:?} has no place here", number + 1));
            }
        }
    }
    problems
}

/// Rooms without I/O whose manifests ask for a crate that could do some.
#[must_use]
pub fn impure_manifests(root: &Path) -> Vec<String> {
    let rooms = rooms_without_io(root);
    let pure: BTreeSet<String> = rooms.iter().filter_map(|room| package_name(&fs::read_to_string(room.join("Cargo.toml")).ok()?)).collect();
    let mut problems = Vec::new();
    for room in &rooms {
        let manifest = room.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            problems.push(format!("{}: cannot be read", shown(root, &manifest)));
            continue;
        };
        for name in dependencies_of(&text) {
            if !pure.contains(&name) && !PURE_CRATES.contains(&name.as_str()) {
                problems.push(format!("{}: {name} is not one of the crates that only compute", shown(root, &manifest)));
            }
        }
    }
    problems
}

/// Rooms without I/O whose sources name a file, a socket, a process, a clock or a source of chance.
///
/// Tests at the end of a file are left out: they may read a fixture.
#[must_use]
pub fn impure_sources(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms_without_io(root) {
        for file in files(&room.join("src")) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            if file.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                if line.trim() == "#[cfg(test)]" {
                    break;
                }
                let code = line.split("//").next().unwrap_or_default();
                for (call, reason) in IMPURE.iter().filter(|(call, _)| code.contains(call)) {
                    problems.push(format!("{}:{}: {call}: {reason}", shown(root, &file), number + 1));
                }
            }
        }
    }
    problems
}

/// Rooms without I/O that do not switch on the ban of calls in clippy.toml.
#[must_use]
pub fn unguarded_rooms(root: &Path) -> Vec<String> {
    rooms_without_io(root)
        .into_iter()
        .map(|room| room.join("src/lib.rs"))
        .filter(|file| !fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line == GUARD)))
        .map(|file| format!("{}: lacks the line {GUARD}", shown(root, &file)))
        .collect()
}

/// Members of the workspace that ARCHITECTURE.md does not name by their folder.
#[must_use]
pub fn rooms_without_mention(root: &Path) -> Vec<String> {
    let architecture = match fs::read_to_string(root.join("ARCHITECTURE.md")) {
        Ok(text) => text,
        Err(error) => return vec![format!("ARCHITECTURE.md: {error}")],
    };
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    members(&manifest)
        .into_iter()
        .filter(|member| !architecture.contains(member.as_str()))
        .map(|member| format!("ARCHITECTURE.md: does not name {member}"))
        .collect()
}

/// Links between our documents that lead nowhere.
#[must_use]
pub fn broken_links(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files(root) {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let folder = file.parent().unwrap_or(root);
        for target in links(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path).exists() {
                problems.push(format!("{}: link to {target} leads nowhere", shown(root, &file)));
            }
        }
    }
    problems
}

/// Dependencies of the workspace for which docs/dependencies.md has no sentence, and sentences without a dependency.
#[must_use]
pub fn unexplained_dependencies(root: &Path) -> Vec<String> {
    const DOCUMENT: &str = "docs/dependencies.md";
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let explained: BTreeSet<String> = fs::read_to_string(root.join(DOCUMENT))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split("**").next().map(str::to_owned))
        .collect();
    let used: BTreeSet<String> =
        section(&manifest, |name| name == "workspace.dependencies").filter(|line| !line.contains("path = ")).filter_map(key).collect();
    let missing = used.difference(&explained).map(|name| format!("{DOCUMENT}: no line that begins with `- **{name}**`"));
    let stale = explained.difference(&used).map(|name| format!("{DOCUMENT}: {name} is no dependency of the workspace"));
    missing.chain(stale).collect()
}

/// Local targets of `[text](target)`, outside of code blocks.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].trim();
            if !target.contains("://") && !target.starts_with("mailto:") && !target.starts_with('#') {
                found.push(target.to_owned());
            }
            rest = &rest[end..];
        }
    }
    found
}

fn rooms_without_io(root: &Path) -> Vec<PathBuf> {
    let providers = fs::read_dir(root.join(PROVIDERS)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut rooms: Vec<PathBuf> =
        ROOMS_WITHOUT_IO.iter().map(|room| root.join(room)).chain(providers.filter(|path| path.is_dir())).collect();
    rooms.sort();
    rooms
}

/// The keys of all kinds of dependencies of a manifest, those for tests included.
fn dependencies_of(manifest: &str) -> Vec<String> {
    section(manifest, |name| name.ends_with("dependencies")).filter_map(key).collect()
}

fn members(manifest: &str) -> Vec<String> {
    let list = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.split(',').map(|member| member.trim().trim_matches('"').to_owned()).filter(|member| !member.is_empty()).collect()
}

fn package_name(manifest: &str) -> Option<String> {
    section(manifest, |name| name == "package").find_map(|line| Some(line.strip_prefix("name = \"")?.trim_end_matches('"').to_owned()))
}

/// The lines of those sections of a TOML file whose names fit.
fn section<'text>(text: &'text str, fits: impl Fn(&str) -> bool + 'text) -> impl Iterator<Item = &'text str> {
    let mut inside = false;
    text.lines().map(str::trim).filter(move |line| {
        if let Some(name) = line.strip_prefix('[') {
            inside = fits(name.trim_matches(['[', ']']));
            return false;
        }
        inside && !line.is_empty() && !line.starts_with('#')
    })
}

/// The name before `=` or before `.workspace`.
fn key(line: &str) -> Option<String> {
    let (name, _) = line.split_once(['=', '.'])?;
    Some(name.trim().trim_matches('"').to_owned())
}

fn with_text<'root>(root: &'root Path, extensions: &'root [&str]) -> impl Iterator<Item = (String, String)> + 'root {
    files(root)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)))
        .filter_map(|file| Some((shown(root, &file), fs::read_to_string(&file).ok()?)))
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{LINES_MAX, dependencies_of, key, links, members, section};
    use crate::root;

    #[track_caller]
    fn none(problems: &[String]) {
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    #[test]
    fn no_source_file_is_too_long() {
        none(&super::long_files(&root(), LINES_MAX));
    }

    #[test]
    fn no_machine_path_and_no_unfinished_work() {
        none(&super::banned_words(&root()));
    }

    #[test]
    fn rooms_without_io_depend_on_nothing_that_does_some() {
        none(&super::impure_manifests(&root()));
    }

    #[test]
    fn rooms_without_io_call_nothing_that_does_some() {
        none(&super::impure_sources(&root()));
        none(&super::unguarded_rooms(&root()));
    }

    #[test]
    fn every_room_is_in_the_architecture() {
        none(&super::rooms_without_mention(&root()));
    }

    #[test]
    fn every_link_between_documents_leads_somewhere() {
        none(&super::broken_links(&root()));
    }

    #[test]
    fn every_dependency_has_its_sentence() {
        none(&super::unexplained_dependencies(&root()));
    }

    #[test]
    fn every_file_is_formatted() {
        let out = Command::new(env!("CARGO")).args(["fmt", "--all", "--check"]).current_dir(root()).output().unwrap();
        assert!(out.status.success(), "run cargo fmt --all\n{}", String::from_utf8_lossy(&out.stdout));
    }

    #[test]
    fn manifests_are_read() {
        let text = "[package]\nname = \"x\"\n\n[dependencies]\nserde.workspace = true\n# no\na-b = \"1\"\n[lints]\nworkspace = true\n[dev-dependencies]\nc = { x = 1 }\n";
        assert_eq!(dependencies_of(text), ["serde", "a-b", "c"]);
        assert_eq!(section(text, |name| name == "package").collect::<Vec<_>>(), ["name = \"x\""]);
        assert_eq!(key("no equals sign"), None);
        assert_eq!(members("members = [\n \"a/b\",\n \"c\",\n]"), ["a/b", "c"]);
    }

    #[test]
    fn only_local_links_outside_of_code_count() {
        assert_eq!(links("[a](b.md) [c](https://d) [e](#f)\n```\n[g](h)\n```\n[i](j.md#k)"), ["b.md", "j.md#k"]);
    }
}
