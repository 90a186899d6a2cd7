//! External files: kept by the controller, written on the nodes of the definitions that they are deployed with.

use serde::{Deserialize, Serialize};

use crate::ids::{Id, kind};
use crate::names::FilePath;
use crate::time::Timestamp;

/// Namespace of the properties of a definition that say which files are deployed with it: `files/<path>`.
pub const FILES: &str = "files";
/// Value of such a property.
pub const DEPLOYED: &str = "True";
/// Largest content of one file, bytes.
pub const CONTENT_MAX: usize = 512 << 10;
/// Most alternative suffixes of one file.
pub const SUFFIXES_MAX: usize = 16;
/// Longest suffix, bytes.
pub const SUFFIX_MAX: usize = 64;

/// The property by which a definition deploys a file.
#[must_use]
pub fn property(path: &FilePath) -> String {
    format!("{FILES}{path}")
}

/// The file that a property deploys; `None`: the key is none of these.
#[must_use]
pub fn of_property(key: &str) -> Option<FilePath> {
    FilePath::parse(key.strip_prefix(FILES)?).ok()
}

/// The folder of `folders` (absolute paths) that `path` lies below, the deepest one; `None`: below none. Only whole names count:
/// `/etc/a` does not hold `/etc/ab`.
#[must_use]
pub fn folder_of<'f>(folders: &'f [String], path: &FilePath) -> Option<&'f str> {
    let below = |folder: &&String| {
        let folder = folder.trim_end_matches('/');
        path.as_str().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    };
    folders.iter().filter(below).max_by_key(|folder| folder.trim_end_matches('/').len()).map(String::as_str)
}

/// A file that is kept for nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Generation id.
    pub id: Id<kind::ExternalFile>,
    /// Where it lies on a node.
    pub path: FilePath,
    /// What is in it, base64. It may be a secret: the name of the member hides it wherever records are shown.
    #[serde(default, rename = "secret_content")]
    pub content: String,
    /// Suffixes: where a file with one of them is there, that one is written in place of the path itself.
    #[serde(default)]
    pub alt_suffixes: Vec<String>,
    /// When it was changed last.
    #[serde(default)]
    pub changed: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_a_folder_is_allowed() {
        let folders = ["/etc/a", "/etc/a/b/", "/srv"].map(str::to_owned);
        let of = |text: &str| folder_of(&folders, &FilePath::parse(text).unwrap()).map(str::to_owned);
        assert_eq!(of("/etc/a/x"), Some("/etc/a".to_owned()));
        assert_eq!(of("/etc/a/b/x"), Some("/etc/a/b/".to_owned()));
        for no in ["/etc/a", "/etc/ab/x", "/etc/A/x", "/x"] {
            assert_eq!(of(no), None, "{no}");
        }
        assert_eq!(folder_of(&[], &FilePath::parse("/etc/a").unwrap()), None);
        assert!(folder_of(&["/".to_owned()], &FilePath::parse("/etc/a").unwrap()).is_some());
    }

    #[test]
    fn a_property_names_its_file() {
        let path = FilePath::parse("/etc/a b/x.conf").unwrap();
        assert_eq!(property(&path), "files/etc/a b/x.conf");
        assert_eq!(of_property("files/etc/a b/x.conf"), Some(path));
        for key in ["files", "filesx", "Aux/files/x", "files/", "files/a/../b"] {
            assert_eq!(of_property(key), None, "{key}");
        }
    }
}
