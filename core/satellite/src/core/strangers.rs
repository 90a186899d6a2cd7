//! What lies in the pools, carries this cluster's mark, and is named by no item of the plan. It is told, and never touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_model::observed::Stranger;
use berth_model::plan::PlanItem;
use berth_model::size::Kib;
use berth_plugin_sdk::{Fault, MarkKind, Marked};
use uuid::Uuid;

use super::{Core, Event};
use crate::bench::{OpenPool, Pools};
use crate::site::Site;

/// What is known of strangers.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// As last told or to be told; `None`: nobody looked yet.
    known: Option<Vec<Stranger>>,
    /// To be told.
    unsent: bool,
    /// To be looked for.
    due: bool,
    /// They are being looked for.
    looking: bool,
    /// What items named that the plan named otherwise, or no more, since the look began: it may have been seen just before it went.
    left: BTreeSet<Uuid>,
}

/// What an item names: the generation ids of its volumes.
fn named(item: &PlanItem) -> Vec<Uuid> {
    match item {
        PlanItem::Resource(plan) => plan.volumes.iter().map(|volume| volume.id.uuid()).collect(),
        PlanItem::Snapshot(plan) => plan.volumes.iter().map(|volume| volume.id.uuid()).collect(),
    }
}

/// All objects of a cluster in the pools that can be used, ordered by pool and name.
fn list(site: &dyn Site, pools: &Pools, cluster: Uuid) -> Vec<Stranger> {
    let mut all = Vec::new();
    for pool in pools.values().filter(|pool| pool.seen.fault.is_none()) {
        match in_pool(site, pool, cluster) {
            Ok(found) => all.extend(found),
            // The pool's own look will say so.
            Err(fault) => {
                tracing::warn!(pool = %pool.plan.name, message = %fault.message, cause = %fault.cause, "the pool cannot be listed")
            }
        }
    }
    all.sort_by(|a, b| (&a.pool, &a.backing).cmp(&(&b.pool, &b.backing)));
    all
}

fn in_pool(site: &dyn Site, pool: &OpenPool, cluster: Uuid) -> Result<Vec<Stranger>, Fault> {
    if !pool.plan.provider.has_storage() {
        return Ok(Vec::new());
    }
    let Ok(provider) = site.provider(pool.plan.provider, pool.named()) else { return Ok(Vec::new()) };
    let found = provider.calls().list(&*site.machine(&provider, &pool.pool))?;
    let ours = found.into_iter().filter_map(|found| match found.marked {
        Marked::By(mark) if mark.cluster == cluster => Some(Stranger {
            pool: pool.plan.name.clone(),
            backing: found.name.to_string(),
            snapshot: mark.kind == MarkKind::Snapshot,
            id: mark.generation,
            content: mark.content,
            name: mark.name,
            size_kib: Kib(found.size.0),
        }),
        Marked::By(_) | Marked::Unmarked | Marked::Foreign(_) => None,
    });
    Ok(ours.collect())
}

impl Core {
    /// Strangers are to be looked for as soon as all pools are open.
    pub(super) fn strangers_due(&mut self) {
        self.strangers.due = true;
    }

    /// A session begins: what was told to another one may be old.
    pub(super) fn strangers_anew(&mut self) {
        (self.strangers.known, self.strangers.unsent) = (None, false);
        self.strangers_due();
    }

    /// Looks for them, beside the loop, if that is due.
    pub(super) fn look_for_strangers(&mut self) {
        if !self.strangers.due || self.strangers.looking || !self.started || !self.opening.is_empty() {
            return;
        }
        (self.strangers.due, self.strangers.looking) = (false, true);
        let (site, pools, cluster) = (Arc::clone(&self.site), Arc::clone(&self.pools), self.identity.cluster.unwrap_or_default());
        let looked = self.crew.aside(self.site.latency(), move || list(&*site, &pools, cluster));
        let door = self.door.clone();
        self.crew.spawn(async move {
            // After a panic nothing is known; the next scan tries again.
            drop(door.send(Event::Listed(looked.await.ok())).await);
        });
    }

    /// Takes what was found in the pools.
    pub(super) fn listed(&mut self, found: Option<Vec<Stranger>>) {
        self.strangers.looking = false;
        let mut ours = std::mem::take(&mut self.strangers.left);
        let Some(mut found) = found else { return };
        ours.extend(self.held.items.values().flat_map(|item| named(item)));
        found.retain(|one| !ours.contains(&one.id));
        let before = self.strangers.known.as_ref();
        if !found.is_empty() && before != Some(&found) {
            tracing::warn!(count = found.len(), "objects of this cluster lie in the pools that the plan does not name");
        }
        self.strangers.known = Some(found);
        self.strangers.unsent = true;
    }

    /// An item is named by the plan: what it names is no stranger.
    pub(super) fn no_strangers(&mut self, item: &PlanItem) {
        let Some(known) = self.strangers.known.as_mut().filter(|known| !known.is_empty()) else { return };
        let (ids, before) = (named(item), known.len());
        known.retain(|one| !ids.contains(&one.id));
        self.strangers.unsent |= known.len() != before;
    }

    /// An item is named otherwise, or no more.
    pub(super) fn leaves(&mut self, item: &PlanItem) {
        if self.strangers.looking {
            self.strangers.left.extend(named(item));
        }
    }

    pub(super) fn strangers_unsent(&self) -> bool {
        self.strangers.unsent
    }

    /// What is to be told: all of them, if there is news or the whole state is told.
    pub(super) fn tell_strangers(&mut self, whole: bool) -> Option<Vec<Stranger>> {
        let news = std::mem::take(&mut self.strangers.unsent);
        self.strangers.known.clone().filter(|_| news || whole)
    }
}
