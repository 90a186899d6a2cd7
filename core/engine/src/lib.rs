//! The brain: every rule of Berth as a function of values.
//!
//! Touches nothing but memory and cannot wait: no clock (time is an argument), no entropy (ids come with the request), no I/O.
//! `apply` decides about a command, `plan` says what shall be on a node, `jobs::advance` moves durable jobs on by what was seen,
//! `reconcile` says what a satellite must do next.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod access;
pub mod adoption;
pub mod apply;
pub mod autosnap;
pub mod balance;
pub mod blocks;
pub mod change_props;
pub mod command;
pub mod connections;
pub mod content;
pub mod copies;
pub mod definitions;
pub mod deletion;
pub mod draft;
pub mod drbd;
pub mod drift;
pub mod eviction;
pub mod explain;
pub mod files;
pub mod groups;
pub mod import;
pub mod jobs;
pub mod lookup;
pub mod nodes;
pub mod numbers;
pub mod placement;
pub mod places;
pub mod plan;
pub mod pools;
pub mod promotion;
pub mod proxy;
pub mod reconcile;
pub mod rename;
pub mod resources;
pub mod risk;
pub mod settings;
pub mod sizes;
pub mod snapshots;
pub mod spawn;
pub mod stack;
pub mod tending;
pub mod tiebreaker;
pub mod tokens;
pub mod vault;

#[cfg(test)]
mod testkit;
