//! Reads certificates again when their files change, or somebody asks for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::sync::{Notify, watch};

use crate::{Files, server, written};

/// How often it is looked whether files have changed.
const LOOK: Duration = Duration::from_secs(15);

/// Somebody may ask for certificates to be read again: a signal to the process.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<Notify>);

impl Asked {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.notify_waiters();
    }
}

/// What the files of [`Files`] looked like when they were read, by [`written`].
pub type Seen = Vec<Option<(SystemTime, u64)>>;

/// Puts what was read into `newest` whenever the files have changed and fit each other: connections that are made from then on use it. It ends
/// when nobody has use for it any more. What does not fit is told once for each change, and what was read before stays.
/// `known`: what [`written`] said before they were read the first time.
pub async fn renew(files: &Files, protocols: &[&[u8]], mut known: Seen, asked: &Asked, newest: &watch::Sender<Arc<ServerConfig>>) {
    let mut refused = None;
    while !newest.is_closed() {
        let by_hand = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = asked.0.notified() => true,
            () = newest.closed() => return,
        };
        let now = written(files);
        if !by_hand && (now == known || refused.as_ref() == Some(&now)) {
            continue;
        }
        match server(files, protocols) {
            Ok(config) => {
                (known, refused) = (now, None);
                newest.send_replace(Arc::new(config));
                tracing::info!(certificate = %files.certificate.file.display(), "new certificates are in use");
            }
            // A file may be half written: the old ones serve until the new ones fit.
            Err(error) => {
                refused = Some(now);
                tracing::warn!(%error, correction = error.correction(), "the new certificates cannot be used; the old ones still are");
            }
        }
    }
}
