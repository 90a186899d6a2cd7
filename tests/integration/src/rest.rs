//! A plain HTTP client for tests: it hides nothing of a reply.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::wait;

/// Time for one reply; longer than any reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(90);

/// A controller, by its address.
#[derive(Debug, Clone)]
pub struct Rest {
    base: String,
}

/// One reply, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The request, for messages.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty if there was none.
    pub content_type: String,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

/// How grave an entry of a reply is: bits 63 and 62 of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Done.
    Success,
    /// Worth knowing.
    Info,
    /// Done, with a flaw.
    Warn,
    /// Not done.
    Error,
}

/// One entry of a reply: severity, number (bits 14 to 0), message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How grave.
    pub severity: Severity,
    /// The number in its code.
    pub number: u16,
    /// The sentence for people.
    pub message: String,
    /// Why.
    pub cause: String,
    /// What to do.
    pub correction: String,
}

impl Rest {
    /// Speaks to a controller at `http://ADDR:PORT`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// GET; the path begins with `/`.
    ///
    /// # Errors
    /// If no reply came.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.call("GET", path, None)
    }

    /// POST with a document.
    ///
    /// # Errors
    /// If no reply came.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.call("POST", path, Some(body.to_string()))
    }

    /// PUT with a document.
    ///
    /// # Errors
    /// If no reply came.
    pub fn put(&self, path: &str, body: &Value) -> Result<Reply> {
        self.call("PUT", path, Some(body.to_string()))
    }

    /// DELETE.
    ///
    /// # Errors
    /// If no reply came.
    pub fn delete(&self, path: &str) -> Result<Reply> {
        self.call("DELETE", path, None)
    }

    /// Any request, the body sent as it is.
    ///
    /// # Errors
    /// If no reply came: the connection was refused or cut, or time ran out.
    pub fn call(&self, method: &str, path: &str, body: Option<String>) -> Result<Reply> {
        self.call_within(REPLY_LIMIT, method, path, body)
    }

    /// [`Rest::call`] with a limit of its own.
    ///
    /// # Errors
    /// If no reply came.
    pub fn call_within(&self, limit: Duration, method: &str, path: &str, body: Option<String>) -> Result<Reply> {
        let headers: &[(&str, &str)] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        self.send(limit, method, path, headers, body)
    }

    /// Any request with exactly these headers, besides those that every request has.
    ///
    /// # Errors
    /// If no reply came.
    pub fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Result<Reply> {
        self.send(REPLY_LIMIT, method, path, headers, body)
    }

    fn send(&self, limit: Duration, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Result<Reply> {
        let request = format!("{method} {path}");
        let method = Method::from_bytes(method.as_bytes()).with_context(|| format!("{method:?} is no method"))?;
        let mut call = client().request(method, format!("{}{path}", self.base)).timeout(limit);
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        if let Some(body) = body {
            call = call.body(body);
        }
        runtime().block_on(async {
            let reply = call.send().await.with_context(|| format!("{request}: no reply"))?;
            let status = reply.status().as_u16();
            let header = reply.headers().get("content-type").and_then(|value| value.to_str().ok());
            let content_type = header.unwrap_or_default().to_owned();
            let text = reply.text().await.with_context(|| format!("{request}: the reply was cut off"))?;
            let json = serde_json::from_str(&text).unwrap_or(Value::Null);
            Ok(Reply { request, status, content_type, text, json })
        })
    }

    /// GET of a large document that is only read, not understood; answers its length in bytes.
    ///
    /// # Errors
    /// If no reply came, or one above 399.
    pub fn length(&self, path: &str) -> Result<usize> {
        let call = client().get(format!("{}{path}", self.base)).timeout(REPLY_LIMIT);
        runtime().block_on(async {
            let mut reply = call.send().await.with_context(|| format!("GET {path}: no reply"))?.error_for_status()?;
            let mut length = 0;
            // Piece by piece: a figure is of the controller, not of our memory.
            while let Some(piece) = reply.chunk().await.with_context(|| format!("GET {path}: the reply was cut off"))? {
                length += piece.len();
            }
            Ok(length)
        })
    }

    /// Waits until a GET answers a document for which `holds` is true, and answers it.
    ///
    /// # Errors
    /// After `limit`, with the last reply.
    pub fn wait_for(&self, limit: Duration, path: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::within(limit, &format!("GET {path} is as expected"), || match self.get(path) {
            Ok(reply) if reply.status < 400 && holds(&reply.json) => Ok(reply.json),
            Ok(reply) => Err(format!("{} {}", reply.status, reply.text)),
            Err(error) => Err(format!("{error:#}")),
        })
    }
}

impl Reply {
    /// The entries, if the reply is a list of them.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let list = self.json.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter()
            .filter_map(|entry| {
                let code = entry["ret_code"].as_i64()?;
                let severity = match (code >> 62) & 3 {
                    0 => Severity::Success,
                    1 => Severity::Info,
                    2 => Severity::Warn,
                    _ => Severity::Error,
                };
                let number = u16::try_from(code & 0x7fff).ok()?;
                Some(Entry {
                    severity,
                    number,
                    message: text(entry, "message"),
                    cause: text(entry, "cause"),
                    correction: text(entry, "correction"),
                })
            })
            .collect()
    }

    /// The numbers of all errors.
    #[must_use]
    pub fn errors(&self) -> Vec<u16> {
        self.entries().iter().filter(|entry| entry.severity == Severity::Error).map(|entry| entry.number).collect()
    }

    /// The same reply if it tells of success: status below 400, no error among its entries.
    ///
    /// # Errors
    /// Otherwise, with the reply.
    pub fn ok(self) -> Result<Self> {
        if self.status < 400 && self.errors().is_empty() {
            return Ok(self);
        }
        bail!("{}: {} {}", self.request, self.status, self.text)
    }

    /// The same reply if it is a refusal in the form that clients expect: a JSON list whose first error has this number,
    /// a status that goes with it, a message and a correction.
    ///
    /// # Errors
    /// Otherwise, saying what is amiss.
    pub fn refused(self, number: u16) -> Result<Self> {
        let seen = format!("{}: {} {} {}", self.request, self.status, self.content_type, self.text);
        ensure!(self.status >= 400, "should be refused with {number}, but: {seen}");
        ensure!(self.content_type.starts_with("application/json"), "not JSON: {seen}");
        let entries = self.entries();
        let Some(error) = entries.iter().find(|entry| entry.severity == Severity::Error) else { bail!("no entry is an error: {seen}") };
        ensure!(error.number == number, "error {}, not {number}: {seen}", error.number);
        let status = match number {
            300..=399 => 404,
            400..=499 => 403,
            _ => self.status.max(400),
        };
        ensure!(self.status == status, "status should be {status}: {seen}");
        ensure!(!error.message.is_empty(), "no message: {seen}");
        ensure!(!error.correction.is_empty(), "no correction: {seen}");
        Ok(self)
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        built.expect("threads for the HTTP client of the tests")
    })
}

fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    // The HTTP library wants to know whose cryptography it would use, also where nothing is encrypted.
    drop(rustls::crypto::ring::default_provider().install_default());
    CLIENT.get_or_init(|| reqwest::Client::builder().no_proxy().build().expect("a plain HTTP client needs nothing of the machine"))
}
