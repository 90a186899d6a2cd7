//! Bodies of kept texts: sent piece by piece, never put together.

use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::column::{Column, Unwritten};
use super::gzip::{Stream, Zipper};
use super::index::{Index, Made, Run};

/// A part of a body.
#[derive(Debug)]
pub enum Part {
    /// Text of this request.
    Text(Bytes),
    /// A column of all runs. Of a list, with commas between its elements.
    Column(Column),
}

/// Answers with the parts in their order, compressed if the client takes that.
pub fn respond(index: Arc<Index>, parts: Vec<Part>, content_type: &'static str, gzip: bool) -> Response {
    // A short answer is left to the layer that compresses all others.
    let gzip = gzip && index.runs().len() > 1;
    let length = length(&index, &parts, gzip);
    let zip = gzip.then(|| (Zipper::new(), Stream::new()));
    let sender = Sender { index, parts: parts.into_iter(), column: None, begun: false, opened: false, zip };
    let pieces = stream::try_unfold(sender, async |mut sender| {
        let piece = sender.next().map_err(std::io::Error::other)?;
        let Some(Made { text, fresh }) = piece else { return Ok::<_, std::io::Error>(None) };
        if fresh {
            // To render is to compute: the others have their turn in between.
            tokio::task::yield_now().await;
        }
        Ok(Some((text, sender)))
    });
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], Body::from_stream(pieces)).into_response();
    let headers = response.headers_mut();
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

/// Length of the plain body, if all of it is there.
fn length(index: &Index, parts: &[Part], gzip: bool) -> Option<usize> {
    if gzip {
        return None;
    }
    let length = |part: &Part| match part {
        Part::Text(text) => Some(text.len()),
        // The first comma of a list is not sent.
        Part::Column(column) => index.ready(*column).map(|bytes| bytes.saturating_sub(usize::from(column.is_list()))),
    };
    parts.iter().map(length).sum()
}

/// Where a body has got to.
struct Sender {
    index: Arc<Index>,
    parts: std::vec::IntoIter<Part>,
    /// The column that is being sent, and its runs that are not.
    column: Option<(Column, Range<usize>)>,
    /// Whether the next element has another one before it.
    begun: bool,
    /// Whether the head of a compressed stream was sent.
    opened: bool,
    zip: Option<(Zipper, Stream)>,
}

impl Sender {
    /// The next piece, never an empty one.
    fn next(&mut self) -> Result<Option<Made<Bytes>>, Unwritten> {
        if self.zip.is_some() && !std::mem::replace(&mut self.opened, true) {
            return Ok(Some(Made { text: Stream::head(), fresh: false }));
        }
        loop {
            if let Some((column, rest)) = &mut self.column {
                let column = *column;
                let Some(run) = rest.next().and_then(|at| self.index.runs().get(at).map(Arc::clone)) else {
                    self.column = None;
                    continue;
                };
                if let Some(piece) = self.run(&run, column)? {
                    return Ok(Some(piece));
                }
                continue;
            }
            match self.parts.next() {
                Some(Part::Column(column)) => {
                    self.column = Some((column, 0..self.index.runs().len()));
                    self.begun = !column.is_list();
                }
                Some(Part::Text(text)) if text.is_empty() => {}
                Some(Part::Text(text)) => {
                    let text = match &mut self.zip {
                        Some((zipper, stream)) => stream.add(&zipper.zip(&text)?, true),
                        None => text,
                    };
                    return Ok(Some(Made { text, fresh: false }));
                }
                None => return Ok(self.zip.take().map(|(_, stream)| Made { text: stream.end(), fresh: false })),
            }
        }
    }

    /// A run of a column; `None`: it has no element there.
    fn run(&mut self, run: &Run, column: Column) -> Result<Option<Made<Bytes>>, Unwritten> {
        let Some((zipper, stream)) = &mut self.zip else {
            let Made { text, fresh } = self.index.plain(run, column)?;
            if text.is_empty() {
                return Ok(None);
            }
            let begun = std::mem::replace(&mut self.begun, true);
            return Ok(Some(Made { text: if begun { text } else { text.slice(1..) }, fresh }));
        };
        let Made { text, fresh } = self.index.zipped(run, column, zipper)?;
        if text.is_empty() {
            return Ok(None);
        }
        let begun = std::mem::replace(&mut self.begun, true);
        Ok(Some(Made { text: stream.add(&text, begun), fresh }))
    }
}
