//! The socket with bounds: what listens here shares its open files with the satellite.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixListener;
use tokio::net::unix::SocketAddr;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at one time; those above it wait in the kernel's queue.
const AT_ONCE: usize = 256;
/// Whoever connects says something within this time.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(20);

/// A listening socket that lets so many in.
pub struct Bounded {
    inner: UnixListener,
    free: Arc<Semaphore>,
    first_word_within: Duration,
}

impl Bounded {
    /// Bounds a socket.
    #[must_use]
    pub fn new(inner: UnixListener) -> Self {
        Self::with(inner, AT_ONCE, FIRST_WORD_WITHIN)
    }

    fn with(inner: UnixListener, at_once: usize, first_word_within: Duration) -> Self {
        Self { inner, free: Arc::new(Semaphore::new(at_once)), first_word_within }
    }
}

/// A connection; its place is free when it ends.
pub struct Connection<S> {
    stream: S,
    /// Until the first word was said.
    patience: Option<Pin<Box<Sleep>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Listener for Bounded {
    type Io = Connection<tokio::net::UnixStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed; without a place the connection is let in all the same.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.inner).await;
        let patience = Some(Box::pin(tokio::time::sleep(self.first_word_within)));
        (Connection { stream, patience, _place: place }, address)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.patience = None;
        } else if self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn a_place_is_kept_by_nobody_who_says_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s");
            let router = axum::Router::new().route("/", axum::routing::get(async || "here"));
            let bounded = Bounded::with(UnixListener::bind(&path).unwrap(), 2, Duration::from_millis(50));
            let server = tokio::spawn(async move { axum::serve(bounded, router).await });
            // More of them than have a place.
            let mut silent = Vec::new();
            for _ in 0..5 {
                silent.push(UnixStream::connect(&path).await.unwrap());
            }
            let mut asks = UnixStream::connect(&path).await.unwrap();
            asks.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut said = String::new();
            asks.read_to_string(&mut said).await.unwrap();
            assert!(said.ends_with("here"), "{said}");
            server.abort();
        });
    }
}
