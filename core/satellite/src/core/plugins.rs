//! Plugins that come and go while the satellite runs.

use std::sync::Arc;
use std::time::Duration;

use berth_model::plan::PoolPlan;
use berth_model::plugin::PluginSeen;
use tokio::sync::oneshot;

use super::{Core, Event};

impl Core {
    /// Looks for plugins again, beside the loop: loading them takes time.
    pub(super) fn look_for_plugins(&mut self, reply: oneshot::Sender<Vec<PluginSeen>>) {
        let (site, door) = (Arc::clone(&self.site), self.door.clone());
        let looking = self.crew.aside(Duration::ZERO, move || site.look_for_plugins());
        self.crew.spawn(async move {
            // What panicked changed nothing that is told.
            let changed = looking.await.unwrap_or(false);
            drop(door.send(Event::PluginsLooked { changed, reply }).await);
        });
    }

    /// Plugins were looked for. Pools are opened anew with what makes their volumes now; what they serve stays served. A controller is told
    /// what the machine can do when it connects, so it is asked to do that again.
    pub(super) fn plugins_looked(&mut self, changed: bool, reply: oneshot::Sender<Vec<PluginSeen>>) {
        if changed {
            self.capabilities = Arc::new(self.site.capabilities());
            let opening = |plan: &&PoolPlan| plan.provider.has_storage() && !self.opening.contains(&plan.name);
            let plans: Vec<PoolPlan> = self.held.pools.values().filter(opening).cloned().collect();
            self.reopen_all(plans, false);
            if self.session.is_some() {
                tracing::info!("plugins changed: the controller is asked to connect again");
                self.close();
            }
        }
        drop(reply.send(self.site.plugins()));
    }
}
