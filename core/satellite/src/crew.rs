//! The one way out of the loop: all that takes long or may block is done by the crew.
//!
//! On a machine that blocks it has threads. On a simulated one ([`Site::is_quick`](crate::Site::is_quick)) it has none: everything runs as
//! tasks of the runtime, so that on a runtime of one thread the order of all that happens is the same each time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

/// Does what the loop does not do itself.
#[derive(Debug, Clone)]
pub struct Crew {
    quick: bool,
    killed: CancellationToken,
}

/// Something that was begun beside the loop. It goes on if this is dropped.
#[derive(Debug)]
pub struct Aside<T>(JoinHandle<Option<T>>);

/// Why something that was begun has no result: it panicked, or the satellite was killed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfinished(String);

impl<T> Future for Aside<T> {
    type Output = Result<T, Unfinished>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| match joined {
            Ok(Some(result)) => Ok(result),
            Ok(None) => Err(Unfinished("the satellite was killed".into())),
            Err(error) => Err(Unfinished(error.to_string())),
        })
    }
}

impl Crew {
    /// A crew; a quick one has no threads.
    #[must_use]
    pub fn new(quick: bool) -> Self {
        Self { quick, killed: CancellationToken::new() }
    }

    /// Does something that may block, after `delay` on a simulated machine.
    pub fn aside<T: Send + 'static>(&self, delay: Duration, act: impl FnOnce() -> T + Send + 'static) -> Aside<T> {
        if !self.quick {
            let span = Span::current();
            return Aside(tokio::task::spawn_blocking(move || span.in_scope(|| Some(act()))));
        }
        let later = async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            act()
        };
        Aside(tokio::spawn(unless(self.killed.clone(), later).in_current_span()))
    }

    /// Runs something that waits.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(unless(self.killed.clone(), task)));
    }

    /// Ends everything at once, as the death of the process does. Threads cannot be ended.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    /// Comes to its end when everything was ended.
    pub async fn killed(&self) {
        self.killed.cancelled().await;
    }
}

async fn unless<T>(killed: CancellationToken, task: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        // The dead do nothing more.
        biased;
        () = killed.cancelled() => None,
        result = task => Some(result),
    }
}
