//! Runs in their order, in blocks: what comes after a change shares all blocks but its own, and a page skips whole blocks.

use std::sync::{Arc, OnceLock};

use berth_model::names::ResourceName;

use super::column::Column;
use super::index::Run;

/// Runs in a new block: about the root of the runs that a large cluster has. Few where clusters are those of tests.
const BLOCK: usize = if cfg!(test) { 4 } else { 64 };
/// A shorter block joins the next one.
const BLOCK_MIN: usize = BLOCK / 4;

/// Runs that follow each other; at least one.
#[derive(Debug)]
pub struct Block {
    runs: Vec<Arc<Run>>,
    /// Elements of each column, once somebody has counted them.
    elements: [OnceLock<usize>; Column::ALL.len()],
}

impl Block {
    /// Its runs.
    pub fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// Elements of a column, of which `count` says how many a run has.
    pub fn elements(&self, column: Column, count: impl Fn(&Run) -> usize) -> usize {
        *self.elements[column.place()].get_or_init(|| self.runs.iter().map(|run| count(run)).sum())
    }

    fn ends_before(&self, name: &ResourceName) -> bool {
        self.runs.last().is_some_and(|run| run.ends_before(name))
    }
}

/// All runs.
#[derive(Debug, Default)]
pub struct Runs {
    blocks: Vec<Arc<Block>>,
    /// The place of the first run of each block.
    begins: Vec<usize>,
    len: usize,
}

impl Runs {
    /// In blocks of the usual size.
    pub fn new(runs: Vec<Arc<Run>>) -> Self {
        let mut whole = Self::default();
        whole.add(runs);
        whole
    }

    fn add(&mut self, runs: Vec<Arc<Run>>) {
        for part in runs.chunks(BLOCK) {
            self.push(Arc::new(Block { runs: part.to_vec(), elements: std::array::from_fn(|_| OnceLock::new()) }));
        }
    }

    fn push(&mut self, block: Arc<Block>) {
        self.begins.push(self.len);
        self.len += block.runs.len();
        self.blocks.push(block);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The blocks in their order.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// The runs in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.blocks.iter().flat_map(|block| &block.runs)
    }

    /// The block in which a run is, and its place there.
    fn place(&self, at: usize) -> (usize, usize) {
        let block = self.begins.partition_point(|begin| *begin <= at).saturating_sub(1);
        (block, at - self.begins.get(block).copied().unwrap_or(at))
    }

    /// The run at a place; `None`: there are fewer.
    pub fn get(&self, at: usize) -> Option<&Arc<Run>> {
        let (block, within) = self.place(at);
        self.blocks.get(block)?.runs.get(within)
    }

    /// Where the run of a name is.
    pub fn of(&self, name: &ResourceName) -> usize {
        let block = self.blocks.partition_point(|block| block.ends_before(name));
        let Some(runs) = self.blocks.get(block).map(|block| &block.runs) else { return self.len };
        self.begins.get(block).copied().unwrap_or(self.len) + runs.partition_point(|run| run.ends_before(name))
    }
}

/// Runs that take the place of others, from the first to the last.
#[derive(Debug)]
pub struct Edit<'o> {
    old: &'o Runs,
    /// Old runs before this one are kept, or replaced.
    done: usize,
    new: Runs,
    /// New runs that are in no block yet.
    loose: Vec<Arc<Run>>,
}

impl<'o> Edit<'o> {
    /// Nothing is decided yet.
    pub fn of(old: &'o Runs) -> Self {
        Self { old, done: 0, new: Runs::default(), loose: Vec::new() }
    }

    /// The first old run that is neither kept nor replaced.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Keeps the old runs up to this one.
    pub fn keep(&mut self, until: usize) {
        while self.done < until {
            let (place, within) = self.old.place(self.done);
            let Some(block) = self.old.blocks.get(place) else { return };
            let here = block.runs.len() - within;
            if within == 0 && here <= until - self.done && (self.loose.is_empty() || self.loose.len() >= BLOCK_MIN) {
                self.new.add(std::mem::take(&mut self.loose));
                self.new.push(Arc::clone(block));
                self.done += here;
                continue;
            }
            let kept = here.min(until - self.done);
            self.loose.extend(block.runs.iter().skip(within).take(kept).map(Arc::clone));
            self.done += kept;
        }
    }

    /// Puts `runs` in the place of the next `count` old ones.
    pub fn replace(&mut self, count: usize, runs: Vec<Arc<Run>>) {
        self.done += count;
        self.loose.extend(runs);
    }

    /// All of them, the rest kept.
    pub fn finish(mut self) -> Runs {
        self.keep(self.old.len);
        self.new.add(self.loose);
        self.new
    }
}
