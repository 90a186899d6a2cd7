//! Who is told in the log not to have been let in, and how often.
//!
//! Whoever reaches the port can be refused as often as they like: a line for each would fill the disk and push everything else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{NotIn, Pass};

/// A peer is told so often.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// Peers that are told apart in that time; those above them share one line.
const PEERS_MAX: usize = 100;
/// Bytes of a path that are told.
const PATH_MAX: usize = 200;

/// What was told about one peer, or about those that are not told apart.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    /// Refusals since, without a line.
    silent: u64,
}

/// Refusals of the last minute, by peer. Bounded in memory and in lines, whatever comes.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Peers>);

#[derive(Debug, Default)]
struct Peers {
    /// `None`: who came from where is not known.
    peers: HashMap<Option<IpAddr>, Told>,
    others: Option<Told>,
}

/// A line that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    /// About this peer alone, and not about one of many.
    alone: bool,
    /// Refusals since the last such line.
    silent: u64,
}

impl Peers {
    /// Whether this refusal is told.
    fn refused(&mut self, peer: Option<IpAddr>, now: Instant) -> Option<Line> {
        let known = self.peers.contains_key(&peer);
        if !known && self.peers.len() >= PEERS_MAX {
            self.peers.retain(|_, told| now.duration_since(told.at) < TOLD_AGAIN);
        }
        let alone = known || self.peers.len() < PEERS_MAX;
        let last = if alone { self.peers.get_mut(&peer) } else { self.others.as_mut() };
        let silent = match last {
            Some(told) if now.duration_since(told.at) < TOLD_AGAIN => {
                told.silent = told.silent.saturating_add(1);
                return None;
            }
            Some(told) => told.silent,
            None => 0,
        };
        let told = Told { at: now, silent: 0 };
        if alone {
            self.peers.insert(peer, told);
        } else {
            self.others = Some(told);
        }
        Some(Line { alone, silent })
    }
}

impl Refusals {
    /// Somebody was not let in: a line if one is due. All of them are counted elsewhere (`berth_sign_ins_refused_total`).
    pub fn emit(&self, pass: &Pass, why: &NotIn) {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).refused(pass.peer, Instant::now());
        let Some(Line { alone, silent }) = line else { return };
        let path = pass.path.get(..pass.path.floor_char_boundary(PATH_MAX)).unwrap_or_default();
        if alone {
            tracing::info!(peer = ?pass.peer, path, ?why, not_told_since = silent, "not signed in; more of this peer is told in a minute");
        } else {
            tracing::warn!(peer = ?pass.peer, path, ?why, not_told_since = silent, "not signed in; many peers try, one line a minute tells it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> Option<IpAddr> {
        Some(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, number]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_one_line_a_minute_and_many_peers_have_a_bound() {
        let mut peers = Peers::default();
        let alone = |silent| Some(Line { alone: true, silent });
        assert_eq!(peers.refused(peer(0), Instant::now()), alone(0));
        for _ in 0..300 {
            assert_eq!(peers.refused(peer(0), Instant::now()), None);
        }
        assert_eq!(peers.refused(None, Instant::now()), alone(0));
        tokio::time::advance(TOLD_AGAIN).await;
        assert_eq!(peers.refused(peer(0), Instant::now()), alone(300), "what had no line is counted in the next one");
        let lines = (0..10_000).filter(|number| peers.refused(peer(*number), Instant::now()).is_some()).count();
        assert_eq!(lines, PEERS_MAX, "99 more, and one for all others");
        assert!(peers.peers.len() <= PEERS_MAX);
        tokio::time::advance(TOLD_AGAIN).await;
        assert_eq!(peers.refused(peer(9_999), Instant::now()), alone(0), "there is room again");
    }
}
