//! `berth db`: looks after the controller's database while the controller does not run.

use std::fs::File;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use berth_store::{DATABASE_FILE, Record, tools};

use crate::words::{DbPlace, DbVerb, DbWords};

/// Runs the verb.
///
/// # Errors
/// If the database cannot be used, or `check` found something broken.
pub fn run(words: &DbWords) -> anyhow::Result<()> {
    crate::daemon::runtime(1)?.block_on(async {
        match &words.verb {
            DbVerb::Check(place) => check(place).await,
            DbVerb::Repair { place, drop } => repair(place, drop).await,
            DbVerb::Export { place, output } => {
                let mut out: Box<dyn Write + Send> = match output {
                    Some(path) => Box::new(File::create_new(path).with_context(|| format!("cannot make {}", path.display()))?),
                    None => Box::new(io::stdout()),
                };
                tools::export(&database(place), true, out.as_mut()).await?;
                out.flush().context("cannot write the document")
            }
            DbVerb::Import { place, file } => {
                let input: Box<dyn io::Read> = if file.as_os_str() == "-" {
                    Box::new(io::stdin())
                } else {
                    Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)
                };
                std::fs::create_dir_all(&place.data).with_context(|| format!("cannot make the folder {}", place.data.display()))?;
                tools::import(&database(place), input, false, now_ms()).await?;
                println!("Imported to {}.", database(place).display());
                Ok(())
            }
        }
    })
}

fn database(place: &DbPlace) -> std::path::PathBuf {
    place.data.join(DATABASE_FILE)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

/// Whether the controller could read a record.
fn decode(record: &Record) -> Result<(), String> {
    berth_model::codec::decode(&record.kind, &record.key, record.version, &record.body).map(|_| ()).map_err(|error| error.to_string())
}

async fn check(place: &DbPlace) -> anyhow::Result<()> {
    let report = tools::check(&database(place), &decode).await?;
    println!("{}: schema {}, serial {}, epoch {}", report.file.display(), report.schema_version, report.serial, report.epoch);
    for (kind, count) in &report.counts {
        println!("  {kind}: {count}");
    }
    for problem in &report.integrity {
        println!("DAMAGED: {problem}");
    }
    for broken in &report.broken {
        println!("BROKEN: {} '{}': {}", broken.kind, broken.key, broken.why);
    }
    for aside in &report.quarantined {
        println!("ASIDE: {} '{}': {}", aside.kind, aside.key, aside.why);
    }
    if report.is_sound() {
        println!("Nothing is broken.");
        return Ok(());
    }
    bail!("the database is not in order; stop the controller and run 'berth db repair --data {}'", place.data.display())
}

async fn repair(place: &DbPlace, drop: &[String]) -> anyhow::Result<()> {
    // The words come two by two: the command line sees to it.
    let drop: Vec<(String, String)> = drop.as_chunks::<2>().0.iter().map(|[kind, key]| (kind.clone(), key.clone())).collect();
    let report = tools::repair(&database(place), &decode, &drop, now_ms()).await?;
    for mended in &report.mended {
        println!("Mended: {} '{}': {}.", mended.kind, mended.key, mended.why);
    }
    for dropped in &report.dropped {
        println!("Removed: {} '{}': {}.", dropped.kind, dropped.key, dropped.why);
    }
    for aside in &report.quarantined {
        println!("Cannot be mended, set aside: {} '{}': {}.", aside.kind, aside.key, aside.why);
        println!("  To remove it for good: berth db repair --data {} --drop {} '{}'", place.data.display(), aside.kind, aside.key);
    }
    for note in &report.notes {
        println!("{note}");
    }
    if let Some(kept) = &report.kept {
        println!("The damaged file is kept as {}.", kept.display());
    }
    if report == tools::RepairReport::default() {
        println!("Nothing had to be repaired.");
    }
    Ok(())
}
