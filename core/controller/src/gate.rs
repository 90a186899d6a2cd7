//! The gate: finds out who a caller is, by certificate, token or directory (contract 4).
//!
//! What they may do then is the engine's to say (`engine::access`).

pub(crate) mod ldap;
mod refusals;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_engine::tokens;
use berth_model::access::{ANYBODY, Caller, Role};
use berth_model::cluster::Cluster;
use berth_model::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::config::SignIn;
use ldap::{Directory, Told};
use refusals::Refusals;

/// How a request came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport {
    /// Over TLS.
    pub tls: bool,
    /// Common name of the client's certificate, which its authority vouches for.
    pub client: Option<String>,
    /// From within this process: the plugin that asks.
    pub inside: Option<String>,
}

/// What a request shows to be let in. A stream that stays open shows it again.
#[derive(Clone, Default)]
pub(crate) struct Pass {
    /// The path, without its query.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// How it came.
    pub transport: Transport,
    /// From where, if that is known.
    pub peer: Option<IpAddr>,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass")
            .field("path", &self.path)
            .field("transport", &self.transport)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotIn {
    /// A token is asked for, and there is none that is any good.
    Token,
    /// Name and password are asked for, and there are none.
    NoPassword,
    /// Another way of signing in than by name and password.
    OtherScheme,
    /// Wrong name or password, or not among those who may.
    WrongPassword,
    /// The directory cannot be asked; why.
    NoDirectory(String),
    /// A certificate that nobody listed; its name.
    Unlisted(String),
}

/// The gate of a controller.
#[derive(Debug)]
pub(crate) struct Gate {
    sign_in: SignIn,
    directory: Option<Directory>,
    https_port: AtomicU16,
    refusals: Refusals,
}

impl Gate {
    /// # Errors
    /// A directory's certificates that cannot be read; why.
    pub fn new(sign_in: SignIn) -> Result<Self, String> {
        let directory = sign_in.ldap.clone().map(Directory::new).transpose()?;
        Ok(Self { sign_in, directory, https_port: AtomicU16::new(0), refusals: Refusals::default() })
    }

    /// A gate that asks nobody.
    #[cfg(test)]
    pub fn open() -> Self {
        Self { sign_in: SignIn::default(), directory: None, https_port: AtomicU16::new(0), refusals: Refusals::default() }
    }

    /// The directory that logins are checked against, as it was set up.
    pub fn ldap(&self) -> Option<&crate::config::Ldap> {
        self.sign_in.ldap.as_ref()
    }

    /// Where HTTPS is served now; `None`: nowhere.
    pub fn https_port(&self) -> Option<u16> {
        Some(self.https_port.load(Ordering::Relaxed)).filter(|port| *port != 0)
    }

    /// Says where HTTPS is served; `None`: nowhere any more.
    pub fn set_https_port(&self, port: Option<u16>) {
        self.https_port.store(port.unwrap_or(0), Ordering::Relaxed);
    }

    /// Tells the log now and then who was not let in.
    pub fn refused(&self, pass: &Pass, why: &NotIn) {
        self.refusals.emit(pass, why);
    }

    /// Who asks.
    pub async fn who(&self, cluster: &Cluster, pass: &Pass, now: Timestamp) -> Result<Caller, NotIn> {
        let Pass { path, authorization, transport, peer } = pass;
        if let Some(plugin) = &transport.inside {
            return Ok(Caller::internal(format!("plugin:{plugin}")));
        }
        let by_token = tokens::asked_for(cluster) && !self.sign_in.ignore_tokens;
        let given = authorization.as_ref().and_then(|value| value.to_str().ok()).map(split);
        let listed = self.listed(transport)?;
        if !by_token && self.directory.is_none() {
            return Ok(listed.unwrap_or_else(Caller::anybody));
        }
        if always_open(path) {
            return Ok(listed.unwrap_or_else(|| Caller::new(ANYBODY, Role::Viewer)));
        }
        match (given, &self.directory) {
            (Some((scheme, token)), _) if by_token && scheme.eq_ignore_ascii_case("bearer") => {
                let digest = digest(token.trim());
                tokens::bearer(cluster, &digest, *peer, now).map(|token| token.caller()).ok_or(NotIn::Token)
            }
            (Some((scheme, text)), Some(directory)) if scheme.eq_ignore_ascii_case("basic") => {
                let (user, password) = basic(text).ok_or(NotIn::WrongPassword)?;
                match directory.ask(&user, &password).await {
                    Told::Is(role) => Ok(Caller::new(format!("user:{user}"), role)),
                    Told::IsNot => Err(NotIn::WrongPassword),
                    Told::Unknown(why) => Err(NotIn::NoDirectory(why)),
                }
            }
            (Some(_), Some(_)) => Err(NotIn::OtherScheme),
            (Some(_), None) => Err(NotIn::Token),
            (None, directory) => match (listed, directory) {
                (Some(caller), _) => Ok(caller),
                (None, Some(directory)) => match directory.public() {
                    Some(role) => Ok(Caller::new(ANYBODY, role)),
                    // Clients look here first for what the controller can do.
                    None if path == "/v1/controller/version" => Ok(Caller::new(ANYBODY, Role::Viewer)),
                    None => Err(NotIn::NoPassword),
                },
                (None, None) => Err(NotIn::Token),
            },
        }
    }

    /// Whoever their certificate alone signs in. A list lets nobody in whom it does not name.
    fn listed(&self, transport: &Transport) -> Result<Option<Caller>, NotIn> {
        let Some(name) = transport.client.as_ref().filter(|_| !self.sign_in.clients.is_empty()) else { return Ok(None) };
        match self.sign_in.clients.get(name) {
            Some(role) => Ok(Some(Caller::new(format!("cert:{name}"), *role))),
            None => Err(NotIn::Unlisted(name.clone())),
        }
    }
}

/// What nobody needs to sign in for: the first page, the web pages, the description of the API (which is the same for everybody), and
/// whether the controller is well.
pub(crate) fn always_open(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/ui" | "/docs" | "/openapi.json") || path.starts_with("/ui/") || path.starts_with("/docs/")
}

/// Reads an `Authorization` header and forgets it: for fuzzing.
#[doc(hidden)]
pub fn read_authorization(value: &str) {
    let (_, text) = split(value);
    drop((basic(text), digest(text.trim())));
}

/// The scheme and the rest of an `Authorization` header.
fn split(value: &str) -> (&str, &str) {
    value.trim().split_once(' ').unwrap_or((value.trim(), ""))
}

/// Name and password of HTTP Basic; `None`: it is none.
fn basic(text: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// SHA-256 of a token as the cluster keeps it: 64 hexadecimal digits.
pub(crate) fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
