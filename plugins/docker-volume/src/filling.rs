//! Whether a file system is made on a device: a decision over what the volume's record says and what is found on the device.
//!
//! A file system is made once, only on content that is known to be fresh, and never over anything that is found. The record is written
//! before (`making`, with the file system's id) and after (`made`); a volume is mounted only when it is `made`, so that what is found under
//! `making` with that id is our own unfinished work, which nobody has put data on.

use uuid::Uuid;

/// Kinds that can be mounted.
pub const FILE_SYSTEMS: [&str; 9] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "ocfs2", "gfs2", "vfat", "f2fs"];

/// What the volume's record says of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Nothing: the volume came with data, or is not one of ours.
    Unknown,
    /// It was made by us and never touched since.
    Fresh,
    /// A file system with this id was begun.
    Making(Uuid),
    /// It has its file system.
    Made,
}

impl Record {
    /// Reads the property's value.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("fresh") => Self::Fresh,
            Some("made") => Self::Made,
            Some(text) => text.strip_prefix("making:").and_then(|id| Uuid::parse_str(id).ok()).map_or(Self::Unknown, Self::Making),
            None => Self::Unknown,
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Fresh => f.write_str("fresh"),
            Self::Making(id) => write!(f, "making:{id}"),
            Self::Made => f.write_str("made"),
        }
    }
}

/// What was found on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Type of the file system or other content, e.g. `ext4`, `LVM2_member`; empty: none was recognised.
    pub kind: String,
    /// Its id, as it is written there.
    pub uuid: String,
    /// Signatures of anything, also of what is no file system.
    pub signatures: Vec<String>,
}

impl Found {
    /// Nothing at all was recognised.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.kind.is_empty() && self.signatures.is_empty()
    }

    fn is_file_system(&self) -> bool {
        FILE_SYSTEMS.contains(&self.kind.as_str())
    }
}

/// What is to be done before a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Write the record `making`, make a file system with this id, write `made`.
    Make {
        /// Its id.
        id: Uuid,
        /// Over an unfinished one of this very id.
        again: bool,
    },
    /// Write the record `made`: the file system is there.
    Note,
    /// Mount it.
    Mount,
    /// Nothing: it would be a risk.
    Refuse(String),
}

/// Decides. `fresh_id`: the id of a file system that is made now.
#[must_use]
pub fn next(record: &Record, found: &Found, fresh_id: Uuid) -> Next {
    let what = || if found.kind.is_empty() { found.signatures.join(", ") } else { found.kind.clone() };
    match record {
        Record::Fresh if found.is_blank() => Next::Make { id: fresh_id, again: false },
        // Somebody put a file system there since: it is theirs.
        Record::Fresh if found.is_file_system() => Next::Note,
        Record::Fresh => Next::Refuse(format!("its device holds {}, which this plugin did not put there", what())),
        Record::Making(id) if found.is_blank() => Next::Make { id: *id, again: false },
        Record::Making(id) if Uuid::parse_str(&found.uuid).is_ok_and(|there| there == *id) => Next::Make { id: *id, again: true },
        Record::Making(_) => Next::Refuse(format!("a file system was being made, and its device holds {} of somebody else", what())),
        Record::Made | Record::Unknown if found.is_file_system() => Next::Mount,
        Record::Made if found.is_blank() => Next::Refuse(
            "its file system is gone: nothing is found on its device (was it set back to a snapshot from before its first mount?)".into(),
        ),
        Record::Unknown if found.is_blank() => {
            Next::Refuse("nothing is found on its device, and whether it holds data is not known; make a file system by hand".into())
        }
        Record::Made | Record::Unknown => Next::Refuse(format!("its device holds {}, which cannot be mounted", what())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);
    const OTHER: Uuid = Uuid::from_u128(8);

    fn found(kind: &str, id: Uuid) -> Found {
        let signatures = if kind.is_empty() { Vec::new() } else { vec![kind.to_owned()] };
        Found { kind: kind.into(), uuid: id.to_string(), signatures }
    }

    #[test]
    fn only_what_is_known_to_be_fresh_is_formatted() {
        let blank = Found::default();
        assert_eq!(next(&Record::Fresh, &blank, ID), Next::Make { id: ID, again: false });
        assert_eq!(next(&Record::Making(OTHER), &blank, ID), Next::Make { id: OTHER, again: false });
        assert_eq!(next(&Record::Making(OTHER), &found("ext4", OTHER), ID), Next::Make { id: OTHER, again: true });
        assert_eq!(next(&Record::Made, &found("xfs", OTHER), ID), Next::Mount);
        assert_eq!(next(&Record::Unknown, &found("ext4", OTHER), ID), Next::Mount);
        assert_eq!(next(&Record::Fresh, &found("ext4", OTHER), ID), Next::Note);
        for (record, on) in [
            (Record::Made, blank.clone()),
            (Record::Unknown, blank),
            (Record::Making(ID), found("ext4", OTHER)),
            (Record::Fresh, found("LVM2_member", OTHER)),
            (Record::Fresh, Found { signatures: vec!["gpt".into()], ..Found::default() }),
            (Record::Unknown, found("crypto_LUKS", OTHER)),
        ] {
            assert!(matches!(next(&record, &on, ID), Next::Refuse(_)), "{record:?} {on:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_found_is_ever_written_over(kind in "[a-z0-9_]{1,8}", id in any::<u128>(), record in 0..4) {
            let id = Uuid::from_u128(id);
            let record = [Record::Unknown, Record::Fresh, Record::Making(ID), Record::Made][usize::try_from(record).unwrap()].clone();
            let made = matches!(next(&record, &found(&kind, id), ID), Next::Make { .. });
            prop_assert_eq!(made, record == Record::Making(ID) && id == ID);
        }

        #[test]
        fn a_record_is_read_as_it_was_written(id in any::<u128>()) {
            for record in [Record::Fresh, Record::Made, Record::Making(Uuid::from_u128(id))] {
                prop_assert_eq!(Record::parse(Some(&record.to_string())), record);
            }
        }
    }
}
