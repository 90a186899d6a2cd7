//! Law 9: what is shown of a node was said by it, nothing older than what was shown before, and not long ago.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_controller::View;
use berth_model::observed::{ConnectionStatus, ItemSeen, Observation};
use berth_proto::up;
use uuid::Uuid;

use super::State;
use crate::network::Connection;
use crate::world::Law;

/// Beyond the silence after which a node counts as lost: one turn of everything.
const SLACK: Duration = Duration::from_secs(3);

/// Connection and number of an observation: later ones are greater.
type Moment = (u64, u64);

/// What nodes said.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Of each node's item: what was said, oldest first; nothing before what was shown last.
    said: BTreeMap<(String, Uuid), Vec<(Moment, ItemSeen)>>,
    /// When a controller last heard of each node.
    heard: BTreeMap<String, Duration>,
}

impl Shown {
    pub fn sent(&mut self, connection: &Connection, observation: &berth_proto::Observation) {
        let Ok(seen) = serde_json::from_slice::<Observation>(&observation.body) else { return };
        for item in seen.items {
            let said = self.said.entry((connection.node.clone(), item.id)).or_default();
            said.push(((connection.number, observation.number), item));
        }
    }

    pub fn delivered(&mut self, connection: &Connection, _message: &up::Message, now: Duration) {
        self.heard.insert(connection.node.clone(), now);
    }
}

pub(super) fn published(state: &mut State, view: &View, now: Duration, silence: Duration) -> Vec<(Law, String)> {
    let mut broken = Vec::new();
    for (name, seen) in &view.observed.nodes {
        match seen.status {
            ConnectionStatus::Online => {}
            ConnectionStatus::Connected | ConnectionStatus::Authenticated => continue,
            ConnectionStatus::Offline
            | ConnectionStatus::VersionMismatch
            | ConnectionStatus::FullSyncFailed
            | ConnectionStatus::AuthenticationError
            | ConnectionStatus::Unknown
            | ConnectionStatus::HostnameMismatch
            | ConnectionStatus::OtherController
            | ConnectionStatus::NoStltConn
            | ConnectionStatus::MissingExtTools
            | ConnectionStatus::DuplicateUname => {
                if !seen.items.is_empty() || !seen.pools.is_empty() {
                    broken.push((Law::Shown, format!("{name} is {}, and its last state is shown", seen.status)));
                }
                continue;
            }
        }
        let Some(heard) = state.shown.heard.get(name.as_str()) else {
            broken.push((Law::Shown, format!("{name} is shown online and never said anything")));
            continue;
        };
        if now.saturating_sub(*heard) > silence + SLACK {
            broken.push((Law::Shown, format!("{name} is shown online and was last heard at {:.3} s", heard.as_secs_f64())));
        }
        for (id, record) in &seen.items {
            let Some(said) = state.shown.said.get_mut(&(name.as_str().to_owned(), *id)) else {
                broken.push((Law::Shown, format!("{name} never spoke of {id}, and it is shown as {:?}", record.seen.standing)));
                continue;
            };
            match said.iter().position(|(_, item)| *item == record.seen) {
                Some(at) => drop(said.drain(..at)),
                None => {
                    let last = said.last().map(|(moment, item)| (moment, item.standing, item.generation));
                    let shown = (record.seen.standing, record.seen.generation);
                    broken.push((
                        Law::Shown,
                        format!("{name} shows {id} as {shown:?}, which is older than what it showed; said last: {last:?}"),
                    ));
                }
            }
        }
    }
    broken
}
