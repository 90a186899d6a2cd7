//! Who asks, and whether they may: before any handler sees a request.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use berth_engine::access::{Door, door};
use berth_engine::apply::denied;
use berth_engine::tokens::says_yes;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::reply::Reply;
use berth_model::secrets;

use super::answer;
use super::body::drain;
use crate::Controller;
use crate::gate::{NotIn, Pass, Transport};
use crate::happenings::count;

/// The property that has even metrics encrypted.
const NO_PLAIN_METRICS: &str = "REST/disable-http-metrics";
/// Where the page comes from that has a browser send a request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// Largest answer whose secrets are looked for, in bytes: far above any list that is asked for in one piece.
const HIDDEN_MAX: usize = 512 << 20;

/// Signs the caller in, and lets them through to what their role may do.
pub async fn check(State(controller): State<Controller>, mut request: Request, next: Next) -> Response {
    let gate = controller.gate();
    let transport = request.extensions().get::<Transport>().cloned().unwrap_or_default();
    let cluster = controller.view().cluster;
    if let Some(to) = gate.https_port().filter(|_| !transport.tls).and_then(|port| secure_place(&cluster, &request, port)) {
        return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    }
    // A browser asks before it signs in whether it may; the headers of every reply say yes.
    if request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]).into_response();
    }
    if from_another_site(&request) {
        let reply = Reply::new(Code::FAIL_ACC_DENIED_COMMAND, "A page of another site may not change anything here.")
            .cause("A browser sent this request for a page that does not come from this controller ('Sec-Fetch-Site').")
            .correction("Serve the page from the controller's own address, or use a program that is no browser.");
        drain(request.into_body()).await;
        return answer::with_status(StatusCode::FORBIDDEN, &reply);
    }
    let pass = Pass {
        path: request.uri().path().to_owned(),
        authorization: request.headers().get(header::AUTHORIZATION).cloned(),
        transport,
        peer: request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()),
    };
    let who = gate.who(&cluster, &pass, crate::state::now()).await;
    let caller = match who {
        Ok(caller) => caller,
        Err(why) => {
            count(&controller.counters().sign_ins_refused);
            gate.refused(&pass, &why);
            drain(request.into_body()).await;
            return not_in(&why);
        }
    };
    match door(caller.role, request.method().as_str(), &pass.path) {
        Door::Open => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(pass);
            next.run(request).await
        }
        Door::WithoutSecrets if asks_for_a_secret(&request) => {
            let reply = Reply::new(Code::FAIL_ACC_DENIED_COMMAND, "A viewer cannot look for the value of a secret.")
                .cause("A list that is shorter for a wrong guess would tell it.")
                .correction("Leave this property out of the filter.");
            drain(request.into_body()).await;
            answer::with_status(StatusCode::FORBIDDEN, &reply)
        }
        Door::WithoutSecrets => {
            // What is compressed already cannot be looked into; the layer outside compresses what comes of it.
            request.headers_mut().remove(header::ACCEPT_ENCODING);
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(pass);
            without_secrets(next.run(request).await).await
        }
        Door::Closed(needed) => {
            drain(request.into_body()).await;
            answer::with_status(StatusCode::FORBIDDEN, &denied(&caller, needed))
        }
    }
}

/// Whether a browser sends this for a page of somebody else, and it is meant to change something.
///
/// A browser signs in by itself wherever its user has signed in before, so the sign-in says nothing about who wrote the request. Pages cannot
/// set this header, and no client of the API but browsers sends it (Fetch Metadata, W3C).
fn from_another_site(request: &Request) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let sites = request.headers().get_all(SEC_FETCH_SITE);
    !reads && sites.iter().any(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"))
}

/// Whether a list is filtered by a property that is a secret.
fn asks_for_a_secret(request: &Request) -> bool {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    pairs.is_ok_and(|Query(pairs)| {
        pairs.iter().any(|(name, value)| {
            let key = value.split('=').next().unwrap_or_default();
            name == "props" && secrets::is_secret(key)
        })
    })
}

/// Where a plain request is sent while HTTPS is on; `None`: it may be answered plainly (contract 1.4).
fn secure_place(cluster: &Cluster, request: &Request, port: u16) -> Option<HeaderValue> {
    let path = request.uri().path();
    let moved = path.starts_with("/v1/") || path == "/v1" || (path.starts_with("/metrics") && says_yes(cluster, NO_PLAIN_METRICS));
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| request.uri().host());
    // Whoever does not say whom they called is still not answered plainly.
    let host = without_port(host.unwrap_or("localhost"));
    let target = request.uri().path_and_query().map_or(path, |target| target.as_str());
    // A name that cannot stand in an answer is no reason to answer plainly, either.
    let place = HeaderValue::try_from(format!("https://{host}:{port}{target}")).unwrap_or(HeaderValue::from_static("https://localhost/"));
    moved.then_some(place)
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        Some(_) | None => host,
    }
}

/// The answer to somebody who is not let in.
fn not_in(why: &NotIn) -> Response {
    let (status, reply, challenge) = match why {
        NotIn::Token => (
            StatusCode::UNAUTHORIZED,
            Reply::new(Code::FAIL_ACC_DENIED_COMMAND, "A valid API token is needed.")
                .cause("The request carries none, or one that is wrong, ended, revoked, switched off, or meant for another address.")
                .correction(
                    "Send 'Authorization: Bearer TOKEN'; the command line takes it from the file that --token-file names, or from \
                     /var/lib/linstor.d/auth.json. An administrator makes one with 'linstor controller auth create NAME'.",
                ),
            Some("Bearer realm=\"linstor-controller\""),
        ),
        NotIn::NoPassword => (
            StatusCode::UNAUTHORIZED,
            Reply::new(Code::FAIL_SIGN_IN_MISSING_CREDENTIALS, "A login is needed.")
                .cause("The request carries no name and password.")
                .correction("Use 'linstor --user NAME'."),
            Some("Basic realm=\"Linstor\""),
        ),
        NotIn::OtherScheme => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Reply::new(Code::FAIL_INVLD_ENCRYPT_TYPE, "Only HTTP Basic is taken for a login.").correction("Send name and password."),
            None,
        ),
        NotIn::WrongPassword => (
            StatusCode::FORBIDDEN,
            Reply::new(Code::FAIL_SIGN_IN, "The login is not right.")
                .cause("Name or password are wrong, or the directory does not let this name in.")
                .correction("Check both; an administrator of the directory can say who may log in."),
            None,
        ),
        NotIn::NoDirectory(cause) => (
            StatusCode::FORBIDDEN,
            Reply::new(Code::FAIL_SIGN_IN, "The login cannot be checked.")
                .cause(format!("The directory cannot be asked: {cause}."))
                .correction("Try again; an administrator looks at the directory and at the controller's settings of LDAP."),
            None,
        ),
        NotIn::Unlisted(name) => (
            StatusCode::FORBIDDEN,
            Reply::new(Code::FAIL_SIGN_IN, format!("The certificate of '{name}' lets nobody in."))
                .cause("It is valid, but not among the clients that the controller's settings list.")
                .correction("Add the name to 'https_clients', or use another certificate."),
            None,
        ),
    };
    let mut response = answer::with_status(status, &reply);
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// A document with its secrets replaced. What is no JSON document passes: metrics and pages hold none, and events are rendered without them.
async fn without_secrets(response: Response) -> Response {
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let hidden = match to_bytes(body, HIDDEN_MAX).await {
        Ok(bytes) => hide(&bytes).unwrap_or_else(|| bytes.to_vec()),
        Err(error) => {
            let reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, "The answer is too large to be shown without its secrets.")
                .cause(error.to_string())
                .correction("Ask for less at once, with filters or 'limit'.");
            return answer::with_status(StatusCode::INTERNAL_SERVER_ERROR, &reply);
        }
    };
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(hidden.len()));
    Response::from_parts(parts, Body::from(hidden))
}

/// The same document without secrets; `None`: it has none.
fn hide(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !secrets::may_have_secrets(text) {
        return None;
    }
    // What cannot be read cannot be shown, either.
    let mut document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    secrets::hide(&mut document);
    Some(document.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{hide, without_port};

    #[test]
    fn a_host_loses_its_port_alone() {
        for (host, bare) in [("a:3370", "a"), ("a", "a"), ("[::1]:3370", "[::1]"), ("[::1]", "[::1]"), ("10.0.0.1:80", "10.0.0.1")] {
            assert_eq!(without_port(host), bare);
        }
    }

    #[test]
    fn a_document_keeps_everything_but_its_secrets() {
        let shown = hide(
            br#"[{"name":"web","layer_data":[{"data":{"secret":"hush","port":7000}}],"props":{"DrbdOptions/Net/shared-secret":"hush"}}]"#,
        )
        .unwrap();
        let text = String::from_utf8(shown).unwrap();
        assert!(!text.contains("hush") && text.contains("7000") && text.contains("web"), "{text}");
        assert!(hide(br#"[{"name":"web"}]"#).is_none());
        assert_eq!(hide(br#"{"token":"hush"#).unwrap(), b"null");
    }
}
