//! DRBD between simulated machines: which volume gets its data from which, and when.

use std::sync::{Arc, Weak};

use berth_model::plan::{ContentSource, VolumePlan};
use berth_plugin_sdk::{FileSeen, Files, Mark};
use berth_satellite::synchronised;
use uuid::Uuid;

use crate::lie::Lie;
use crate::machine::Machine;

impl Machine {
    /// Lays DRBD's network between machines.
    pub fn connect(all: &[Arc<Self>]) {
        for machine in all {
            let _once = machine.neighbours.set(all.iter().map(Arc::downgrade).collect());
        }
    }

    /// Whether a volume of this generation is on some machine.
    fn peer_has(&self, generation: Uuid) -> bool {
        let marked = |seen: &FileSeen| {
            seen.mark.as_deref().and_then(|mark| Mark::parse(mark).ok()).is_some_and(|mark| mark.generation == generation)
        };
        let machines = self.neighbours.get().into_iter().flatten().filter_map(Weak::upgrade);
        machines.flat_map(|machine| machine.pools().into_values()).any(|pool| pool.list().unwrap_or_default().iter().any(marked))
    }

    /// Whether DRBD calls a volume of this machine up to date. A volume that waits for its peers gets their data as soon as it can reach one
    /// that has it.
    pub(crate) fn up_to_date(&self, volume: &VolumePlan) -> bool {
        if self.world.lies(Lie::ReplicasClaimData) {
            return true;
        }
        let own = volume.id.uuid();
        let apart = self.chance(self.trouble().apart);
        let up_to_date = synchronised(volume, |id| self.checks.holds(id) && (id == own || !apart && self.peer_has(id)));
        if up_to_date && volume.content.source == ContentSource::Peers {
            self.checks.synchronised(own);
        }
        up_to_date
    }
}
