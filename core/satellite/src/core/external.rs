//! External files of the plan: made and looked at beside the loop, one look at a time, and only while a controller has confirmed the plan.

use std::sync::Arc;

use berth_model::observed::FileSeen;

use super::{Core, Event};
use crate::bench::Leave;

/// What is known of external files.
#[derive(Debug, Default)]
pub(super) struct External {
    /// As last seen; `None`: nobody looked.
    seen: Option<Vec<FileSeen>>,
    /// To be told.
    unsent: bool,
    /// To be made and looked at.
    due: bool,
    /// That is being done.
    working: bool,
}

impl Core {
    /// Files are to be made as the plan says, as soon as it counts.
    pub(super) fn files_due(&mut self) {
        self.external.due = true;
    }

    /// Those that failed are tried again.
    pub(super) fn files_again(&mut self) {
        self.external.due |= self.external.seen.iter().flatten().any(|file| file.fault.is_some());
    }

    /// Makes them, beside the loop, if that is due.
    pub(super) fn make_files(&mut self) {
        if !self.external.due || self.external.working || !self.started || self.leave() != Leave::All {
            return;
        }
        let Some(wanted) = self.held.files.clone() else { return };
        (self.external.due, self.external.working) = (false, true);
        let (site, door) = (Arc::clone(&self.site), self.door.clone());
        let made = self.crew.aside(self.site.latency(), move || site.external_files(&wanted));
        self.crew.spawn(async move {
            // After a panic nothing is known; the next scan tries again.
            drop(door.send(Event::FilesMade(made.await.ok())).await);
        });
    }

    /// They were made, as far as that could be.
    pub(super) fn files_made(&mut self, seen: Option<Vec<FileSeen>>) {
        self.external.working = false;
        if let Some(seen) = seen {
            self.external.unsent |= self.external.seen.as_ref() != Some(&seen);
            self.external.seen = Some(seen);
        }
    }

    pub(super) fn files_unsent(&self) -> bool {
        self.external.unsent
    }

    /// What is to be told: all of them, if there is news or the whole state is told.
    pub(super) fn tell_files(&mut self, whole: bool) -> Option<Vec<FileSeen>> {
        let news = std::mem::take(&mut self.external.unsent);
        self.external.seen.clone().filter(|_| news || whole)
    }
}
