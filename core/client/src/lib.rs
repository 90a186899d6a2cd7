//! The REST API v1 from the outside: what the command line, the plugins and the tests use to reach a controller.
//!
//! This room may open connections to controllers; no other room speaks HTTP as a client.
//! It knows how a request is written ([`Call`]), where controllers are ([`Endpoint`]), how replies are judged
//! ([`Reply`], [`Severity`]) and that controllers are tried in order ([`Client`]). It knows no documents: bodies are JSON values.
//! What plugins do with a cluster is put on top of that ([`storage`]).
#![forbid(unsafe_code)]

mod call;
mod client;
mod endpoint;
mod events;
mod reply;
pub mod storage;
mod tls;

pub use call::{Call, escape};
pub use client::{Client, ClientError, Login, Options, Response};
pub use endpoint::{BadEndpoint, Endpoint, parse_controllers};
pub use events::{Event, Events, read_events};
pub use reply::{Reply, Severity, parse_replies};
pub use reqwest::Method;
pub use tls::{Tls, Trust};
