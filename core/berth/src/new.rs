//! `berth new provider` and `berth new plugin`: a working starting point for an author.
//!
//! What is written is a crate of this tree (`examples/…-template`), which is built and tested like every other; only its names and where
//! it finds the SDK are changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

/// A crate of this tree to begin with.
struct Template {
    /// Its name, which becomes the author's.
    name: &'static str,
    /// How the name of its type ends.
    kind: &'static str,
    /// Its files, by their path.
    files: &'static [(&'static str, &'static str)],
}

const PROVIDER: Template = Template {
    name: "example-provider",
    kind: "Provider",
    files: &[
        ("Cargo.toml", include_str!("../../../examples/provider-template/Cargo.toml")),
        ("README.md", include_str!("../../../examples/provider-template/README.md")),
        ("src/lib.rs", include_str!("../../../examples/provider-template/src/lib.rs")),
    ],
};

const PLUGIN: Template = Template {
    name: "example-plugin",
    kind: "Plugin",
    files: &[
        ("Cargo.toml", include_str!("../../../examples/plugin-template/Cargo.toml")),
        ("README.md", include_str!("../../../examples/plugin-template/README.md")),
        ("src/lib.rs", include_str!("../../../examples/plugin-template/src/lib.rs")),
    ],
};

/// What the templates say of the SDK: where it is in this tree.
const SDK_HERE: &str = "path = \"../../plugin-sdk\", ";
/// The same of the conformance kit.
const KIT_HERE: &str = "path = \"../../core/conformance\", ";

/// Names that Cargo or the language keep for themselves.
const TAKEN: [&str; 44] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut",
    "override", "priv", "pub", "ref", "return", "self", "static", "std", "struct", "super", "test", "try",
];

/// `berth new`.
#[derive(Debug, Args)]
pub struct NewWords {
    /// What to begin.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A provider of volumes that builds, passes the conformance kit, and can be changed from there.
    #[command(after_help = "Example:\n  berth new provider my-storage\n  cd my-storage && cargo test")]
    Provider(Begin),
    /// A plugin that serves a platform with the cluster's storage: it builds, has a test, and can be changed from there.
    #[command(after_help = "Example:\n  berth new plugin my-platform\n  cd my-platform && cargo test")]
    Plugin(Begin),
}

#[derive(Debug, Args)]
struct Begin {
    /// Its name: 1 to 32 lower-case letters, digits and `-`, the first a letter.
    name: String,
    /// Folder to make; the name if not given.
    dir: Option<PathBuf>,
    /// Folder `plugin-sdk` of Berth's sources; without it the SDK comes from the registry of crates.
    #[arg(long, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// A name that cannot be used, a folder that is not empty or cannot be written; then nothing is left.
pub fn run(words: &NewWords) -> anyhow::Result<()> {
    let (begin, template) = match &words.what {
        What::Provider(begin) => (begin, &PROVIDER),
        What::Plugin(begin) => (begin, &PLUGIN),
    };
    check_name(&begin.name)?;
    let dir = begin.dir.clone().unwrap_or_else(|| PathBuf::from(&begin.name));
    let sources = begin.sdk_path.as_deref().map(sources).transpose()?;
    let files: Vec<(&str, String)> =
        template.files.iter().map(|(path, text)| (*path, filled(path, text, template, &begin.name, sources.as_ref()))).collect();
    write(&dir, &files)?;
    println!("'{}' is in '{}'. Next: cd {} && cargo test, then README.md", begin.name, dir.display(), dir.display());
    Ok(())
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fits {
        bail!("'{name}' cannot be its name: 1 to 32 lower-case letters, digits and '-', the first a letter; choose another one");
    }
    if TAKEN.contains(&name) {
        bail!("'{name}' cannot be its name: the language keeps it for itself; choose another one");
    }
    Ok(())
}

/// The SDK's folder and the kit's beside it.
fn sources(sdk: &Path) -> anyhow::Result<(String, String)> {
    let path = |folder: PathBuf| -> anyhow::Result<String> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("'{}' is not there; --sdk-path is the folder 'plugin-sdk' of Berth's sources", folder.display()))?;
        let text = folder.to_str().filter(|text| !text.contains(['"', '\\', '\n']));
        text.map(str::to_owned).with_context(|| format!("'{}' cannot stand in a Cargo.toml; move the sources", folder.display()))
    };
    Ok((path(sdk.to_owned())?, path(sdk.join("../core/conformance"))?))
}

/// `my-storage` as the name of a type of this kind: `MyStorageProvider`.
fn type_name(name: &str, kind: &str) -> String {
    let big = |word: &str| word.chars().next().map(|first| first.to_ascii_uppercase()).into_iter().chain(word.chars().skip(1)).collect();
    let words: Vec<String> = name.split('-').filter(|word| !word.is_empty()).map(big).collect();
    let joined = words.concat();
    if joined.len() > kind.len() && joined.ends_with(kind) { joined } else { format!("{joined}{kind}") }
}

fn filled(path: &str, text: &str, template: &Template, to: &str, sources: Option<&(String, String)>) -> String {
    let (from, kind) = (template.name, template.kind);
    let snake = |name: &str| name.replace('-', "_");
    let text = text.replace(&type_name(from, kind), &type_name(to, kind)).replace(from, to).replace(&snake(from), &snake(to));
    if path != "Cargo.toml" {
        return text;
    }
    let text = match sources {
        None => text.replace(SDK_HERE, "").replace(KIT_HERE, ""),
        Some((sdk, kit)) => text.replace(SDK_HERE, &format!("path = \"{sdk}\", ")).replace(KIT_HERE, &format!("path = \"{kit}\", ")),
    };
    // A workspace of its own, wherever it is begun.
    format!("{text}\n[profile.release]\nstrip = true\n\n[workspace]\n")
}

/// All files or none.
fn write(dir: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    let existed = match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("'{}' is not empty; choose another folder", dir.display());
            }
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("'{}' cannot be used", dir.display())),
    };
    let write_all = || -> std::io::Result<()> {
        for (path, text) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, text)?;
        }
        Ok(())
    };
    write_all().map_err(|error| {
        for (path, _) in files {
            let _ = fs::remove_file(dir.join(path));
        }
        let _ = fs::remove_dir(dir.join("src"));
        if !existed {
            let _ = fs::remove_dir(dir);
        }
        anyhow::Error::from(error).context(format!("'{}' cannot be written", dir.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(name: &str, dir: &Path, sdk: Option<PathBuf>) -> anyhow::Result<()> {
        run(&NewWords { what: What::Provider(Begin { name: name.into(), dir: Some(dir.to_owned()), sdk_path: sdk }) })
    }

    fn begin_plugin(name: &str, dir: &Path, sdk: Option<PathBuf>) -> anyhow::Result<()> {
        run(&NewWords { what: What::Plugin(Begin { name: name.into(), dir: Some(dir.to_owned()), sdk_path: sdk }) })
    }

    #[test]
    fn a_plugin_is_begun_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("one");
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
        begin_plugin("my-platform", &dir, Some(sdk.clone())).unwrap();
        let read = |path: &str| fs::read_to_string(dir.join(path)).unwrap();
        let all = ["Cargo.toml", "README.md", "src/lib.rs"].map(read).concat();
        for word in ["example", "Example", "../../"] {
            assert!(!all.contains(word), "{word} in {all}");
        }
        assert!(all.contains("name = \"my-platform\"") && all.contains("[workspace]") && all.contains("export_plugin!(MyPlatformPlugin)"));
        assert!(all.contains("PluginManifest::new(\"my-platform\"") && all.contains("release/libmy_platform.so"), "{all}");
        assert!(all.contains(&format!("path = \"{}\"", sdk.canonicalize().unwrap().display())), "{all}");
        for (name, word) in [("My", "lower-case"), ("", "lower-case"), ("../up", "lower-case"), ("try", "keeps it for itself")] {
            let at = folder.path().join("none");
            let error = begin_plugin(name, &at, None).expect_err(name).to_string();
            assert!(error.contains(word) && !at.exists(), "{error}");
        }
        let error = begin_plugin("good", &dir, None).expect_err("it is not empty").to_string();
        assert!(error.contains("not empty"), "{error}");
    }

    #[test]
    fn nothing_of_the_template_is_left_but_what_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("deep/one");
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
        begin("my-storage", &dir, Some(sdk.clone())).unwrap();
        let read = |path: &str| fs::read_to_string(dir.join(path)).unwrap();
        let all = ["Cargo.toml", "README.md", "src/lib.rs"].map(read).concat();
        for word in ["example", "Example", "../../"] {
            assert!(!all.contains(word), "{word} in {all}");
        }
        let manifest = read("Cargo.toml");
        assert!(manifest.contains("name = \"my-storage\"") && manifest.contains("[workspace]"), "{manifest}");
        assert!(manifest.contains(&format!("path = \"{}\"", sdk.canonicalize().unwrap().display())), "{manifest}");
        assert!(read("src/lib.rs").contains("export_provider!(MyStorageProvider)"));
        assert!(read("README.md").contains("release/my_storage.wasm"));
        // By version.
        let other = folder.path().join("two");
        begin("x", &other, None).unwrap();
        let manifest = fs::read_to_string(other.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("berth-plugin-sdk = { version = \"") && !manifest.contains("path"), "{manifest}");
    }

    #[test]
    fn what_cannot_be_begun_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        for (name, word) in [("My", "lower-case"), ("", "lower-case"), ("a/b", "lower-case"), ("try", "keeps it for itself")] {
            let error = begin(name, &dir, None).expect_err(name).to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = begin("good", &dir, Some(folder.path().join("nowhere"))).expect_err("no SDK").to_string();
        assert!(error.contains("--sdk-path"), "{error}");
        assert!(!dir.exists());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("mine"), "x").unwrap();
        let error = begin("good", &dir, None).expect_err("it is not empty").to_string();
        assert!(error.contains("not empty"), "{error}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        // A file stands where a folder must.
        let file = dir.join("mine");
        assert!(begin("good", &file, None).is_err() && begin("good", &file.join("x"), None).is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn a_type_is_named_as_the_language_does() {
        for (name, wanted) in
            [("x", "XProvider"), ("my-storage", "MyStorageProvider"), ("a-provider", "AProvider"), ("provider", "ProviderProvider")]
        {
            assert_eq!(type_name(name, "Provider"), wanted);
        }
        assert_eq!(type_name("my-plugin", "Plugin"), "MyPlugin");
    }
}
