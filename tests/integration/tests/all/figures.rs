//! The figures of the README are those of the last run that was saved.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use berth_integration::{Chapter, FIGURES, Figure, Report, into_readme, note};

/// The README and the saved run; `None`: the README does not show one yet.
fn saved() -> Result<Option<(String, Report)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the workspace")?;
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    ensure!(into_readme(&readme, &Report::default()).is_some(), "README.md has lost the marks between which the table stands");
    if !readme.contains("docs/figures/") {
        note("the README shows no saved run; cargo xtask bench --all --publish makes one");
        return Ok(None);
    }
    Ok(Some((readme, Report::read(&root.join("docs/figures/figures.json"))?)))
}

#[test]
fn the_readme_shows_the_saved_run() -> Result<()> {
    let Some((readme, report)) = saved()? else { return Ok(()) };
    let written = into_readme(&readme, &report).context("the marks of the table")?;
    ensure!(
        written == readme,
        "README.md differs from docs/figures/figures.json: cargo xtask bench --only binary --publish writes it anew"
    );
    Ok(())
}

#[test]
fn the_saved_run_has_every_promised_figure_with_todays_goals() -> Result<()> {
    let Some((_, report)) = saved()? else { return Ok(()) };
    let promised = FIGURES.iter().filter(|figure| figure.chapter == Chapter::Promised);
    let missing: Vec<&str> = promised.map(|figure| figure.id).filter(|id| report.figure(id).is_none()).collect();
    ensure!(missing.is_empty(), "not measured: {missing:?}");
    for measured in &report.figures {
        let figure = Figure::find(&measured.id).with_context(|| format!("{} is no figure", measured.id))?;
        ensure!((measured.must, measured.aim) == (figure.must, figure.aim), "{} has other goals now", measured.id);
        ensure!(measured.n > 0, "{} has no sample", measured.id);
    }
    Ok(())
}
