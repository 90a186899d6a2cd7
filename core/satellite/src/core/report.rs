//! What goes up to the controller.

use berth_model::names::NodeName;
use berth_model::observed::{ItemSeen, Observation, PoolSeen, Standing};
use berth_proto::{Observation as Message, up};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Core, Entry};

/// Items in one partial report; the rest follows in the next.
const ITEMS_MAX: usize = 1000;

fn seen(id: Uuid, entry: &Entry) -> ItemSeen {
    let nothing = || ItemSeen { id, generation: 0, standing: Standing::Working, volumes: Vec::new(), fault: None };
    entry.seen.clone().unwrap_or_else(nothing)
}

impl Core {
    fn whole_is_due(&self) -> bool {
        let Some(due) = self.session.as_ref().and_then(|session| session.whole_due) else { return false };
        let looked = self.started && self.opening.is_empty() && self.looks.complete();
        looked || due <= Instant::now()
    }

    /// Looks whom DRBD has a connection to.
    pub(super) fn look_at_peers(&mut self) {
        self.peers_unsent |= self.site.peers() != self.peers;
    }

    fn tell_peers(&mut self, whole: bool) -> Option<Vec<NodeName>> {
        if !std::mem::take(&mut self.peers_unsent) && !whole {
            return None;
        }
        self.peers = self.site.peers();
        self.peers.clone()
    }

    /// Whether there is something to say.
    pub(super) fn has_news(&self) -> bool {
        let Some(session) = &self.session else { return false };
        if !self.outbox.is_empty() {
            return true;
        }
        match session.whole_due {
            Some(_) => self.whole_is_due(),
            None => {
                !self.unsent.is_empty()
                    || !self.unsent_pools.is_empty()
                    || self.strangers_unsent()
                    || self.files_unsent()
                    || self.peers_unsent
            }
        }
    }

    /// The next message up: answers first, then the whole state once, then what has changed.
    pub(super) fn news(&mut self) -> Option<up::Message> {
        if let Some(answer) = self.outbox.pop_front() {
            return Some(answer);
        }
        let whole = self.whole_is_due();
        let (strangers, files, peers) = (self.tell_strangers(whole), self.tell_files(whole), self.tell_peers(whole));
        let observation = if whole {
            if let Some(session) = &mut self.session {
                session.whole_due = None;
            }
            self.unsent.clear();
            self.unsent_pools.clear();
            Observation {
                whole,
                items: self.entries.iter().map(|(id, entry)| seen(*id, entry)).collect(),
                pools: self.pools.values().map(|pool| pool.seen.clone()).collect(),
                strangers,
                files,
                peers,
            }
        } else {
            let later = self.unsent.iter().nth(ITEMS_MAX).copied().map(|first| self.unsent.split_off(&first)).unwrap_or_default();
            let ids = std::mem::replace(&mut self.unsent, later);
            let items = ids.iter().filter_map(|id| self.entries.get(id).map(|entry| seen(*id, entry))).collect();
            let names = std::mem::take(&mut self.unsent_pools);
            let pools: Vec<PoolSeen> = names.iter().filter_map(|name| self.pools.get(name)).map(|pool| pool.seen.clone()).collect();
            Observation { whole, items, pools, strangers, files, peers }
        };
        match serde_json::to_vec(&observation) {
            Ok(body) => {
                let number = self.session.as_mut().map_or(0, |session| {
                    session.told += 1;
                    session.told
                });
                Some(up::Message::Observation(Message { generation: self.held.generation, body, number }))
            }
            Err(error) => {
                tracing::error!(%error, "an observation cannot be written");
                None
            }
        }
    }
}
