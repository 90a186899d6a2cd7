//! The last run in the repository: `docs/figures/figures.json`, the picture, and the table of the README.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use berth_integration::{Report, into_readme};

use crate::picture;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}

fn saved() -> Result<Report> {
    let path = root().join("docs/figures/figures.json");
    if path.exists() { Report::read(&path) } else { Ok(Report::default()) }
}

/// Whether what is there can be written anew.
///
/// # Errors
/// If the README has no place for the table, or the last run cannot be read.
pub fn readable() -> Result<()> {
    saved()?;
    let readme = std::fs::read_to_string(root().join("README.md")).context("cannot read README.md")?;
    into_readme(&readme, &Report::default()).context("README.md has lost the marks between which the table stands").map(drop)
}

/// Writes what was measured; what this run did not measure stays as it was.
///
/// # Errors
/// If a file cannot be read or written.
pub fn publish(newer: &Report) -> Result<()> {
    let folder = root().join("docs/figures");
    let mut report = saved()?;
    report.renew(newer);
    report.write(&folder.join("figures.json"))?;
    if !report.curves.is_empty() {
        picture::draw(&report, &folder.join("growth.svg"))?;
    }
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).context("cannot read README.md")?;
    let readme = into_readme(&readme, &report).context("README.md has lost the marks between which the table stands")?;
    std::fs::write(&path, readme).context("cannot write README.md")?;
    println!("written: README.md and {}", folder.display());
    Ok(())
}
