//! `berth db import --from-linstor`: the database of a LINSTOR controller as one of ours, and what of it has no place here.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use berth_engine::import::{self, Imported, Left};
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
