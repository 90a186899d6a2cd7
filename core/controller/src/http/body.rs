//! Bodies of requests: how much is read of one, of all together, and for how long.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use berth_model::codes::Code;
use berth_model::reply::Reply;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer;

/// Largest body of one request, in bytes: far above any document of the API.
pub const BODY_MAX: usize = 8 << 20;
/// A body up to this many bytes is read at once, whatever the others take: almost all are smaller.
const SMALL: usize = 16 << 10;
/// Larger bodies take at most so much together, in KiB: what has come of them, not what they announce. Those that find no room wait for it.
const TOGETHER_KIB: usize = 64 << 10;
/// A body of which nothing comes for so long is given up: it may hold room that others wait for.
const PIECE_WITHIN: Duration = Duration::from_secs(10);
/// What is read of a body that nobody needs, in bytes, and for how long.
const DRAIN_MAX: usize = 64 << 10;
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// The room that bodies take together.
#[derive(Debug)]
pub struct Bodies(Arc<Semaphore>);

impl Bodies {
    /// All of it is free.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(TOGETHER_KIB)))
    }
}

/// A body, and its place among all: as long as this lives, it counts.
#[derive(Debug, Default)]
pub struct Taken {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for Taken {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body did not come whole.
enum Stopped {
    TooLarge,
    /// Nothing came for [`PIECE_WITHIN`].
    Silent,
    /// There was no room for it.
    Full,
    /// The client went away, or broke the rules of HTTP.
    Broken(String),
}

/// Reads a body.
///
/// # Errors
/// The answer: 413 for one that is too large, at once where its length is announced; 408 for one that does not come within `limit`; 503 where
/// others took all room for so long; 400 for one that breaks off.
pub async fn read(bodies: &Bodies, headers: &HeaderMap, body: Body, limit: Duration) -> Result<Taken, Response> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > BODY_MAX) {
        return Err(too_large());
    }
    let mut waits = false;
    match tokio::time::timeout(limit, gather(bodies, announced, body, &mut waits)).await {
        Ok(Ok(taken)) => Ok(taken),
        Ok(Err(Stopped::TooLarge)) => Err(too_large()),
        Ok(Err(Stopped::Broken(why))) => Err(answer::unreadable(&why)),
        Ok(Err(Stopped::Silent)) => Err(answer::too_slow()),
        Ok(Err(Stopped::Full)) => Err(busy()),
        Err(_) if waits => Err(busy()),
        Err(_) => Err(answer::too_slow()),
    }
}

async fn gather(bodies: &Bodies, announced: Option<usize>, body: Body, waits: &mut bool) -> Result<Taken, Stopped> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(SMALL));
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(piece) = tokio::time::timeout(PIECE_WITHIN, pieces.next()).await.map_err(|_| Stopped::Silent)? {
        let piece = piece.map_err(|error| Stopped::Broken(error.to_string()))?;
        let length = bytes.len() + piece.len();
        if length > BODY_MAX {
            return Err(Stopped::TooLarge);
        }
        let lacking = length.div_ceil(1 << 10).saturating_sub(room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if length > SMALL && lacking > 0 {
            let kib = u32::try_from(lacking).map_err(|_| Stopped::TooLarge)?;
            *waits = true;
            let more = Arc::clone(&bodies.0).acquire_many_owned(kib).await.map_err(|_| Stopped::Full)?;
            *waits = false;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Taken { bytes: bytes.into(), _room: room })
}

/// Reads what a request brings that nobody needs, as far as that is little: a connection with an unread body is closed, which clients that
/// send the next request on it take for a controller that has gone.
pub async fn drain(body: Body) {
    let mut left = DRAIN_MAX;
    let mut pieces = body.into_data_stream();
    let gone = async {
        while let Some(Ok(piece)) = pieces.next().await {
            let Some(rest) = left.checked_sub(piece.len()) else { return };
            left = rest;
        }
    };
    drop(tokio::time::timeout(DRAIN_WITHIN, gone).await);
}

/// The body is too large.
pub fn too_large() -> Response {
    let reply = Reply::new(Code::API_PARSE, "The body of the request is too large.")
        .cause(format!("At most {BODY_MAX} bytes are taken."))
        .correction("Send a smaller document.");
    answer::with_status(StatusCode::PAYLOAD_TOO_LARGE, &reply)
}

fn busy() -> Response {
    let reply = Reply::new(Code::API_PARSE, "There are too many large requests at the moment.")
        .cause(format!("Bodies above {} KiB take at most {} MiB together.", SMALL >> 10, TOGETHER_KIB >> 10))
        .correction("Send the request again later.")
        .details("Nothing was changed.");
    answer::with_status(StatusCode::SERVICE_UNAVAILABLE, &reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    fn slow(first: usize) -> Body {
        let pieces = futures_util::stream::once(async move { Ok::<_, std::io::Error>(Bytes::from(vec![b' '; first])) });
        Body::from_stream(pieces.chain(futures_util::stream::pending()))
    }

    fn length(bytes: usize) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_LENGTH, bytes.to_string().parse().unwrap())])
    }

    async fn status(bodies: &Bodies, headers: &HeaderMap, body: Body) -> u16 {
        read(bodies, headers, body, LIMIT).await.map_or_else(|answer| answer.status().as_u16(), |_| 200)
    }

    #[tokio::test(start_paused = true)]
    async fn an_announced_length_is_refused_before_anything_comes() {
        let bodies = Bodies::new();
        assert_eq!(status(&bodies, &length(BODY_MAX + 1), slow(0)).await, 413);
        let huge = HeaderMap::from_iter([(header::CONTENT_LENGTH, u64::MAX.to_string().parse().unwrap())]);
        assert_eq!(status(&bodies, &huge, slow(0)).await, 413);
        assert_eq!(status(&bodies, &HeaderMap::new(), Body::from(vec![0; BODY_MAX + 1])).await, 413, "and what only turns out to be");
        assert_eq!(status(&bodies, &length(BODY_MAX), Body::from(vec![0; BODY_MAX])).await, 200);
        assert_eq!(status(&bodies, &length(10), slow(5)).await, 408);
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_take_a_bounded_room_and_small_ones_pass_beside_them() {
        let (bodies, none) = (Bodies::new(), HeaderMap::new());
        // Unfinished bodies: as many as there is room for, and more.
        let many = TOGETHER_KIB / (BODY_MAX >> 10) + 5;
        let mut open: Vec<_> = (0..many).map(|_| Box::pin(read(&bodies, &none, slow(BODY_MAX - 1), LIMIT * 2))).collect();
        for one in &mut open {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(bodies.0.available_permits(), 0);
        assert_eq!(status(&bodies, &none, Body::from(vec![0; SMALL])).await, 200, "a small one needs no room");
        assert_eq!(status(&bodies, &none, Body::from(vec![0; SMALL + 1])).await, 503);
        drop(open);
        assert_eq!(bodies.0.available_permits(), TOGETHER_KIB, "what ends gives its room back");
        let taken = read(&bodies, &length(SMALL + 1), Body::from(vec![0; SMALL + 1]), LIMIT).await.unwrap();
        assert_eq!((taken.len(), bodies.0.available_permits()), (SMALL + 1, TOGETHER_KIB - 17));
        drop(taken);
        assert_eq!(bodies.0.available_permits(), TOGETHER_KIB);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_announced_takes_no_room_and_what_falls_silent_is_given_up() {
        let bodies = Bodies::new();
        let begun = tokio::time::Instant::now();
        let announced = length(BODY_MAX);
        let mut open = Box::pin(read(&bodies, &announced, slow(SMALL + 1), PIECE_WITHIN * 6));
        assert!(futures_util::poll!(&mut open).is_pending());
        assert_eq!(bodies.0.available_permits(), TOGETHER_KIB - 17);
        assert_eq!(open.await.unwrap_err().status(), 408);
        assert_eq!(begun.elapsed(), PIECE_WITHIN);
        assert_eq!(bodies.0.available_permits(), TOGETHER_KIB);
    }
}
