//! From the store to the cluster: take the lead, read every record, set aside what cannot be read, write the first objects.

use std::sync::Arc;

use berth_engine::settings::LOCAL_ID;
use berth_model::change::{Change, Object, RecordKind};
use berth_model::cluster::{Cluster, Quarantined};
use berth_model::codec::{self, BadRecord, Residue};
use berth_model::ids::{Id, kind};
use berth_store::{Cluster as Identity, Loaded, NO_DECISION, Record, Store, StoreError};
use serde_json::json;
use uuid::Uuid;

use crate::happenings::{Counters, RecordQuarantined, count};
use crate::outside::World;
use crate::reports::{NewReport, Reports};
use crate::writer::{By, Group, ids};

/// So many records are decoded faster here than handed to threads.
const FEW: usize = 500;

/// What the controller starts with.
#[derive(Debug)]
pub(crate) struct Start {
    /// The cluster.
    pub cluster: Cluster,
    /// How many records it came from.
    pub records: usize,
    /// What somebody must look at.
    pub warnings: Vec<String>,
}

/// Loads the cluster and takes the lead.
///
/// # Errors
/// Those of the store: it cannot be read or written, or another controller took the lead just now.
pub(crate) async fn load(store: &dyn Store, reports: &Reports, counters: &Counters, world: &dyn World) -> Result<Start, StoreError> {
    let loaded = store.load().await?;
    let epoch = store.take_epoch(loaded.epoch).await?;
    let Loaded { serial, cluster: identity, records, quarantined, damage, healed, epoch: _ } = loaded;
    for note in &healed {
        tracing::warn!(note, "database mended");
    }
    let identity = match identity {
        Some(identity) => identity,
        None => {
            let now = world.now();
            // A repair may have lost the identity. With another one, no satellite would obey and no volume would be ours.
            let id = kept_identity(&records).unwrap_or_else(|| ids(now, world).next::<kind::Cluster>().uuid());
            store.found(Identity { id: id.to_string(), created_ms: now.0 }).await?
        }
    };
    let id = Uuid::parse_str(&identity.id)
        .map_err(|error| StoreError::Invalid { why: format!("the cluster's id '{}' is no uuid: {error}", identity.id) })?;
    let count_read = records.len();
    let (objects, bad) = if count_read <= FEW {
        decode_part(records)
    } else {
        // Parsing is work for the processors; the runtime's threads have others waiting.
        let decoded = tokio::task::spawn_blocking(move || decode(records)).await;
        decoded.map_err(|error| StoreError::Invalid { why: format!("the records cannot be decoded: {error}") })?
    };

    let mut cluster = Cluster::empty(Id::<kind::Cluster>::from_uuid(id));
    cluster.serial = serial;
    cluster.epoch = epoch;
    for (object, residue) in objects {
        let change = Change::Put(object);
        cluster.fold([&change]);
        if let Some(residue) = residue {
            cluster.residues.insert(change.key(), Arc::new(residue));
        }
    }
    let mut aside: Vec<Quarantined> =
        quarantined.into_iter().map(|record| Quarantined { kind: record.kind, key: record.key, why: record.why }).collect();
    for record in &aside {
        tell(reports, &record.kind, &record.key, &record.why, "");
    }
    for (Record { kind, key, body, .. }, why) in bad {
        let why = why.to_string();
        store.quarantine(&kind, &key, &why, world.now().0).await?;
        tell(reports, &kind, &key, &why, &body);
        count(&counters.error_reports);
        aside.push(Quarantined { kind, key, why });
    }
    let mut warnings = damage;
    for Quarantined { kind, key, why } in &aside {
        RecordQuarantined { kind, key, why }.emit(counters);
        warnings.push(format!("The record {kind} {key} is quarantined: {why}. Stop the controller and run 'berth db repair'."));
    }
    cluster.set_aside(aside);
    if serial == 0 {
        cluster = first(store, &cluster, world).await?;
    }
    Ok(Start { cluster, records: count_read, warnings })
}

/// The cluster's id, which the controller's record has too: nobody can change it there.
fn kept_identity(records: &[Record]) -> Option<Uuid> {
    let Record { kind, key, version, body, .. } = records.iter().find(|record| record.kind == RecordKind::Controller.word())?;
    let (Object::Controller(controller), _) = codec::decode(kind, key, *version, body).ok()? else { return None };
    Uuid::parse_str(controller.props.get(LOCAL_ID)?).ok()
}

/// Makes the error report of a record that cannot be used, unless an earlier start made it.
fn tell(reports: &Reports, kind: &str, key: &str, why: &str, body: &str) {
    let message = format!("The record {kind} {key} cannot be used: {why}");
    if reports.list().iter().any(|report| report.message == message) {
        return;
    }
    reports.make(NewReport {
        exception: "Quarantine".to_owned(),
        message,
        method: "load".to_owned(),
        file: file!().to_owned(),
        line: line!(),
        text: format!("It is set aside and its name stays reserved; everything else is served.\nCorrection: Run 'berth db check' and 'berth db repair'.\n\n{body}"),
        ..NewReport::default()
    });
}

/// Writes what every cluster has from its first moment.
async fn first(store: &dyn Store, cluster: &Cluster, world: &dyn World) -> Result<Cluster, StoreError> {
    let now = world.now();
    let changes: Vec<Change> =
        berth_engine::settings::first_objects(cluster.id, &mut ids(now, world)).into_iter().map(Change::Put).collect();
    let by =
        By { now, actor: "berth", origin: "start", command: json!({ "command": "found" }).to_string(), decision: NO_DECISION.to_owned() };
    let mut group = Group::new(cluster);
    group.add(&by, changes).map_err(|unfit| StoreError::Invalid { why: unfit.to_string() })?;
    store.commit(group.transaction()).await?;
    Ok(group.cluster)
}

type Decoded = (Vec<(Object, Option<Residue>)>, Vec<(Record, BadRecord)>);

/// Decodes on every processor: this is most of the time of a start.
fn decode(records: Vec<Record>) -> Decoded {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = records.len().div_ceil(workers).max(1);
    let mut shares: Vec<Vec<Record>> = Vec::new();
    let mut records = records.into_iter();
    loop {
        let part: Vec<Record> = records.by_ref().take(share).collect();
        if part.is_empty() {
            break;
        }
        shares.push(part);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares.into_iter().map(|part| scope.spawn(move || decode_part(part))).collect();
        let mut all = Decoded::default();
        for thread in threads {
            // A panic while decoding is passed on: the start fails rather than losing records.
            match thread.join() {
                Ok((objects, bad)) => {
                    all.0.extend(objects);
                    all.1.extend(bad);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

fn decode_part(records: Vec<Record>) -> Decoded {
    let mut part = Decoded::default();
    part.0.reserve(records.len());
    for record in records {
        match codec::decode(&record.kind, &record.key, record.version, &record.body) {
            Ok(decoded) => part.0.push(decoded),
            Err(why) => part.1.push((record, why)),
        }
    }
    part
}
