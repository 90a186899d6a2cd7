//! What was measured, as a file.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Figure, Told};

/// Values of one figure, in its unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// These values; those that are no number are left out.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value that `percent` of 100 do not exceed (nearest rank); 0 if there is none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0.0)
    }

    /// The middle one; 0 if there is none.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl From<f64> for Samples {
    fn from(value: f64) -> Self {
        Self::new([value])
    }
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// Memory.
    pub memory_gib: u64,
    /// `uname -sr`.
    pub kernel: String,
    /// Type of the file system under the database.
    pub file_system: String,
}

/// One figure as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// [`Figure::id`].
    pub id: String,
    /// [`Figure::what`].
    pub what: String,
    /// [`Figure::unit`].
    pub unit: String,
    /// [`Figure::must`].
    pub must: Option<f64>,
    /// [`Figure::aim`].
    pub aim: Option<f64>,
    /// The middle sample.
    pub median: f64,
    /// The sample that 99 of 100 do not exceed.
    pub p99: f64,
    /// How many samples.
    pub n: usize,
    /// What else was seen on the way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Of the sources.
    pub commit: String,
    /// The day, as `2026-11-21`.
    pub date: String,
}

impl Measured {
    /// A figure with what was measured of it.
    #[must_use]
    pub fn new(figure: &Figure, samples: &Samples, note: &str, commit: &str, date: &str) -> Self {
        Self {
            id: figure.id.to_owned(),
            what: figure.what.to_owned(),
            unit: figure.unit.to_owned(),
            must: figure.must,
            aim: figure.aim,
            median: rounded(samples.median()),
            p99: rounded(samples.percentile(99)),
            n: samples.count(),
            note: note.to_owned(),
            commit: commit.to_owned(),
            date: date.to_owned(),
        }
    }

    /// The sample that counts for this figure.
    #[must_use]
    pub fn value(&self, figure: &Figure) -> f64 {
        match figure.told {
            Told::Median => self.median,
            Told::P99 => self.p99,
        }
    }
}

/// One point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// [`super::Curve::id`].
    pub curve: String,
    /// Simulated nodes.
    pub nodes: u32,
    /// Resources.
    pub resources: u32,
    /// The middle sample, in the curve's unit.
    pub median: f64,
    /// The sample that 99 of 100 do not exceed.
    pub p99: f64,
    /// How many samples.
    pub n: usize,
    /// Of the sources.
    pub commit: String,
    /// The day.
    pub date: String,
}

/// All that was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// The figures, in the order of the table.
    pub figures: Vec<Measured>,
    /// The points of the curves.
    #[serde(default)]
    pub curves: Vec<Point>,
}

impl Report {
    /// Reads one.
    ///
    /// # Errors
    /// If the file cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of cargo xtask bench", path.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A figure by its name.
    #[must_use]
    pub fn figure(&self, id: &str) -> Option<&Measured> {
        self.figures.iter().find(|one| one.id == id)
    }

    /// A point of a curve.
    #[must_use]
    pub fn point(&self, curve: &str, nodes: u32, resources: u32) -> Option<&Point> {
        self.curves.iter().find(|point| (point.curve.as_str(), point.nodes, point.resources) == (curve, nodes, resources))
    }

    /// Puts what is newer in the place of what it measures again; the rest stays.
    pub fn renew(&mut self, newer: &Self) {
        self.machine = newer.machine.clone();
        for one in &newer.figures {
            self.figures.retain(|old| old.id != one.id);
            self.figures.push(one.clone());
        }
        for one in &newer.curves {
            self.curves.retain(|old| (&old.curve, old.nodes, old.resources) != (&one.curve, one.nodes, one.resources));
            self.curves.push(one.clone());
        }
        let place = |id: &str| super::FIGURES.iter().position(|figure| figure.id == id);
        self.figures.retain(|one| place(&one.id).is_some());
        self.figures.sort_by_key(|one| place(&one.id));
        let place = |id: &str| super::CURVES.iter().position(|curve| curve.id == id);
        self.curves.retain(|one| place(&one.curve).is_some());
        self.curves.sort_by_key(|one| (place(&one.curve), one.nodes, one.resources));
    }
}

/// Four digits are more than any of these can be repeated to.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    #[allow(clippy::cast_possible_truncation)] // The exponent of an ordinary number.
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
