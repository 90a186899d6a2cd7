//! The writes of a repair.

use super::past;
use super::write::{Version, Writer, signed};
use crate::error::StoreError;
use crate::tools::Broken;
use crate::types::{LogEntry, Quarantined, Record};
use sqlx::sqlite::SqliteConnection;

/// What a repair does with the records that are not served. Each has the number of its row in the table of records, if it has one there.
#[derive(Debug, Default)]
pub(crate) struct Mends {
    /// Put back so.
    pub put: Vec<(i64, Record)>,
    /// Deleted again: kind and key.
    pub gone: Vec<(i64, String, String)>,
    /// Removed on demand: kind and key.
    pub dropped: Vec<(i64, String, String)>,
    /// Set aside.
    pub aside: Vec<(i64, Quarantined)>,
    /// Set aside although they are what was committed: nobody understands them.
    pub unclear: Vec<Broken>,
}

impl Writer {
    pub(super) async fn mend(
        &mut self,
        mends: &Mends,
        unaccounted: &[Record],
        entry: Option<&LogEntry>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let Mends { put, gone, dropped, aside, unclear } = mends;
        for (row, Record { kind, key, .. }) in put {
            self.remove(*row, kind, key).await?;
        }
        let records: Vec<Version<'_>> = put.iter().map(|(_, record)| Version::of(record)).collect();
        self.put(&records).await?;
        self.account(&records).await?;
        for (row, kind, key) in gone {
            self.remove(*row, kind, key).await?;
        }
        for (row, lost) in aside {
            self.quarantine_row(*row, lost, now_ms).await?;
        }
        for Broken { kind, key, why } in unclear {
            self.quarantine(kind, key, why, now_ms).await?;
        }
        if let Some(entry) = entry {
            for (row, kind, key) in dropped {
                self.remove(*row, kind, key).await?;
            }
            let deleted = |(_, kind, key): &'_ (i64, String, String)| (kind.clone(), key.clone());
            let names: Vec<(String, String)> = dropped.iter().map(deleted).collect();
            let versions = names.iter().map(|(kind, key)| Version { kind, key, version: 0, serial: entry.serial, body: None });
            self.remember(&versions.collect::<Vec<_>>()).await?;
            self.log(&[entry]).await?;
            self.run(sqlx::query("UPDATE meta SET serial = ? WHERE id = 1").bind(signed(entry.serial)?)).await?;
        }
        self.account_for(unaccounted).await
    }

    /// Takes a record out of everything but the history.
    async fn remove(&mut self, row: i64, kind: &str, key: &str) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM record WHERE id = ?").bind(row)).await?;
        for sql in [
            "DELETE FROM record WHERE kind = ? AND key = ?",
            "DELETE FROM quarantine WHERE kind = ? AND key = ?",
            "DELETE FROM ledger WHERE kind = ? AND key = ?",
        ] {
            self.run(sqlx::query(sql).bind(kind).bind(key)).await?;
        }
        Ok(())
    }

    /// Answers what was left behind, one sentence each.
    pub(super) async fn copy_versions(&mut self, from: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
        let (mut ends, mut wrong) = (past::versions(), past::Wrong::default());
        loop {
            let rows = ends.next(from).await;
            if rows.is_empty() {
                return Ok(wrong.words(ends.damage));
            }
            let mut whole = Vec::with_capacity(rows.len());
            for row in &rows {
                match past::version(row) {
                    Ok(version) => whole.push(version),
                    Err(why) => wrong.add(why),
                }
            }
            let versions = whole.iter().map(|past::Whole { kind, key, past }| Version {
                kind,
                key,
                version: past.version,
                serial: past.serial,
                body: past.body.as_deref(),
            });
            self.remember(&versions.collect::<Vec<_>>()).await?;
        }
    }
}
