//! `berth db`: looks after the controller's database while the controller does not run.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use berth_engine::import::ImportError;
use berth_store::tools::{self, Orders};
use berth_store::{DATABASE_FILE, Export, Record, StoreError};

use crate::migrate;
use crate::words::{DbPlace, DbVerb, DbWords};

/// Why a verb did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The database, or the document.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file for the document cannot be made.
    #[error("cannot make {}: {cause}", file.display())]
    Output { file: PathBuf, cause: io::Error },
    /// The document cannot be opened.
    #[error("cannot read {}: {cause}", file.display())]
    Input { file: PathBuf, cause: io::Error },
    /// The document of another system.
    #[error("{}: {cause}", file.display())]
    Foreign { file: PathBuf, cause: ImportError },
    /// A check found something broken.
    #[error("the database is not in order")]
    Broken { data: PathBuf },
}

impl DbError {
    /// What a person does about it: as [`StoreError::correction`].
    fn correction(&self) -> String {
        match self {
            DbError::Store(error) => error.correction(),
            DbError::Output { file, cause } => match cause.kind() {
                ErrorKind::AlreadyExists => "Name a file that does not exist yet with --output, or remove that one.".into(),
                _ => format!("Name a file in a folder that you may write to with --output, e.g. /tmp/{}.", name(file)),
            },
            DbError::Foreign { cause, .. } => cause.correction().into(),
            DbError::Input { .. } => "Name a document that `berth db export --output FILE` has written, or - for standard input.".into(),
            DbError::Broken { data } => {
                let data = data.display();
                format!(
                    "Stop the controller, and look at what `berth db repair --dry-run --data '{data}'` would do; without --dry-run it does it."
                )
            }
        }
    }
}

impl DbError {
    /// The whole text, with what to do.
    pub(crate) fn into_text(self) -> anyhow::Error {
        anyhow::Error::msg(format!("{self}. {}", self.correction()))
    }
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_else(|| "export.json".as_ref()).to_string_lossy().into_owned()
}

/// Runs the verb.
///
/// # Errors
/// If the database cannot be used, or `check` found something broken: what, why, and what to do.
pub fn run(words: &DbWords) -> anyhow::Result<()> {
    crate::daemon::runtime(1)?.block_on(verb(words)).map_err(DbError::into_text)
}

async fn verb(words: &DbWords) -> Result<(), DbError> {
    match &words.verb {
        DbVerb::Check(place) => check(place).await,
        DbVerb::Repair { place, drop, accept_empty, dry_run } => repair(place, drop, *accept_empty, *dry_run).await,
        DbVerb::Export { place, output: None } => match export(place, &mut io::stdout()).await {
            // Whoever reads wants no more.
            Err(DbError::Store(StoreError::Output { cause })) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        },
        DbVerb::Export { place, output: Some(path) } => {
            let failed = |cause| DbError::Output { file: path.clone(), cause };
            // It has every secret that the database has.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            let written = export(place, &mut file).await.and_then(|()| file.sync_all().map_err(failed));
            if written.is_err() {
                // Half a document is worse than none, and the next try shall not find it in its way.
                let _ = std::fs::remove_file(path);
            }
            written
        }
        DbVerb::Import { place, dry_run, from_linstor, file } => {
            let input: Box<dyn io::Read> = if file.as_os_str() == "-" {
                Box::new(io::stdin())
            } else {
                Box::new(File::open(file).map_err(|cause| DbError::Input { file: file.clone(), cause })?)
            };
            let document = if *from_linstor { migrate::from_linstor(input, file, now_ms())? } else { Export::parse(input)? };
            if *dry_run {
                return plan_import(place, document);
            }
            tools::install(&database(place), document, false, now_ms()).await?;
            println!("Imported to {}.", database(place).display());
            Ok(())
        }
    }
}

async fn export(place: &DbPlace, out: &mut (dyn Write + Send)) -> Result<(), DbError> {
    // What is written in small pieces goes out in large ones.
    let mut out = io::BufWriter::new(out);
    tools::export(&database(place), true, &mut out).await?;
    out.flush().map_err(|cause| DbError::Store(StoreError::Output { cause }))
}

fn database(place: &DbPlace) -> PathBuf {
    place.data.join(DATABASE_FILE)
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

/// Whether the controller could read a record.
fn decode(record: &Record) -> Result<(), String> {
    berth_model::codec::decode(&record.kind, &record.key, record.version, &record.body).map(|_| ()).map_err(|error| error.to_string())
}

async fn check(place: &DbPlace) -> Result<(), DbError> {
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
    Err(DbError::Broken { data: place.data.clone() })
}

/// Says what an import would make.
fn plan_import(place: &DbPlace, document: Export) -> Result<(), DbError> {
    let plan = tools::plan_install(&place.data, document, &decode, now_ms())?;
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

async fn repair(place: &DbPlace, drop: &[String], accept_empty: bool, dry_run: bool) -> Result<(), DbError> {
    // The words come two by two: the command line sees to it.
    let drop: Vec<(String, String)> = drop.as_chunks::<2>().0.iter().map(|[kind, key]| (kind.clone(), key.clone())).collect();
    let orders = Orders { drop: &drop, accept_empty, dry_run };
    let report = tools::repair(&database(place), &decode, orders, now_ms()).await?;
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
