//! Who waits for which job. A job without anybody waiting costs nothing here.

use std::collections::HashMap;

use berth_model::ids::{Id, kind};
use berth_model::reply::Reply;
use tokio::sync::watch;

/// What is to be known of a job by whoever waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobNews {
    /// Grows with each sign of life.
    pub beats: u64,
    /// Entries to end the answer with: it ended, or it cannot go on at once.
    pub outcome: Option<Vec<Reply>>,
}

/// All waiting.
#[derive(Debug, Default)]
pub(crate) struct Waiting(HashMap<Id<kind::Job>, watch::Sender<JobNews>>);

impl Waiting {
    /// Waits for a job.
    pub fn join(&mut self, job: Id<kind::Job>) -> watch::Receiver<JobNews> {
        self.0.entry(job).or_default().subscribe()
    }

    /// A sign of life.
    pub fn beat(&self, job: Id<kind::Job>) {
        if let Some(sender) = self.0.get(&job) {
            sender.send_modify(|news| news.beats = news.beats.wrapping_add(1));
        }
    }

    /// The job cannot go on at once; `None`: it goes on.
    pub fn blocked(&self, job: Id<kind::Job>, replies: Option<Vec<Reply>>) {
        if let Some(sender) = self.0.get(&job) {
            sender.send_if_modified(|news| {
                let changed = news.outcome != replies;
                news.outcome = replies;
                changed
            });
        }
    }

    /// The job ended. Those who wait keep what they were told.
    pub fn ended(&mut self, job: Id<kind::Job>, replies: Vec<Reply>) {
        if let Some(sender) = self.0.remove(&job) {
            sender.send_modify(|news| news.outcome = Some(replies));
        }
    }

    /// Forgets jobs for which nobody waits any more.
    pub fn sweep(&mut self) {
        self.0.retain(|_, sender| sender.receiver_count() > 0);
    }
}
