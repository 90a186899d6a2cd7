//! The mark on a backing object: whose it is and what it contains.
//!
//! One line of ASCII that fits an extended attribute, an LVM tag and a ZFS property alike:
//! `berth1:<v|s>:<cluster>:<generation>:<content>:<name>`. Only an object whose mark says the expected generation is touched.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// First word of a mark of this version.
const HEAD: &str = "berth1";

/// What a marked object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarkKind {
    /// A volume.
    Volume,
    /// A snapshot's copy of a volume.
    Snapshot,
}

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What the object is.
    pub kind: MarkKind,
    /// Cluster that it belongs to.
    pub cluster: Uuid,
    /// Generation id of the volume or snapshot copy.
    pub generation: Uuid,
    /// Id of the data in it.
    pub content: Uuid,
    /// Name for people who look at the disk, e.g. `web/0`: letters, digits, `_`, `-`, `.`, `/`, `@`; other characters become `_`.
    pub name: String,
}

/// Why a text is not a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a mark that this version understands")]
pub struct BadMark(String);

impl Mark {
    /// The mark as text.
    #[must_use]
    pub fn render(&self) -> String {
        let kind = match self.kind {
            MarkKind::Volume => 'v',
            MarkKind::Snapshot => 's',
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
        let name: String = self.name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
        format!("{HEAD}:{kind}:{}:{}:{}:{name}", self.cluster, self.generation, self.content)
    }

    /// Takes a text as a mark.
    ///
    /// # Errors
    /// [`BadMark`] if it is none, or one of a later version.
    pub fn parse(text: &str) -> Result<Self, BadMark> {
        let bad = || BadMark(text.chars().take(200).collect());
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(bad);
        if next()? != HEAD {
            return Err(bad());
        }
        let kind = match next()? {
            "v" => MarkKind::Volume,
            "s" => MarkKind::Snapshot,
            _ => return Err(bad()),
        };
        let mut uuid = || Uuid::try_parse(next()?).map_err(|_| bad());
        let (cluster, generation, content) = (uuid()?, uuid()?, uuid()?);
        Ok(Self { kind, cluster, generation, content, name: next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_text() {
        let uuid = Uuid::from_u128;
        for kind in [MarkKind::Volume, MarkKind::Snapshot] {
            let mark = Mark { kind, cluster: uuid(1), generation: uuid(2), content: uuid(3), name: "web/0@s".into() };
            assert_eq!(Mark::parse(&mark.render()), Ok(mark));
        }
    }

    #[test]
    fn nonsense_is_no_mark() {
        let good = Mark { kind: MarkKind::Volume, cluster: Uuid::nil(), generation: Uuid::nil(), content: Uuid::nil(), name: "a b".into() };
        assert!(good.render().ends_with(":a_b"));
        for text in ["", "berth1", "berth2:v:::x", "berth1:v:x:y:z:n", &good.render().replace(":v:", ":w:")] {
            assert!(Mark::parse(text).is_err(), "{text}");
        }
    }
}
