//! What the placer was asked while a command was decided, and what it said: the table of a preview and of a failed placement,
//! and the reasons that the log keeps.
//!
//! Nothing is judged here. A handler that asks the placer keeps the question with its answer in [`crate::draft::Draft::asked`]; so what
//! a preview shows is what the command itself would do, whatever path leads to the placer.

mod preview;
mod reasons;
mod words;

use berth_model::cluster::Cluster;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::objects::SelectFilter;
use berth_model::size::Kib;

pub use preview::{Preview, Question, preview};
pub use reasons::{Group, groups, lines, notes, rule};
pub(crate) use words::tell_how_to_see_all;

use crate::placement::{self, PlaceError, Placement, Refusal, Request, Tried, VolumeWish};

/// What was to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// New replicas with data of their own.
    Disks,
    /// Replicas without a disk.
    Diskless,
    /// Replicas where the data to copy lies: of a clone or a restored snapshot.
    Copies,
}

impl Kind {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disks => "disks",
            Self::Diskless => "diskless",
            Self::Copies => "copies",
        }
    }
}

/// A place that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The node.
    pub node: NodeName,
    /// The pool; `None`: without a disk.
    pub pool: Option<StorPoolName>,
    /// Its provider.
    pub provider: Option<ProviderKind>,
    /// What the pool could still promise; `None`: not asked.
    pub free: Option<Kib>,
    /// What the strategies gave it; `None`: nothing was weighed.
    pub score: Option<f64>,
    /// Whether a diskless replica that is there gets a disk.
    pub convert: bool,
}

/// One question to the placer, with its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    /// For which definition; `None`: for none that exists.
    pub resource: Option<ResourceName>,
    /// What was to be placed.
    pub kind: Kind,
    /// How many; `None`: as many as fit.
    pub wanted: Option<usize>,
    /// The layers of each.
    pub layers: Vec<LayerKind>,
    /// The volumes of each.
    pub volumes: Vec<VolumeWish>,
    /// Where they were allowed to go.
    pub filter: SelectFilter,
    /// Where they go, by node; empty: nowhere.
    pub chosen: Vec<Place>,
    /// Why each other place was not taken.
    pub tried: Vec<Tried>,
    /// Why nothing was placed; `None`: it was.
    pub failed: Option<String>,
}

impl Asked {
    /// A question without its answer.
    #[must_use]
    pub fn of(request: &Request<'_>, kind: Kind) -> Self {
        Self {
            resource: request.definition.map(|definition| definition.name.clone()),
            kind,
            wanted: (request.count != placement::ALL).then_some(request.count),
            layers: request.layers.to_vec(),
            volumes: request.volumes.clone(),
            filter: request.filter.clone(),
            chosen: Vec::new(),
            tried: Vec::new(),
            failed: None,
        }
    }

    /// The question with the placer's choice.
    #[must_use]
    pub fn placed(mut self, placement: Placement) -> Self {
        let place = |chosen: &placement::Chosen| Place {
            node: chosen.node.clone(),
            pool: Some(chosen.pool.name.clone()),
            provider: Some(chosen.pool.provider),
            free: Some(chosen.free),
            score: Some(chosen.score.value()),
            convert: chosen.convert,
        };
        self.chosen = placement.chosen.iter().map(place).collect();
        self.tried = placement.tried;
        self
    }

    /// The question with why there is no choice.
    #[must_use]
    pub fn failed(mut self, error: PlaceError) -> Self {
        self.failed = Some(error.to_string());
        match error {
            PlaceError::TooFew { tried, .. } | PlaceError::TooHard { tried, .. } => self.tried = tried,
            PlaceError::Undecidable { .. } | PlaceError::BadRegex { .. } | PlaceError::Contradiction(_) => {}
        }
        self
    }

    /// Each place with what became of it: those that were taken, those that would do, then those that a rule excludes;
    /// within each part in the order of the placer.
    #[must_use]
    pub fn rows(&self, cluster: &Cluster) -> Vec<Row> {
        let chosen = self.chosen.iter().map(|place| Row {
            node: place.node.clone(),
            pool: place.pool.clone(),
            provider: place.provider,
            verdict: Verdict::Chosen,
            score: place.score,
            free: place.free,
            rule: "chosen",
            why: if place.convert { "chosen: the diskless replica there gets a disk" } else { "chosen" }.to_owned(),
        });
        let tried = self.tried.iter().map(|one| {
            let pool = one.pool.as_ref().and_then(|name| cluster.pool(&one.node, name));
            Row {
                node: one.node.clone(),
                pool: one.pool.clone(),
                provider: pool.map(|pool| pool.provider),
                verdict: if fits(&one.why) { Verdict::Fits } else { Verdict::Excluded },
                score: one.score.map(placement::Score::value),
                free: one.free,
                rule: rule(&one.why),
                why: one.why.to_string(),
            }
        });
        let mut rows: Vec<Row> = chosen.chain(tried).collect();
        // Stable: what is alike stays in the order of the placer.
        rows.sort_by(|a, b| {
            let better = b.score.unwrap_or_default().total_cmp(&a.score.unwrap_or_default()).then_with(|| b.free.cmp(&a.free));
            a.verdict.cmp(&b.verdict).then_with(|| if a.verdict == Verdict::Excluded { std::cmp::Ordering::Equal } else { better })
        });
        rows
    }
}

/// What became of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is taken.
    Chosen,
    /// It would do by itself.
    Fits,
    /// A rule excludes it.
    Excluded,
}

impl Verdict {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Fits => "fits",
            Self::Excluded => "excluded",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The node.
    pub node: NodeName,
    /// The pool; `None`: the whole node.
    pub pool: Option<StorPoolName>,
    /// The pool's provider.
    pub provider: Option<ProviderKind>,
    /// What became of it.
    pub verdict: Verdict,
    /// What the strategies gave it; `None`: it was not weighed.
    pub score: Option<f64>,
    /// What the pool may still promise; `None`: unknown, or no pool.
    pub free: Option<Kib>,
    /// The word of the rule that excluded it, see [`rule`].
    pub rule: &'static str,
    /// The same for people.
    pub why: String,
}

fn fits(why: &Refusal) -> bool {
    matches!(why, Refusal::NotTogether | Refusal::OtherPool(_) | Refusal::Outranked)
}

#[cfg(test)]
mod tests;
