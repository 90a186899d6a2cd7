//! Signs of life: when each satellite was heard last. Kept beside the published state, which a mere sign of life does not change.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use berth_model::ids::{Id, kind};
use berth_model::time::Timestamp;

/// The last sign of life of each node, by generation id.
#[derive(Debug, Default)]
pub(crate) struct Signs(Mutex<BTreeMap<Id<kind::Node>, Timestamp>>);

impl Signs {
    /// A message came.
    pub fn heard(&self, node: Id<kind::Node>, at: Timestamp) {
        self.all().insert(node, at);
    }

    /// The node is none of ours any more.
    pub fn forget(&self, node: Id<kind::Node>) {
        self.all().remove(&node);
    }

    /// When the node was heard last; `None`: never since the controller began.
    pub fn last(&self, node: Id<kind::Node>) -> Option<Timestamp> {
        self.all().get(&node).copied()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Id<kind::Node>, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
