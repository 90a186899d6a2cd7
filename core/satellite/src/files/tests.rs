//! What becomes of external files on a real folder.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::*;

struct Bed {
    home: tempfile::TempDir,
    files: ExternalFiles,
    hands: Hands,
}

impl Bed {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["data", "etc", "other"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let files = Self::opened(home.path());
        Self { home, files, hands: Hands::new(Duration::from_secs(30)) }
    }

    fn opened(home: &Path) -> ExternalFiles {
        ExternalFiles::open(&home.join("data"), vec![home.join("etc").display().to_string()]).unwrap()
    }

    /// The satellite's next life.
    fn restart(&mut self) {
        self.files = Self::opened(self.home.path());
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.at(name)).ok()
    }

    fn plan(&self, name: &str, content: &str, suffixes: &[&str]) -> FilePlan {
        FilePlan {
            path: FilePath::parse(self.at(name).to_str().unwrap()).unwrap(),
            content: STANDARD.encode(content),
            alt_suffixes: suffixes.iter().map(|suffix| (*suffix).to_owned()).collect(),
        }
    }

    /// What is said of the only wanted one.
    fn make(&self, name: &str, content: &str, suffixes: &[&str]) -> FileSeen {
        self.files.make(&self.hands, &[self.plan(name, content, suffixes)]).pop().unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.at(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn kind(seen: &FileSeen) -> Option<FaultKind> {
    seen.fault.as_ref().map(|fault| fault.kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_written_changed_and_removed() {
    let mut bed = Bed::new();
    let seen = bed.make("etc/sub/a.conf", "one\n", &[]);
    assert_eq!((seen.content_match, seen.actual_path.as_deref()), (true, bed.at("etc/sub/a.conf").to_str()));
    assert_eq!(bed.read("etc/sub/a.conf").as_deref(), Some("one\n"));
    let mode = |bed: &Bed| std::fs::metadata(bed.at("etc/sub/a.conf")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bed), 0o600);
    // The operator's mode stays, also over a restart of the satellite.
    std::fs::set_permissions(bed.at("etc/sub/a.conf"), std::fs::Permissions::from_mode(0o644)).unwrap();
    bed.restart();
    assert!(bed.make("etc/sub/a.conf", "two\n", &[]).content_match);
    assert_eq!((bed.read("etc/sub/a.conf").as_deref(), mode(&bed)), (Some("two\n"), 0o644));
    bed.restart();
    assert_eq!(bed.files.make(&bed.hands, &[]), []);
    assert_eq!(bed.names("etc"), [""; 0], "its folder was made for it, and went with it");
    // Nothing of what was in it is in the memory of it.
    assert!(!bed.read("data/files.json").unwrap().contains("two"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_were_made_go_when_they_are_empty_and_no_others() {
    let mut bed = Bed::new();
    std::fs::create_dir(bed.at("etc/theirs")).unwrap();
    let plans = |bed: &Bed, names: &[&str]| names.iter().map(|name| bed.plan(name, "x", &[])).collect::<Vec<_>>();
    let all = plans(&bed, &["etc/a/b/c/one", "etc/a/b/two", "etc/theirs/d/three"]);
    assert!(bed.files.make(&bed.hands, &all).iter().all(|seen| seen.content_match));
    std::fs::write(bed.at("etc/a/note"), "theirs").unwrap();
    bed.restart();
    bed.files.make(&bed.hands, &plans(&bed, &["etc/a/b/two"]));
    assert_eq!((bed.names("etc"), bed.names("etc/a/b")), (vec!["a".to_owned(), "theirs".to_owned()], vec!["two".to_owned()]));
    assert_eq!(bed.names("etc/theirs"), [""; 0], "what was there before stays");
    bed.files.make(&bed.hands, &[]);
    assert_eq!(bed.names("etc/a"), ["note"], "somebody else uses it");
    // Cut off between the file and its folder, the next life goes on.
    std::fs::remove_file(bed.at("etc/a/note")).unwrap();
    assert!(bed.files.make(&bed.hands, &plans(&bed, &["etc/a/x"]))[0].content_match);
    std::fs::remove_file(bed.at("etc/a/x")).unwrap();
    bed.restart();
    bed.files.make(&bed.hands, &[]);
    assert_eq!((bed.names("etc"), bed.read("data/file-folders.json").as_deref()), (vec!["theirs".to_owned()], Some("[]")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_outside_and_no_link_is_followed() {
    let bed = Bed::new();
    assert_eq!(kind(&bed.make("other/a.conf", "x", &[])), Some(FaultKind::Unsupported));
    assert_eq!(bed.names("other"), [""; 0]);
    symlink(bed.at("other"), bed.at("etc/way")).unwrap();
    assert_eq!(kind(&bed.make("etc/way/a.conf", "x", &[])), Some(FaultKind::Foreign));
    assert_eq!(bed.names("other"), [""; 0]);
    std::fs::write(bed.at("other/target"), "theirs").unwrap();
    symlink(bed.at("other/target"), bed.at("etc/link.conf")).unwrap();
    assert_eq!(kind(&bed.make("etc/link.conf", "x", &[])), Some(FaultKind::Foreign));
    std::fs::create_dir(bed.at("etc/folder.conf")).unwrap();
    assert_eq!(kind(&bed.make("etc/folder.conf", "x", &[])), Some(FaultKind::Foreign));
    // A link in the place of what is being written is removed, not followed.
    symlink(bed.at("other/target"), bed.at("etc/.b.conf.berth-new")).unwrap();
    assert!(bed.make("etc/b.conf", "x", &[]).content_match);
    assert_eq!((bed.read("other/target").as_deref(), bed.read("etc/b.conf").as_deref()), (Some("theirs"), Some("x")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_wrote_is_kept_and_comes_back() {
    let bed = Bed::new();
    std::fs::write(bed.at("etc/a.conf"), "theirs").unwrap();
    assert!(bed.make("etc/a.conf", "ours", &[]).content_match);
    assert_eq!((bed.read("etc/a.conf").as_deref(), bed.read("etc/a.conf.before-berth").as_deref()), (Some("ours"), Some("theirs")));
    // Changed by hand since: there is no second place to keep that.
    std::fs::write(bed.at("etc/a.conf"), "by hand").unwrap();
    let seen = bed.make("etc/a.conf", "ours", &[]);
    assert_eq!((kind(&seen), seen.content_match, bed.read("etc/a.conf").as_deref()), (Some(FaultKind::Foreign), false, Some("by hand")));
    std::fs::write(bed.at("etc/a.conf"), "ours").unwrap();
    bed.files.make(&bed.hands, &[]);
    assert_eq!((bed.names("etc"), bed.read("etc/a.conf").as_deref()), (vec!["a.conf".to_owned()], Some("theirs")));
    // One that was there already as it is wanted is nobody's to remove.
    assert!(bed.make("etc/a.conf", "theirs", &[]).content_match);
    bed.files.make(&bed.hands, &[]);
    assert_eq!(bed.read("etc/a.conf").as_deref(), Some("theirs"));
    // And one that was changed by hand stays when it is not wanted any more.
    assert!(bed.make("etc/c.conf", "ours", &[]).content_match);
    std::fs::write(bed.at("etc/c.conf"), "by hand").unwrap();
    bed.files.make(&bed.hands, &[]);
    assert_eq!(bed.read("etc/c.conf").as_deref(), Some("by hand"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alternative_that_is_there_is_written_in_place_of_the_path() {
    let bed = Bed::new();
    assert!(bed.make("etc/a.toml", "one", &[".disabled"]).content_match);
    std::fs::rename(bed.at("etc/a.toml"), bed.at("etc/a.toml.disabled")).unwrap();
    let seen = bed.make("etc/a.toml", "one", &[".disabled"]);
    assert_eq!(seen.actual_path.as_deref(), bed.at("etc/a.toml.disabled").to_str());
    assert!(bed.make("etc/a.toml", "two", &[".disabled"]).content_match);
    assert_eq!((bed.read("etc/a.toml"), bed.read("etc/a.toml.disabled").as_deref()), (None, Some("two")));
}

#[test]
fn folders_are_absolute() {
    assert_eq!(folders(" /etc/a, /srv ,").unwrap(), ["/etc/a", "/srv"]);
    assert_eq!(folders("").unwrap(), [""; 0]);
    for bad in ["etc", "/a/../b", "/ok,x"] {
        assert!(folders(bad).is_err(), "{bad}");
    }
}
