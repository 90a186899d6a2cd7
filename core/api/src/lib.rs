//! The documents of REST API v1.
//!
//! Touches nothing: serde types only. Incoming documents are read leniently (numbers and booleans as texts, words in any case,
//! unknown members ignored, `null` as absent); outgoing ones leave out what is empty, and keep 0 and false.
//! Names and shapes are those of the API; `docs/api.md` says which operations there are.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod auth;
pub mod balance;
pub mod connection;
pub mod definition;
pub mod encryption;
pub mod event;
pub mod explain;
pub mod files;
pub mod group;
pub mod job;
pub mod lenient;
pub mod machine;
pub mod node;
pub mod place;
pub mod plugins;
pub mod pool;
pub mod query;
pub mod reply;
pub mod resource;
pub mod risk;
pub mod seen;
pub mod settings;
pub mod snapshot;
