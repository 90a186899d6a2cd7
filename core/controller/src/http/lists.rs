//! Long lists, and the metrics that are as long: answered from texts that were rendered once.
//!
//! The definitions of a state are cut into runs of about 32 KiB of documents ([`index`]). A request takes the index of the newest state;
//! one that is made from an older index shares every run in which nothing changed that its texts read ([`changes`]), so what a request
//! costs beside sending is what changed since the last one. A run's texts are rendered when they are sent first, and kept, plain or
//! compressed, as they were asked for; their sum is bounded ([`KEPT_MAX`]): what finds no room is rendered for each request, one run at a time.
//! Nobody having asked for [`IDLE`], all of it is dropped.
//! `measure` (tests) prints what all of it costs.

mod blocks;
pub(super) mod changes;
mod column;
mod gzip;
mod index;
#[cfg(test)]
mod measure;
mod send;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use berth_model::codes::Code;
use berth_model::reply::Reply;
use tokio::time::Instant;

pub use column::{Column, Unwritten, by_age};
pub use gzip::wanted as takes_gzip;
pub use index::Span;
pub use send::{Part, respond};

use super::answer::{json_bytes, refusal};
use super::call::Call;
use crate::{Controller, View};
use index::{Index, Room};

/// Bytes of rendered texts that are kept at most: all lists of 100,000 replicas and their metrics, plain and compressed, take 220 MiB.
const KEPT_MAX: usize = 256 << 20;
/// Kept texts are dropped when nobody has asked for so long.
const IDLE: Duration = Duration::from_secs(120);
/// How often the index is brought to the newest state while nobody asks: it must not hold on to an old one.
const FOLLOW: Duration = Duration::from_secs(5);

/// The lists of a controller.
#[derive(Debug)]
pub struct Lists {
    kept: Mutex<Kept>,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Kept {
    index: Option<Arc<Index>>,
    asked: Instant,
    /// Whether a task looks after it.
    watched: bool,
}

impl Lists {
    /// Nothing is kept yet.
    pub(crate) fn new() -> Self {
        let kept = Kept { index: None, asked: Instant::now(), watched: false };
        Self { kept: Mutex::new(kept), room: Room::new(KEPT_MAX) }
    }

    /// Bytes of the texts that are kept.
    pub(super) fn taken(&self) -> usize {
        self.room.taken()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every step leaves it whole, so a panic elsewhere does no harm.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of the newest state.
    pub(super) fn index(&self, controller: &Controller) -> Arc<Index> {
        let mut kept = self.kept();
        kept.asked = Instant::now();
        if !std::mem::replace(&mut kept.watched, true) {
            tokio::spawn(watch(controller.clone()));
        }
        self.follow(&mut kept, controller.view())
    }

    fn follow(&self, kept: &mut Kept, view: View) -> Arc<Index> {
        let index = match &kept.index {
            Some(index) if index.is_of(&view) => return Arc::clone(index),
            Some(index) => Arc::new(index.advanced(view)),
            None => Arc::new(Index::new(view, &self.room)),
        };
        kept.index = Some(Arc::clone(&index));
        index
    }
}

/// Follows the state while somebody asks for lists now and then, and drops everything afterwards.
async fn watch(controller: Controller) {
    let (stop, lists) = (controller.stopping(), controller.lists());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FOLLOW) => {}
        }
        let mut kept = lists.kept();
        if kept.asked.elapsed() >= IDLE {
            kept.watched = false;
            let index = kept.index.take();
            drop(kept);
            drop(index);
            return;
        }
        lists.follow(&mut kept, controller.view());
    }
}

/// A list without a filter, or a page of it.
pub fn list(call: &Call, column: Column) -> Response {
    let index = call.controller.lists().index(&call.controller);
    let Some((offset, limit)) = call.query.window() else {
        let parts = vec![Part::Text(b"[".as_slice().into()), Part::Column(column), Part::Text(b"]".as_slice().into())];
        return respond(index, parts, "application/json", call.takes_gzip);
    };
    match index.page(column, offset, limit) {
        Ok(mut text) => {
            // The first comma becomes the bracket.
            match text.first_mut() {
                Some(first) => *first = b'[',
                None => text.push(b'['),
            }
            text.push(b']');
            json_bytes(StatusCode::OK, text).into_response()
        }
        Err(defect) => unwritten(&defect),
    }
}

fn unwritten(defect: &Unwritten) -> Response {
    refusal(
        Reply::new(Code::FAIL_IMPL_ERROR, format!("The list could not be written: {defect}."))
            .correction("Report this; it is a defect of the controller."),
    )
}
