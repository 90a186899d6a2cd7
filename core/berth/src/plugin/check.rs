//! `berth plugin check`: the conformance kit on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use berth_conformance::{Report, Settings};
use berth_satellite::plugins::{self, CheckPlan};
use serde_json::json;
use uuid::Uuid;

use super::words::{CheckWords, ReportFormat};
use crate::screen::harmless;

/// Longest time of a command.
const TOOL_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs it.
///
/// # Errors
/// If the file is no provider, or a check failed: then the report was printed.
pub fn run(words: &CheckWords) -> anyhow::Result<()> {
    let props = words.property.iter().map(|text| property(text)).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    if let Some(pool) = &words.pool {
        agree(pool, words.yes)?;
    }
    let scratch = tempfile::Builder::new().prefix("berth-check-").tempdir().context("no folder can be made to work in; set TMPDIR")?;
    let cluster = Uuid::new_v4();
    let digits: String = cluster.simple().to_string().chars().take(6).collect();
    let plan = CheckPlan {
        scratch: scratch.path().to_owned(),
        place: words.pool.clone(),
        kinds: words.kind.clone(),
        props,
        settings: Settings { cluster, prefix: format!("conf{digits}"), volumes: words.volumes, ..Settings::default() },
        fill: words.fill,
        tool_timeout: TOOL_TIMEOUT,
    };
    let (file, terminal) = (words.file.clone(), std::io::stderr().is_terminal());
    let mut tell = move |title: &str| {
        if terminal {
            eprintln!("{title}");
        }
    };
    let runtime = crate::daemon::runtime(1)?;
    let ran = runtime.block_on(async { tokio::task::spawn_blocking(move || plugins::check(&file, &plan, &mut tell)).await });
    let reports = ran.context("the provider's own code failed")?.map_err(|error| anyhow!("{error}. {}.", error.correction()))?;
    show(&reports, words.output)?;
    let failed = reports.iter().map(|report| report.failures().count()).sum::<usize>();
    match reports.iter().all(Report::passed) {
        true => Ok(()),
        false => bail!("{failed} of {} checks failed", reports.iter().map(|report| report.checks.len()).sum::<usize>()),
    }
}

fn property(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').with_context(|| format!("'{text}' is no property; write KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Asks before a pool of the user's is used.
fn agree(pool: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("volumes would be made and deleted in '{pool}'; add --yes if that is meant");
    }
    eprint!("Volumes will be made and deleted in '{pool}'. What others keep there stays, if the provider is right. Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("nothing was done") }
}

fn show(reports: &[Report], form: ReportFormat) -> anyhow::Result<()> {
    match form {
        ReportFormat::Text => {
            for report in reports {
                // What a provider says goes to a terminal.
                println!("{}", report.to_string().lines().map(harmless).collect::<Vec<_>>().join("\n"));
            }
        }
        ReportFormat::Json => {
            let all: Vec<_> = reports
                .iter()
                .map(|report| Ok(json!({"badge": report.badge(), "passed": report.passed(), "report": serde_json::to_value(report)?})))
                .collect::<anyhow::Result<_>>()?;
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
    }
    Ok(())
}
