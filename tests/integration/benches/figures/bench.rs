//! What every part needs: which figures are wanted, how much to do for them, and where they go.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use berth_integration::{Figure, Measured, Point, Report, Samples};

use crate::machine;
use crate::options::Options;

/// Counts of `--quick` are divided by this.
const QUICK: usize = 20;

/// One run.
pub struct Bench {
    /// What was measured.
    pub report: Report,
    only: Option<BTreeSet<String>>,
    quick: bool,
    commit: String,
    date: String,
    from: Instant,
}

impl Bench {
    /// Nothing measured yet.
    ///
    /// # Errors
    /// If the machine cannot be described.
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            report: Report { machine: machine::describe()?, ..Report::default() },
            only: options.only.clone(),
            quick: options.quick,
            commit: machine::commit(),
            date: machine::date()?,
            from: Instant::now(),
        })
    }

    /// Whether any of these figures is wanted.
    pub fn wants(&self, ids: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| ids.iter().any(|id| only.contains(*id)))
    }

    /// A count, smaller in a quick run, never 0.
    pub fn count(&self, usual: usize) -> usize {
        if self.quick { usual.div_ceil(QUICK) } else { usual }
    }

    /// A time, smaller in a quick run.
    pub fn span(&self, usual: Duration) -> Duration {
        if self.quick { usual / 10 } else { usual }
    }

    /// Says what is being done.
    pub fn tell(&self, what: &str) {
        eprintln!("[{:>5.1} s] {what}", self.from.elapsed().as_secs_f64());
    }

    /// Adds a figure, if it is wanted.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn add(&mut self, id: &str, samples: impl Into<Samples>) -> Result<()> {
        self.add_with(id, samples, "")
    }

    /// Adds a figure with what else was seen on the way.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn add_with(&mut self, id: &str, samples: impl Into<Samples>, note: &str) -> Result<()> {
        let figure = Figure::find(id).with_context(|| format!("no figure {id:?}"))?;
        // The parts beyond the default run were asked for as a whole.
        let part = matches!(figure.chapter, berth_integration::Chapter::Load | berth_integration::Chapter::Scale);
        if !part && !self.wants(&[id]) {
            return Ok(());
        }
        let measured = Measured::new(figure, &samples.into(), note, &self.commit, &self.date);
        self.tell(&format!("{}: {} {} {note}", figure.what, measured.value(figure), figure.unit));
        self.report.figures.push(measured);
        Ok(())
    }

    /// Adds a point of a curve.
    ///
    /// # Errors
    /// If a count has no room.
    pub fn point(&mut self, curve: &str, nodes: usize, resources: usize, samples: &Samples) -> Result<()> {
        let point = Point {
            curve: curve.to_owned(),
            nodes: u32::try_from(nodes)?,
            resources: u32::try_from(resources)?,
            median: (samples.median() * 1000.0).round() / 1000.0,
            p99: (samples.percentile(99) * 1000.0).round() / 1000.0,
            n: samples.count(),
            commit: self.commit.clone(),
            date: self.date.clone(),
        };
        self.tell(&format!("{curve}, {nodes} nodes, {resources} resources: {}", point.median));
        self.report.curves.push(point);
        Ok(())
    }
}

/// How long it took, in milliseconds.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(ms(start.elapsed()))
}

/// So many runs of it, each in milliseconds.
pub fn times(runs: usize, mut work: impl FnMut(usize) -> Result<()>) -> Result<Samples> {
    (0..runs).map(|run| timed(|| work(run))).collect::<Result<Vec<_>>>().map(Samples::new)
}

/// In milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// In seconds since then.
pub fn seconds(from: Instant) -> f64 {
    from.elapsed().as_secs_f64()
}

/// So many in so much time.
#[allow(clippy::cast_precision_loss)] // Some thousands.
pub fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
