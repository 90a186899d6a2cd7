//! Sends calls to the first controller that answers.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde_json::Value;

use crate::reply::{Reply, parse_replies};
use crate::{Call, Endpoint, Tls};

/// How long a controller may take to accept a connection before the next one is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A stream has no end to wait for.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody in particular.
    None,
    /// Name and password (HTTP Basic).
    Basic {
        /// Account name.
        user: String,
        /// Its password.
        password: String,
    },
    /// A token (HTTP Bearer).
    Bearer(String),
}

/// How a client behaves.
#[derive(Clone)]
pub struct Options {
    /// Longest wait for a controller to accept a connection, before the next one is tried.
    pub connect_within: Duration,
    /// Longest wait for a whole answer; `None` waits as long as the connection lives.
    pub timeout: Option<Duration>,
    /// Who asks.
    pub login: Login,
    /// How encrypted connections are made.
    pub tls: Tls,
    /// Value of the `User-Agent` header.
    pub user_agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_within: CONNECT_WITHIN,
            timeout: None,
            login: Login::None,
            tls: Tls::default(),
            user_agent: concat!("berth/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The list of controllers is empty.
    #[error("no controller is named")]
    NoController,
    /// Certificates for encrypted connections cannot be used.
    #[error("the certificates cannot be used: {0}")]
    Certificate(String),
    /// None of the controllers accepted a connection.
    #[error("cannot connect to {}", tried.iter().map(|(endpoint, why)| format!("{endpoint} ({why})")).collect::<Vec<_>>().join(", "))]
    Unreachable {
        /// Each controller with its reason, in the order tried.
        tried: Vec<(Endpoint, String)>,
    },
    /// The controller took longer than the timeout.
    #[error("{endpoint} gave no answer in time")]
    Timeout {
        /// Who was asked.
        endpoint: Endpoint,
    },
    /// The connection broke after the request was sent: whether it was carried out is unknown.
    #[error("the connection to {endpoint} broke: {why}")]
    Broken {
        /// Who was asked.
        endpoint: Endpoint,
        /// What the transport said.
        why: String,
    },
    /// The controller does not open a stream.
    #[error("{endpoint} refused with status {status}; does this version of it have it?")]
    Refused {
        /// Who was asked.
        endpoint: Endpoint,
        /// What it answered.
        status: u16,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers as received.
    pub headers: HeaderMap,
    /// The body as received.
    pub body: Vec<u8>,
}

impl Response {
    /// Whether the status says that it worked.
    pub fn ok(&self) -> bool {
        self.status < 400
    }

    /// The body as a JSON value, if it is one.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as a reply list, if it is one.
    pub fn replies(&self) -> Option<Vec<Reply>> {
        parse_replies(&self.body)
    }
}

/// A REST client over a list of controllers.
///
/// The first that accepts a connection is asked, and is asked first from then on. A request that was sent is never sent
/// again to another one: it may have been carried out.
pub struct Client {
    http: reqwest::Client,
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
    options: Options,
    /// Plain controllers that were asked whether they want to be called by HTTPS, and where.
    asked: Mutex<BTreeMap<usize, Option<Endpoint>>>,
}

impl Client {
    /// A client for `endpoints`, tried in this order.
    ///
    /// # Errors
    /// [`ClientError::NoController`] for an empty list, [`ClientError::Setup`] if the HTTP library refuses.
    pub fn new(endpoints: Vec<Endpoint>, options: Options) -> Result<Self, ClientError> {
        if endpoints.is_empty() {
            return Err(ClientError::NoController);
        }
        let mut builder = reqwest::Client::builder().user_agent(&options.user_agent).connect_timeout(options.connect_within).no_proxy();
        // A request that is sent elsewhere is sent whole, and only where this client decides (see `send`).
        builder = builder.redirect(reqwest::redirect::Policy::none());
        builder = builder.tls_backend_preconfigured(options.tls.config().map_err(ClientError::Certificate)?);
        if let Some(timeout) = options.timeout {
            builder = builder.timeout(timeout);
        }
        let http = builder.build().map_err(|why| ClientError::Setup(reason(&why)))?;
        Ok(Self { http, endpoints, current: AtomicUsize::new(0), options, asked: Mutex::default() })
    }

    /// The controllers in the order given.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The controller that answered last; before the first answer the first of the list.
    pub fn current(&self) -> &Endpoint {
        let at = self.current.load(Ordering::Relaxed) % self.endpoints.len().max(1);
        &self.endpoints[at]
    }

    /// Sends `call` and returns the answer, whatever its status.
    ///
    /// # Errors
    /// No controller reachable, timeout, or a connection that broke half way.
    pub async fn send(&self, call: &Call) -> Result<Response, ClientError> {
        let answer = self.ask(call, |request| request).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        match answer.bytes().await {
            Ok(body) => Ok(Response { status, headers, body: body.to_vec() }),
            Err(why) if why.is_timeout() => Err(ClientError::Timeout { endpoint: self.current().clone() }),
            Err(why) => Err(ClientError::Broken { endpoint: self.current().clone(), why: reason(&why) }),
        }
    }

    /// Sends `call` with what `edit` adds, and returns the answer as soon as its head is there; reading it may take for ever.
    pub(crate) async fn open(
        &self,
        call: &Call,
        edit: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        self.ask(call, |request| edit(request).timeout(FOR_EVER)).await
    }

    async fn ask(
        &self,
        call: &Call,
        edit: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        let start = self.current.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for step in 0..self.endpoints.len() {
            let at = (start + step) % self.endpoints.len();
            let endpoint = match self.way_to(at).await {
                Ok(endpoint) => endpoint,
                Err(why) if why.is_connect() => {
                    tried.push((self.endpoints[at].clone(), reason(&why)));
                    continue;
                }
                Err(why) => return Err(broken(&self.endpoints[at], &why)),
            };
            let endpoint = &endpoint;
            match self.send_to(endpoint, call, &edit).await {
                Ok(response) => {
                    self.current.store(at, Ordering::Relaxed);
                    // A controller with HTTPS carries out nothing that comes plainly (contract 1.4).
                    return match secure(endpoint, &response) {
                        Some(secure) => self.send_to(&secure, call, &edit).await.map_err(|why| broken(&secure, &why)),
                        None => Ok(response),
                    };
                }
                Err(why) if why.is_connect() => {
                    // It may want something else by now.
                    self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
                    tried.push((endpoint.clone(), reason(&why)));
                }
                Err(why) => return Err(broken(endpoint, &why)),
            }
        }
        Err(ClientError::Unreachable { tried })
    }

    /// Where a controller of the list is called. One that is to be called plainly is asked first, by a request that says nothing, whether it
    /// wants HTTPS, if there is a token or password to protect: neither goes over a plain connection that the controller would not answer.
    async fn way_to(&self, at: usize) -> Result<Endpoint, reqwest::Error> {
        let endpoint = &self.endpoints[at];
        if endpoint.tls || matches!(self.options.login, Login::None) {
            return Ok(endpoint.clone());
        }
        let known = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(&at).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let answer = self.http.get(format!("{}/v1/controller/version", endpoint.base())).send().await?;
                let found = secure(endpoint, &answer);
                self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(at, found.clone());
                found
            }
        };
        Ok(known.unwrap_or_else(|| endpoint.clone()))
    }

    async fn send_to(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        edit: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let mut request = self.http.request(call.method.clone(), format!("{}{}", endpoint.base(), call.target()));
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        request = match &self.options.login {
            Login::None => request,
            Login::Basic { user, password } => request.basic_auth(user, Some(password)),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        edit(request).send().await
    }
}

/// The same controller by HTTPS, where it says that it wants to be called so; only the port is its to say.
fn secure(endpoint: &Endpoint, response: &reqwest::Response) -> Option<Endpoint> {
    if endpoint.tls || response.status() != 302 {
        return None;
    }
    let place = Endpoint::parse(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    place.tls.then(|| Endpoint { tls: true, host: endpoint.host.clone(), port: place.port })
}

fn broken(endpoint: &Endpoint, why: &reqwest::Error) -> ClientError {
    let endpoint = endpoint.clone();
    if why.is_connect() {
        ClientError::Unreachable { tried: vec![(endpoint, reason(why))] }
    } else if why.is_timeout() {
        ClientError::Timeout { endpoint }
    } else {
        ClientError::Broken { endpoint, why: reason(why) }
    }
}

/// The innermost reason of a transport error: the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::{Client, ClientError, Login, Options};
    use crate::{Call, Endpoint, Tls, Trust};

    async fn serve() -> Endpoint {
        let app = axum::Router::new()
            .fallback(|method: axum::http::Method, uri: axum::http::Uri, body: String| async move { format!("{method} {uri} {body}") });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Endpoint { tls: false, host: "127.0.0.1".into(), port }
    }

    async fn closed() -> Endpoint {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        Endpoint { tls: false, host: "127.0.0.1".into(), port }
    }

    #[tokio::test]
    async fn the_next_controller_is_asked_when_the_first_is_down() {
        let up = serve().await;
        let client = Client::new(vec![closed().await, up.clone()], Options::default()).expect("a client");
        let call = Call::put(&["nodes", "n1"]).body(serde_json::json!({"a": 1}));
        let response = client.send(&call).await.expect("an answer");
        assert_eq!(response.status, 200);
        assert_eq!(String::from_utf8_lossy(&response.body), r#"PUT /v1/nodes/n1 {"a":1}"#);
        assert_eq!(client.current(), &up);
    }

    #[tokio::test]
    async fn all_down_names_each() {
        let client = Client::new(vec![closed().await, closed().await], Options::default()).expect("a client");
        match client.send(&Call::get(&["nodes"])).await {
            Err(ClientError::Unreachable { tried }) => assert_eq!(tried.len(), 2),
            other => panic!("expected unreachable, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let endpoint = Endpoint::parse("linstor+ssl://localhost").expect("parses");
        for tls in [
            Tls { trust: Trust::File("/none.pem".into()), ..Tls::default() },
            Tls { certificate: Some("/none.pem".into()), ..Tls::default() },
        ] {
            match Client::new(vec![endpoint.clone()], Options { tls, ..Options::default() }) {
                Err(ClientError::Certificate(why)) => assert!(why.contains("/none.pem"), "{why}"),
                Ok(_) => panic!("a client without its files"),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[tokio::test]
    async fn a_token_is_not_sent_plainly_to_who_wants_https_nor_to_another_host() {
        use std::sync::{Arc, Mutex};
        let secure = closed().await;
        let port = secure.port;
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&seen);
        let app = axum::Router::new().fallback(move |headers: axum::http::HeaderMap| async move {
            let login = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
            told.lock().expect("nobody panicked").push(login.unwrap_or_default());
            (axum::http::StatusCode::FOUND, [("location", format!("https://elsewhere.example:{port}/v1/nodes"))])
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let plain = Endpoint { tls: false, host: "127.0.0.1".into(), port: listener.local_addr().expect("bound").port() };
        tokio::spawn(async move { axum::serve(listener, app).await });
        let options = Options { login: Login::Bearer("hush".into()), ..Options::default() };
        let client = Client::new(vec![plain], options).expect("a client");
        for _ in 0..2 {
            match client.send(&Call::put(&["nodes", "n1"]).body(serde_json::json!({}))).await {
                Err(ClientError::Unreachable { tried }) => {
                    assert!(tried.iter().all(|(place, _)| place.host == "127.0.0.1"), "{tried:?}");
                    assert_eq!(tried.last().map(|(place, _)| (place.tls, place.port)), Some((true, port)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(*seen.lock().expect("nobody panicked"), ["", ""], "asked, without the token");
    }

    #[tokio::test]
    async fn a_plain_answer_where_tls_is_asked_for_is_no_answer() {
        let plain = serve().await;
        let client = Client::new(vec![Endpoint { tls: true, ..plain }], Options::default()).expect("a client");
        assert!(matches!(client.send(&Call::get(&["nodes"])).await, Err(ClientError::Unreachable { .. })));
    }
}
