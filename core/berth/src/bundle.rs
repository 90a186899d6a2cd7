//! `berth bundle`: everything that somebody needs who is to find a fault, in one file, without secrets.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use berth_cli::Trouble;
use berth_client::Call;

use crate::ask;
use crate::words::BundleWords;

/// Asks the controller and writes the file.
///
/// # Errors
/// If no controller answers, it refuses, or the file cannot be made.
pub fn run(words: &BundleWords) -> anyhow::Result<()> {
    let mut call = Call::get(&["berth", "bundle"]);
    if let Some(entries) = words.log {
        call = call.query("log", entries.to_string());
    }
    let answer = ask::send(&words.connection, &call)?;
    ask::refused(&answer)?;
    let document = ask::document(&answer, "the controller does not make bundles")?;
    if document["format"] != berth_store::BUNDLE_FORMAT {
        let what = "what was answered is no bundle of this version; 'berth --version' and 'linstor controller version' tell both";
        return Err(Trouble::Unexpected(what.to_owned()).into());
    }
    // Names and addresses are nobody's business but the operator's, who passes the file on.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&words.output);
    let mut file = file.with_context(|| format!("cannot make {}", words.output.display()))?;
    serde_json::to_writer(&mut file, &document).context("cannot write the bundle")?;
    file.write_all(b"\n").and_then(|()| file.sync_all()).context("cannot write the bundle")?;
    println!("Wrote {}: serial {}, log from {} on.", words.output.display(), document["serial"], document["log_begins"]);
    Ok(())
}
