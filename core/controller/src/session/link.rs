//! The slot between the writer and one session: what the satellite must still be told, merged, so that a slow one costs no queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_engine::plan::{self, Touch};
use berth_model::cluster::Cluster;
use berth_model::names::NodeName;
use berth_model::plan::PlanBody;
use tokio::sync::Notify;

/// One session's slot.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pending: Mutex<Pending>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    cluster: Option<Arc<Cluster>>,
    whole: bool,
    touch: Touch,
    closed: bool,
    trace: String,
}

/// What to tell: all of it, or what `touch` names; both as they are in `cluster`.
#[derive(Debug)]
pub(crate) struct Order {
    /// The cluster that the plan is made of; its serial is the plan's generation.
    pub cluster: Arc<Cluster>,
    /// A whole plan.
    pub whole: bool,
    /// Otherwise what changed.
    pub touch: Touch,
    /// Where the oldest of the changes is in a trace; empty: in none.
    pub trace: String,
}

impl Order {
    /// The plan for `node`, which was last told the generation `sent` (0: none): its base (0: it is whole) and its body.
    pub fn body(&self, node: &NodeName, sent: u64) -> (u64, PlanBody) {
        match self.whole || sent == 0 {
            true => (0, plan::whole(&self.cluster, node)),
            false => (sent, plan::partial(&self.cluster, node, &self.touch)),
        }
    }
}

impl Link {
    /// Asks for a whole plan, not older than `cluster`.
    pub fn whole(&self, cluster: Arc<Cluster>) {
        let mut pending = self.pending();
        pending.whole = true;
        pending.newest(cluster);
        drop(pending);
        self.notify.notify_one();
    }

    /// Tells what changed on the way to `cluster`, and where that is in a trace. To be called in the order of the commits, after publishing.
    pub fn changed(&self, cluster: Arc<Cluster>, touch: Touch, trace: &str) {
        let mut pending = self.pending();
        if pending.trace.is_empty() {
            trace.clone_into(&mut pending.trace);
        }
        pending.touch.pools |= touch.pools;
        pending.touch.files |= touch.files;
        pending.touch.items.extend(touch.items);
        pending.newest(cluster);
        drop(pending);
        self.notify.notify_one();
    }

    /// Takes what is to be told to a satellite that was last told the generation `sent`.
    ///
    /// What is not newer than that was told already: a whole plan contains all that led to its cluster.
    pub fn take(&self, sent: u64) -> Option<Order> {
        let mut pending = self.pending();
        let (whole, touch) = (std::mem::take(&mut pending.whole), std::mem::take(&mut pending.touch));
        let trace = std::mem::take(&mut pending.trace);
        let cluster = pending.cluster.take()?;
        drop(pending);
        (whole || cluster.serial > sent).then_some(Order { cluster, whole, touch, trace })
    }

    /// Ends the session; it connects anew at once.
    pub fn close(&self) {
        self.pending().closed = true;
        self.notify.notify_one();
    }

    /// Whether the session shall end.
    pub fn closed(&self) -> bool {
        self.pending().closed
    }

    /// Returns when there may be something to take, or the session shall end. Cancel-safe.
    pub async fn changes(&self) {
        self.notify.notified().await;
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn newest(&mut self, cluster: Arc<Cluster>) {
        if self.cluster.as_ref().is_none_or(|held| held.serial < cluster.serial) {
            self.cluster = Some(cluster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_model::ids::Id;
    use uuid::Uuid;

    fn at(serial: u64) -> Arc<Cluster> {
        let mut cluster = Cluster::empty(Id::from_uuid(Uuid::nil()));
        cluster.serial = serial;
        Arc::new(cluster)
    }

    fn item(number: u128) -> Touch {
        Touch { pools: false, files: false, items: [Uuid::from_u128(number)].into() }
    }

    #[test]
    fn changes_are_merged_and_taken_once() {
        let link = Link::default();
        assert!(link.take(0).is_none());
        link.changed(at(3), item(1), "");
        link.changed(at(4), item(2), "first");
        link.changed(at(4), item(2), "second");
        let order = link.take(2).unwrap();
        assert_eq!(order.trace, "first");
        assert_eq!((order.cluster.serial, order.whole, order.touch.items.len()), (4, false, 2));
        assert!(link.take(4).is_none());
    }

    #[test]
    fn a_whole_plan_covers_what_is_offered_late() {
        let link = Link::default();
        link.whole(at(7));
        assert!(link.take(0).unwrap().whole);
        link.changed(at(6), item(1), "");
        assert!(link.take(7).is_none(), "commit 6 is in the plan of 7");
        link.changed(at(8), item(1), "");
        link.whole(at(7));
        let order = link.take(7).unwrap();
        assert!(order.whole && order.cluster.serial == 8, "never older than what is known");
    }
}
