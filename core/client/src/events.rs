//! Following what happens: one stream of events that is opened again wherever it was when it breaks.

use std::time::Duration;

use reqwest::header::ACCEPT;
use serde_json::Value;

use crate::{Call, Client, ClientError};

/// First pause before a broken stream is opened again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Without a sign of life for so long the controller is gone: it gives one every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Largest event: a line of more is not an event of a controller.
const EVENT_MAX: usize = 16 << 20;

/// One event of `/v1/berth/events`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the history, which begins with the serial of the change; `None`: it is no change.
    pub id: Option<String>,
    /// `ready`, `change`, `seen` or `resync`.
    pub name: String,
    /// Its document.
    pub data: Value,
}

/// A stream of `/v1/berth/events` that comes back by itself and misses no change.
pub struct Events<'c> {
    client: &'c Client,
    last: Option<String>,
    open: Option<Open>,
}

struct Open {
    response: reqwest::Response,
    parser: Parser,
}

impl<'c> Events<'c> {
    pub(crate) fn new(client: &'c Client, after: Option<u64>) -> Self {
        Self { client, last: after.map(|serial| serial.to_string()), open: None }
    }

    /// The next event. A connection that breaks is made again, behind the last change that came, as often as it takes.
    ///
    /// # Errors
    /// Only of the first connection: no controller can be reached; or the controller refuses, e.g. because it has no events.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        let mut failures = 0_u32;
        loop {
            let Some(open) = &mut self.open else {
                let first = self.last.is_none();
                match self.client.open_events(self.last.as_deref()).await {
                    Ok(response) => self.open = Some(Open { response, parser: Parser::default() }),
                    Err(error @ ClientError::Refused { .. }) => return Err(error),
                    Err(error) if first => return Err(error),
                    Err(_) => {
                        failures = failures.saturating_add(1);
                        tokio::time::sleep(berth_model::time::pause(failures, PAUSE, PAUSE_MAX)).await;
                    }
                }
                continue;
            };
            if let Some(event) = open.parser.event() {
                if event.id.is_some() {
                    self.last.clone_from(&event.id);
                }
                return Ok(event);
            }
            let piece = tokio::time::timeout(SILENCE, open.response.chunk()).await;
            match piece {
                Ok(Ok(Some(piece))) if open.parser.rest.len() + piece.len() <= EVENT_MAX => open.parser.rest.extend_from_slice(&piece),
                Ok(Ok(Some(_) | None) | Err(_)) | Err(_) => {
                    self.open = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Client {
    /// Follows every change after serial `after`; `None`: from now on. Nothing is sent before the first [`Events::next`].
    pub fn events(&self, after: Option<u64>) -> Events<'_> {
        Events::new(self, after)
    }

    async fn open_events(&self, last: Option<&str>) -> Result<reqwest::Response, ClientError> {
        let call = Call::get(&["berth", "events"]);
        let response = self
            .open(&call, |request| {
                let request = request.header(ACCEPT, "text/event-stream");
                match last {
                    Some(place) => request.header("Last-Event-ID", place),
                    None => request,
                }
            })
            .await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(ClientError::Refused { endpoint: self.current().clone(), status });
        }
        Ok(response)
    }
}

/// Takes a stream apart that comes in two pieces, and forgets it: for fuzzing.
#[doc(hidden)]
pub fn read_events(bytes: &[u8]) {
    let mut parser = Parser::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for piece in [first, second] {
        parser.rest.extend_from_slice(piece);
        while parser.event().is_some() {}
    }
}

/// Takes a stream apart, whose pieces end anywhere.
#[derive(Debug, Default)]
struct Parser {
    rest: Vec<u8>,
    /// So much of `rest` has no end of an event.
    seen: usize,
}

impl Parser {
    /// The next whole event; comments and what is unknown are passed over.
    fn event(&mut self) -> Option<Event> {
        loop {
            let from = self.seen.saturating_sub(1);
            let Some(end) = self.rest[from..].windows(2).position(|two| two == b"\n\n").map(|at| from + at) else {
                self.seen = self.rest.len();
                return None;
            };
            let frame: Vec<u8> = self.rest.drain(..end + 2).collect();
            self.seen = 0;
            let text = String::from_utf8_lossy(&frame);
            let field = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                    .map(|value| value.strip_prefix(' ').unwrap_or(value))
            };
            let (Some(name), Some(data)) = (field("event"), field("data")) else { continue };
            let Ok(data) = serde_json::from_str(data) else { continue };
            return Some(Event { id: field("id").filter(|id| !id.is_empty()).map(str::to_owned), name: name.to_owned(), data });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::{Endpoint, Options};

    #[test]
    fn pieces_may_end_anywhere() {
        let text = ": alive\n\nretry: 5\nid: 7-1\nevent: ready\ndata: {\"serial\":7}\n\nevent: seen\ndata:{\"all\":true}\n\nevent: broken\ndata: {\n\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                parser.rest.extend_from_slice(piece);
                while let Some(event) = parser.event() {
                    events.push((event.id, event.name, event.data));
                }
            }
            assert_eq!(
                events,
                [(Some("7-1".to_owned()), "ready".to_owned(), json!({"serial": 7})), (None, "seen".to_owned(), json!({"all": true}))],
                "pieces of {size}"
            );
        }
    }

    /// A controller that closes each stream after one change.
    async fn serve(refuse: bool) -> Endpoint {
        let opened = Arc::new(AtomicUsize::new(0));
        let app = axum::Router::new().fallback(move |headers: HeaderMap| {
            let number = opened.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                let last: usize = headers
                    .get("last-event-id")
                    .and_then(|value| value.to_str().ok())
                    .map_or(0, |text| text.strip_suffix("-x").expect("the id as it came").parse().unwrap());
                let status = if refuse { 404 } else { 200 };
                let next = last + 1;
                let text = format!(
                    "id: {last}-x\nevent: ready\ndata: {number}\n\nid: {next}-x\nevent: change\ndata: {number}\n\nid: 9\nevent: cha"
                );
                (axum::http::StatusCode::from_u16(status).unwrap(), text)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Endpoint { tls: false, host: "127.0.0.1".into(), port }
    }

    #[tokio::test]
    async fn a_broken_stream_goes_on_behind_the_last_change() {
        let client = Client::new(vec![serve(false).await], Options::default()).expect("a client");
        let mut events = client.events(None);
        for round in 1..=3_u64 {
            let ready = events.next().await.expect("an event");
            assert_eq!(
                (ready.name.as_str(), ready.id.as_deref()),
                ("ready", Some(format!("{}-x", round - 1).as_str())),
                "the half event does not count"
            );
            let change = events.next().await.expect("an event");
            assert_eq!((change.id, change.data), (Some(format!("{round}-x")), json!(round)));
        }
    }

    #[tokio::test]
    async fn a_controller_without_events_is_told() {
        let client = Client::new(vec![serve(true).await], Options::default()).expect("a client");
        assert!(matches!(client.events(None).next().await, Err(ClientError::Refused { status: 404, .. })));
    }
}
