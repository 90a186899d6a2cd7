//! `linstor-database`: the name under which scripts export and import the database of a LINSTOR controller. A link of that name to this
//! program lets them go on: `export-db FILE` and `import-db FILE`, while the controller does not run.

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use berth_store::{DATABASE_FILE, Export, StoreError, tools};
use clap::{Args, Parser, Subcommand};

use crate::database::{DbError, now_ms};
use crate::migrate;

/// The name that scripts call.
pub const NAME: &str = "linstor-database";
/// Where the controller's settings are if nobody says so.
const SETTINGS: &str = "/etc/berth/controller.toml";
/// Where its database is if the settings do not say so.
const DATA: &str = "/var/lib/berth/controller";
/// The environment variable that says so.
const VARIABLE: &str = "BERTH_CONTROLLER_DATA";

/// Exports and imports the controller's database; the controller must not run.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = "Example:\n  linstor-database export-db ~/db_export\n\n'berth db' does the same, and more.")]
struct Words {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write everything to a file; one of that name is replaced.
    #[command(after_help = "Example:\n  linstor-database export-db ~/db_export")]
    ExportDb(Place),
    /// Make the database anew from a file, Berth's or LINSTOR's; the former database is kept beside it.
    #[command(after_help = "Example:\n  linstor-database import-db ~/db_export")]
    ImportDb(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// Folder with the controller's settings (controller.toml), which say where the database is; /etc/berth if not given.
    #[arg(short, long, value_name = "DIR")]
    config_directory: Option<PathBuf>,
    /// The document.
    file: PathBuf,
}

/// Runs it with these words, the program's name first.
///
/// # Errors
/// If the database or the file cannot be used: what, why, and what to do.
pub fn run(arguments: Vec<std::ffi::OsString>) -> anyhow::Result<()> {
    let words = match Words::try_parse_from(arguments) {
        Ok(words) => words,
        Err(error) => error.exit(),
    };
    let runtime = crate::daemon::runtime(1)?;
    match words.verb {
        Verb::ExportDb(place) => {
            let database = database(&place)?;
            runtime.block_on(export(&database, &place.file))?;
            println!("Exported {} to {}.", database.display(), place.file.display());
        }
        Verb::ImportDb(place) => {
            let database = database(&place)?;
            let document = read(&place.file).map_err(DbError::into_text)?;
            let kept =
                runtime.block_on(tools::install(&database, document, true, now_ms())).map_err(DbError::from).map_err(DbError::into_text)?;
            println!("Imported {} to {}.", place.file.display(), database.display());
            if let Some(kept) = kept {
                println!("The former database is kept as {}.", kept.display());
            }
        }
    }
    Ok(())
}

/// The database: as the folder's settings have it, else the environment, else the usual settings.
fn database(place: &Place) -> anyhow::Result<PathBuf> {
    let named = place.config_directory.as_ref().map(|folder| folder.join("controller.toml"));
    if let Some(file) = &named {
        if file.is_file() {
            return Ok(data_of(file)?.join(DATABASE_FILE));
        }
        eprintln!("Note: there is no {}; the usual settings hold.", file.display());
    }
    let data = match std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None if Path::new(SETTINGS).is_file() => data_of(Path::new(SETTINGS))?,
        None => PathBuf::from(DATA),
    };
    Ok(data.join(DATABASE_FILE))
}

fn data_of(file: &Path) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("{} is not valid TOML", file.display()))?;
    match table.get("data") {
        None => Ok(PathBuf::from(DATA)),
        Some(toml::Value::String(folder)) => Ok(PathBuf::from(folder)),
        Some(other) => bail!("'data' in {} is no folder: {other}", file.display()),
    }
}

/// Writes the document beside its place first, so that an older one is there until the new one is whole.
async fn export(database: &Path, file: &Path) -> anyhow::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(format!(".part-{}", std::process::id()));
    let part = PathBuf::from(part);
    // It has every secret that the database has.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
    let output = made.with_context(|| format!("cannot make {}; name a file in a folder that you may write to", part.display()))?;
    let mut writer = BufWriter::new(output);
    let written = tools::export(database, true, &mut writer).await.map_err(DbError::from).map_err(DbError::into_text);
    let kept = written.and_then(|()| {
        writer.flush().and_then(|()| writer.get_ref().sync_all()).with_context(|| format!("cannot write {}", part.display()))?;
        fs::rename(&part, file).with_context(|| format!("cannot replace {}", file.display()))
    });
    if kept.is_err() {
        drop(fs::remove_file(&part));
    }
    kept
}

/// Reads a document of ours, or else of LINSTOR.
fn read(file: &Path) -> Result<Export, DbError> {
    let input = |cause| DbError::Input { file: file.to_owned(), cause };
    let text = fs::read(file).map_err(input)?;
    match Export::parse(text.as_slice()) {
        Err(ours @ StoreError::Document { .. }) => match migrate::from_linstor(text.as_slice(), file, now_ms()) {
            Ok(document) => Ok(document),
            // Whoever has neither sees what is wrong with ours.
            Err(_) => Err(ours.into()),
        },
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        <Words as clap::CommandFactory>::command().debug_assert();
        let words = Words::try_parse_from([NAME, "import-db", "--config-directory", "/etc/linstor", "x"]).unwrap();
        let Verb::ImportDb(place) = words.verb else { panic!("{words:?}") };
        assert_eq!((place.config_directory, place.file), (Some("/etc/linstor".into()), "x".into()));
    }

    #[test]
    fn the_folder_s_settings_say_where_the_database_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = |text: &str| {
            fs::write(folder.path().join("controller.toml"), text).unwrap();
            database(&Place { config_directory: Some(folder.path().to_owned()), file: "x".into() })
        };
        assert_eq!(place("data = \"/srv/berth\"").unwrap(), Path::new("/srv/berth").join(DATABASE_FILE));
        assert_eq!(place("log = \"info\"").unwrap(), Path::new(DATA).join(DATABASE_FILE));
        assert!(place("data = 7").unwrap_err().to_string().contains("no folder"));
        assert!(place("data = ").is_err());
    }
}
