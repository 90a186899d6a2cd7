//! `berth db import --from-linstor`: the database of a LINSTOR controller as one of ours, and what of it has no place here.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use berth_engine::import::{self, Imported, Left, Lying, Way};
use berth_model::change::Object;
use berth_model::codec;
use berth_model::ids::IdSource;
use berth_model::time::Timestamp;
use berth_store::{Cluster, Export, Loaded, LogEntry, NO_DECISION, Record};
use serde_json::json;

use crate::database::DbError;

/// The serial of everything that an import makes: it is the first change of the new database.
const FIRST: u64 = 1;

/// Reads an export, says what was taken and what was not, and answers the state that a controller can start with.
///
/// # Errors
/// [`DbError::Input`] if it cannot be read, [`DbError::Foreign`] if it is no export.
pub fn from_linstor(mut input: impl Read, file: &Path, now_ms: i64) -> Result<Export, DbError> {
    let mut text = String::new();
    input.read_to_string(&mut text).map_err(|cause| DbError::Input { file: file.to_owned(), cause })?;
    let now = Timestamp(now_ms);
    let ids = IdSource::new(now, uuid::Uuid::new_v4().into_bytes());
    let imported = import::from_linstor(&text, now, ids).map_err(|cause| DbError::Foreign { file: file.to_owned(), cause })?;
    tell(&imported);
    Ok(document(&imported, now_ms))
}

fn tell(imported: &Imported) {
    let release = if imported.release.is_empty() { String::new() } else { format!(" {}", imported.release) };
    println!("Read an export of LINSTOR{release}:");
    for (kind, count) in &imported.counts {
        println!("  {kind}: {count}");
    }
    // Of many of a kind, as of one: the reason says what to do.
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Left { what, why } in &imported.left {
        by_reason.entry(why).or_default().push(what);
    }
    for (why, what) in by_reason {
        println!("NOT TAKEN: {why}");
        what.iter().for_each(|what| println!("  {what}"));
    }
    print!("{}", tell_data(&import::lying(&imported.objects)));
}

/// Says in plain words that the data is not served yet, and what to do about that.
fn tell_data(lying: &[Lying]) -> String {
    if lying.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "DATA: an import takes records only. Volumes and snapshots lie on the nodes as LINSTOR left them; nothing of them was moved, \
         changed or marked, and Berth serves none of them until it is told to:\n",
    );
    for one in lying {
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let counted = format!(
            "{} and {}",
            count(one.volumes, "volume"),
            count(one.snapshots, "copy of a snapshot").replace("copy of a snapshots", "copies of snapshots")
        );
        let kind = one.provider.word();
        text.push_str(&match &one.way {
            Way::Adopt => format!(
                "  {kind}: {counted} can be taken in where they lie. On each node stop LINSTOR's satellite and end its devices, start \
                 Berth's, then say 'berth drift adopt NODE --all' (first with --dry-run).\n"
            ),
            Way::NoProvider => format!(
                "  {kind}: {counted} cannot be served: this version has no provider for such pools. Keep LINSTOR for them, or copy their \
                 data from LINSTOR's devices into new resources in a FILE or FILE_THIN pool.\n"
            ),
            Way::NoLayers(layers) => {
                let layers = layers.iter().map(|layer| layer.word()).collect::<Vec<_>>().join(", ");
                format!(
                    "  {kind} below {layers}: {counted} cannot be served: this version does not do {layers} on real nodes. Keep LINSTOR for \
                     them, or copy their data from LINSTOR's devices into new resources with the layer STORAGE only.\n"
                )
            }
        });
    }
    text + "  Until then these resources are shown as faulty, which is no loss: do not delete what lies on the nodes.\n"
}

fn document(imported: &Imported, now_ms: i64) -> Export {
    let record = |object: &Object| {
        let key = object.key();
        Record {
            kind: key.kind().word().to_owned(),
            key: key.text(),
            version: codec::version(key.kind()),
            serial: FIRST,
            body: codec::encode(object, None),
        }
    };
    let mut records: Vec<Record> = imported.objects.iter().map(record).collect();
    records.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    let entry = LogEntry {
        serial: FIRST,
        time_ms: now_ms,
        actor: "berth".to_owned(),
        origin: "import".to_owned(),
        command: json!({ "command": "import", "release": imported.release, "counts": imported.counts, "not_taken": imported.left.len() })
            .to_string(),
        changes: "[]".to_owned(),
        decision: NO_DECISION.to_owned(),
    };
    let cluster = Cluster { id: imported.cluster.to_string(), created_ms: now_ms };
    let state = Loaded { serial: FIRST, cluster: Some(cluster), records, ..Loaded::default() };
    Export { state, log: vec![entry] }
}

#[cfg(test)]
mod tests {
    use berth_model::layers::{LayerKind, ProviderKind};

    use super::*;

    #[test]
    fn what_is_not_served_is_told_by_kind_with_counts_and_the_way_out() {
        let one = |provider, way, volumes, snapshots| Lying { provider, way, volumes, snapshots };
        let told = tell_data(&[
            one(ProviderKind::FileThin, Way::Adopt, 10, 3),
            one(ProviderKind::LvmThin, Way::NoProvider, 1, 1),
            one(ProviderKind::File, Way::NoLayers(vec![LayerKind::Drbd]), 2, 0),
        ]);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].contains("serves none of them"), "{told}");
        assert!(
            lines[1].contains("FILE_THIN: 10 volumes and 3 copies of snapshots") && lines[1].contains("berth drift adopt NODE --all"),
            "{told}"
        );
        assert!(lines[2].contains("LVM_THIN: 1 volume and 1 copy of a snapshot cannot be served"), "{told}");
        assert!(lines[3].contains("FILE below DRBD: 2 volumes"), "{told}");
        assert_eq!(tell_data(&[]), "");
    }
}
