//! The words of Berth: names, identities, sizes, the objects of a cluster and the rules each must keep.
//!
//! Touches nothing but memory: no files, no network, no clock, no entropy.
//! The nouns and their JSON spelling are LINSTOR's (REST API v1); what each may contain is said at the type.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod access;
pub mod change;
pub mod cluster;
pub mod codec;
pub mod codes;
pub mod connections;
pub mod few;
pub mod files;
pub mod flags;
pub mod ids;
pub mod inquiry;
pub mod job;
pub mod layers;
pub mod names;
pub mod objects;
pub mod observed;
pub mod plan;
pub mod plugin;
pub mod props;
pub mod reply;
pub mod secrets;
pub mod size;
pub mod snapshot;
pub mod time;
pub mod vault;
