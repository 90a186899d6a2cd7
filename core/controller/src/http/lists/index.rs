//! The definitions of a state in runs, and the texts of each run, rendered once.

use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use berth_model::cluster::Cluster;
use berth_model::names::{NodeName, ResourceName};
use imbl::OrdMap;

use super::blocks::{Edit, Runs};
use super::changes;
use super::column::{Column, Unwritten};
use super::gzip::{Zipped, Zipper};
use crate::View;

/// Definitions and replicas in a new run. About 32 KiB of documents: one change costs so much to render, and so much is sent at once.
const RUN: usize = 32;
/// A run that has become longer is cut.
const RUN_MAX: usize = 2 * RUN;
/// A run that has become shorter joins the next one.
const RUN_MIN: usize = RUN / 4;

/// A range of names.
#[derive(Debug, Clone)]
pub struct Span {
    /// The first name; `None`: from the beginning.
    from: Option<ResourceName>,
    /// The first name after it; `None`: up to the end.
    until: Option<ResourceName>,
}

impl Span {
    /// All names.
    pub const ALL: Self = Self { from: None, until: None };

    /// The part of a map that lies in it.
    pub fn of<'m, V: Clone>(&self, map: &'m OrdMap<ResourceName, V>) -> impl Iterator<Item = (&'m ResourceName, &'m V)> {
        let from = self.from.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let until = self.until.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        map.range::<_, ResourceName>((from, until))
    }

    /// Definitions and replicas in it.
    fn weight(&self, cluster: &Cluster) -> usize {
        self.of(&cluster.definitions).count() + self.of(&cluster.resources).map(|(_, replicas)| replicas.len()).sum::<usize>()
    }
}

/// Room for rendered texts that are kept.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    most: usize,
}

impl Room {
    /// At most `most` bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most })
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// What is kept of one column of a run.
#[derive(Debug, Default)]
struct Cell {
    elements: OnceLock<usize>,
    plain: OnceLock<Bytes>,
    zipped: OnceLock<Arc<Zipped>>,
}

/// Some definitions that follow each other. It never changes: where its texts would, another run takes its place.
#[derive(Debug)]
pub struct Run {
    span: Span,
    cells: [Cell; Column::ALL.len()],
    unknown: OnceLock<Vec<(NodeName, u64)>>,
    room: Arc<Room>,
    held: AtomicUsize,
}

impl Run {
    fn new(span: Span, room: &Arc<Room>) -> Arc<Self> {
        let cells = std::array::from_fn(|_| Cell::default());
        Arc::new(Self { span, cells, unknown: OnceLock::new(), room: Arc::clone(room), held: AtomicUsize::new(0) })
    }

    /// Whether a name comes after all of its names.
    pub fn ends_before(&self, name: &ResourceName) -> bool {
        self.span.until.as_ref().is_some_and(|until| until <= name)
    }

    /// Keeps a text if there is room; answers it either way.
    fn keep<T: Clone>(&self, place: &OnceLock<T>, text: T, bytes: usize) -> T {
        if self.room.take(bytes) {
            self.held.fetch_add(bytes, Ordering::Relaxed);
            if let Err(twice) = place.set(text.clone()) {
                // Somebody else was faster.
                self.held.fetch_sub(bytes, Ordering::Relaxed);
                self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
                return place.get().cloned().unwrap_or(twice);
            }
        }
        text
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
    }
}

/// A text, and whether it had to be made.
#[derive(Debug)]
pub struct Made<T> {
    pub text: T,
    pub fresh: bool,
}

/// A state in runs: a snapshot, as the state is.
#[derive(Debug)]
pub struct Index {
    view: View,
    runs: Runs,
    room: Arc<Room>,
}

impl Index {
    /// Nothing is rendered yet.
    pub fn new(view: View, room: &Arc<Room>) -> Self {
        let runs = Runs::new(cut(&view.cluster, &Span::ALL, room));
        Self { view, runs, room: Arc::clone(room) }
    }

    /// The same for another state: runs whose texts are the same there are shared.
    pub fn advanced(&self, view: View) -> Self {
        let Some(names) = changes::between(&self.view, &view) else { return Self::new(view, &self.room) };
        let mut runs = Edit::of(&self.runs);
        for name in &names {
            let at = self.runs.of(name);
            if at < runs.done() {
                continue;
            }
            let Some(run) = self.runs.get(at) else { break };
            runs.keep(at);
            let (mut span, mut count) = (run.span.clone(), 1);
            while span.weight(&view.cluster) < RUN_MIN
                && let Some(next) = self.runs.get(at + count)
            {
                span.until.clone_from(&next.span.until);
                count += 1;
            }
            runs.replace(count, cut(&view.cluster, &span, &self.room));
        }
        let runs = runs.finish();
        Self { view, runs, room: Arc::clone(&self.room) }
    }

    /// The state.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Whether this is that state.
    pub fn is_of(&self, view: &View) -> bool {
        Arc::ptr_eq(&self.view.cluster, &view.cluster) && Arc::ptr_eq(&self.view.observed, &view.observed)
    }

    /// The runs in the order of their names.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// A column of a run: each element of a list with a comma before it, or the rows of a family.
    ///
    /// # Errors
    /// A defect: something that cannot be written.
    pub fn plain(&self, run: &Run, column: Column) -> Result<Made<Bytes>, Unwritten> {
        let cell = &run.cells[column.place()];
        if let Some(text) = cell.plain.get() {
            return Ok(Made { text: text.clone(), fresh: false });
        }
        let text = Bytes::from(self.render(run, column)?);
        let bytes = text.len();
        Ok(Made { text: run.keep(&cell.plain, text, bytes), fresh: true })
    }

    /// The same, compressed.
    ///
    /// # Errors
    /// As for [`Index::plain`].
    pub fn zipped(&self, run: &Run, column: Column, zipper: &mut Zipper) -> Result<Made<Arc<Zipped>>, Unwritten> {
        let cell = &run.cells[column.place()];
        if let Some(text) = cell.zipped.get() {
            return Ok(Made { text: Arc::clone(text), fresh: false });
        }
        let zipped = match cell.plain.get() {
            Some(text) => zipper.zip(text)?,
            None => zipper.zip(&self.render(run, column)?)?,
        };
        let bytes = zipped.len();
        Ok(Made { text: run.keep(&cell.zipped, Arc::new(zipped), bytes), fresh: true })
    }

    fn render(&self, run: &Run, column: Column) -> Result<Vec<u8>, Unwritten> {
        let mut text = Vec::new();
        let elements = column.write(&self.view, &run.span, 0, usize::MAX, &mut text)?;
        let _known = run.cells[column.place()].elements.set(elements);
        text.shrink_to_fit();
        Ok(text)
    }

    /// Bytes of the plain texts of a column; `None`: not all of them are kept.
    pub fn ready(&self, column: Column) -> Option<usize> {
        self.runs.iter().map(|run| run.cells[column.place()].plain.get().map(Bytes::len)).sum()
    }

    /// Elements of a list from `offset`, at most `limit`, each with a comma before it. It counts in blocks and runs, and renders only these.
    ///
    /// # Errors
    /// As for [`Index::plain`].
    pub fn page(&self, column: Column, offset: usize, limit: usize) -> Result<Vec<u8>, Unwritten> {
        let (mut skip, mut left, mut text) = (offset, limit, Vec::new());
        let count = |run: &Run| *run.cells[column.place()].elements.get_or_init(|| column.count(&self.view, &run.span));
        for block in self.runs.blocks() {
            if left == 0 {
                break;
            }
            if skip > 0 {
                let elements = block.elements(column, count);
                if elements <= skip {
                    skip -= elements;
                    continue;
                }
            }
            for run in block.runs() {
                if left == 0 {
                    break;
                }
                if skip > 0 {
                    let elements = count(run);
                    if elements <= skip {
                        skip -= elements;
                        continue;
                    }
                }
                left -= column.write(&self.view, &run.span, skip, left, &mut text)?;
                skip = 0;
            }
        }
        Ok(text)
    }

    /// Replicas and copies of snapshots on each node whose state is unknown; nodes without any are left out.
    pub fn unknown(&self) -> std::collections::BTreeMap<&NodeName, u64> {
        let mut sums = std::collections::BTreeMap::new();
        for run in self.runs.iter() {
            for (node, count) in run.unknown.get_or_init(|| super::column::unknown(&self.view, &run.span)) {
                *sums.entry(node).or_default() += count;
            }
        }
        sums
    }
}

/// Cuts a range of names into runs; at least one.
fn cut(cluster: &Cluster, span: &Span, room: &Arc<Room>) -> Vec<Arc<Run>> {
    let mut runs = Vec::new();
    let mut from = span.from.clone();
    if span.weight(cluster) > RUN_MAX {
        let mut weight = 0;
        for (name, _) in span.of(&cluster.definitions) {
            let more = 1 + cluster.resources.get(name).map_or(0, |replicas| replicas.len());
            if weight > 0 && weight + more > RUN {
                runs.push(Run::new(Span { from: from.replace(name.clone()), until: Some(name.clone()) }, room));
                weight = 0;
            }
            weight += more;
        }
    }
    runs.push(Run::new(Span { from, until: span.until.clone() }, room));
    runs
}
