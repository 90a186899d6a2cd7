//! `berth db`: looks after the controller's database while the controller does not run.

use std::fs::File;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use berth_store::tools::{self, Orders};
use berth_store::{DATABASE_FILE, Record, StoreError};

use crate::words::{DbPlace, DbVerb, DbWords};

/// Runs the verb.
///
/// # Errors
/// If the database cannot be used, or `check` found something broken.
pub fn run(words: &DbWords) -> anyhow::Result<()> {
    crate::daemon::runtime(1)?.block_on(async {
        match &words.verb {
            DbVerb::Check(place) => check(place).await,
            DbVerb::Repair { place, drop, accept_empty, dry_run } => repair(place, drop, *accept_empty, *dry_run).await,
            DbVerb::Export { place, output } => {
                let mut out: Box<dyn Write + Send> = match output {
                    Some(path) => Box::new(File::create_new(path).with_context(|| format!("cannot make {}", path.display()))?),
                    None => Box::new(io::stdout()),
                };
                tools::export(&database(place), true, out.as_mut()).await?;
                out.flush().context("cannot write the document")
            }
            DbVerb::Import { place, dry_run, file } => {
                let input: Box<dyn io::Read> = if file.as_os_str() == "-" {
                    Box::new(io::stdin())
                } else {
                    Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)
                };
                if *dry_run {
                    return plan_import(place, input);
                }
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

/// Says what an import would make.
fn plan_import(place: &DbPlace, input: Box<dyn io::Read>) -> anyhow::Result<()> {
    let plan = tools::plan_import(&place.data, input, &decode, now_ms()).map_err(told)?;
    println!("Would make {}: serial {}, epoch {}", plan.file.display(), plan.serial, plan.epoch);
    for (kind, count) in &plan.counts {
        println!("  {kind}: {count}");
    }
    println!("  log entries: {}", plan.log_entries);
    for broken in &plan.broken {
        println!("BROKEN: {} '{}': {}", broken.kind, broken.key, broken.why);
    }
    for aside in &plan.quarantined {
        println!("ASIDE: {} '{}': {}", aside.kind, aside.key, aside.why);
    }
    println!("Nothing was made.");
    Ok(())
}

/// An error with what to do about it.
fn told(error: StoreError) -> anyhow::Error {
    anyhow::Error::msg(format!("{error}. {}", error.correction()))
}

async fn repair(place: &DbPlace, drop: &[String], accept_empty: bool, dry_run: bool) -> anyhow::Result<()> {
    // The words come two by two: the command line sees to it.
    let drop: Vec<(String, String)> = drop.as_chunks::<2>().0.iter().map(|[kind, key]| (kind.clone(), key.clone())).collect();
    let orders = Orders { drop: &drop, accept_empty, dry_run };
    let report = tools::repair(&database(place), &decode, orders, now_ms()).await.map_err(told)?;
    let [mended, dropped, aside] = if dry_run {
        ["Would be mended", "Would be removed", "Cannot be mended, would be set aside"]
    } else {
        ["Mended", "Removed", "Cannot be mended, set aside"]
    };
    for record in &report.mended {
        println!("{mended}: {} '{}': {}.", record.kind, record.key, record.why);
    }
    for record in &report.dropped {
        println!("{dropped}: {} '{}': {}.", record.kind, record.key, record.why);
    }
    for record in &report.quarantined {
        println!("{aside}: {} '{}': {}.", record.kind, record.key, record.why);
        println!("  To remove it for good: berth db repair --data {} --drop {} '{}'", place.data.display(), record.kind, record.key);
    }
    for note in &report.notes {
        println!("{note}");
    }
    match &report.kept {
        Some(kept) if dry_run => {
            println!("The file would be written anew; the damaged one would be kept beside it, under a name like {}.", kept.display());
        }
        Some(kept) => println!("The damaged file is kept as {}.", kept.display()),
        None => {}
    }
    if report == tools::RepairReport::default() {
        println!("{}", if dry_run { "Nothing would have to be repaired." } else { "Nothing had to be repaired." });
    } else if dry_run {
        println!("Nothing was changed.");
    }
    Ok(())
}
