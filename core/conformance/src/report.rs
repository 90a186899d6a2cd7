//! What came out.

use std::fmt;

use berth_plugin_sdk::Manifest;
use serde::Serialize;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What the contract promises.
    pub expected: String,
    /// What happened instead.
    pub seen: String,
    /// What the author can do about it.
    pub advice: String,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// The promise holds.
    Passed,
    /// It does not.
    Failed(Finding),
    /// It was not looked at (why).
    Skipped(String),
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its word, which stays the same from version to version of the kit.
    pub id: String,
    /// What it looks at.
    pub title: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came out of a run; as text by its `Display`, as JSON by serde.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Version of the kit.
    pub kit: String,
    /// The provider's name.
    pub provider: String,
    /// Its version.
    pub version: String,
    /// The contract that it was written for.
    pub contract: String,
    /// Kind of the pool.
    pub kind: String,
    /// The checks, in the order in which they ran.
    pub checks: Vec<Check>,
}

impl Report {
    pub(crate) fn new(manifest: &Manifest, kind: &str) -> Self {
        Self {
            kit: crate::KIT.into(),
            provider: manifest.name.clone(),
            version: manifest.version.clone(),
            contract: manifest.contract.clone(),
            kind: kind.into(),
            checks: Vec::new(),
        }
    }

    /// Whether nothing failed and something passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none() && self.checks.iter().any(|check| check.outcome == Outcome::Passed)
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Check, &Finding)> {
        self.checks.iter().filter_map(|check| match &check.outcome {
            Outcome::Failed(finding) => Some((check, finding)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }

    /// One line for a README: `berth-conformance 0.1 file 0.1.0 FILE_THIN: 41/41 passed`; what was skipped does not count, and is told.
    #[must_use]
    pub fn badge(&self) -> String {
        let skipped = self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Skipped(_))).count();
        let passed = self.checks.iter().filter(|check| check.outcome == Outcome::Passed).count();
        let ran = self.checks.len().saturating_sub(skipped);
        let more = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        format!("berth-conformance {} {} {} {}: {passed}/{ran} passed{more}", self.kit, self.provider, self.version, self.kind)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
        let mut before = "";
        for check in &self.checks {
            let word = match &check.outcome {
                Outcome::Passed => "ok  ",
                Outcome::Failed(_) => "FAIL",
                Outcome::Skipped(_) => "skip",
            };
            writeln!(f, "{word}  {:width$}  {}", check.id, check.title)?;
            match &check.outcome {
                Outcome::Passed => {}
                Outcome::Failed(finding) => {
                    writeln!(f, "        expected: {}", finding.expected)?;
                    writeln!(f, "        seen:     {}", finding.seen)?;
                    writeln!(f, "        do:       {}", finding.advice)?;
                }
                // Said once for all that follow each other.
                Outcome::Skipped(why) if why == before => {}
                Outcome::Skipped(why) => {
                    before = why;
                    writeln!(f, "        {why}")?;
                }
            }
        }
        writeln!(f, "{}", self.badge())
    }
}
