//! Connections before they are a controller's: whoever comes and says nothing makes room for who comes later, the oldest first, so that no
//! number of silent ones keeps a controller out or takes all of the process's files.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// Connections that may wait for their first words, and for what is agreed on then. Controllers are few.
const KNOCKING_MAX: usize = 256;
/// Time for the first words, and as long again for what is agreed on then.
const WORDS_WITHIN: Duration = Duration::from_secs(10);
/// Pause after the system gives no connection, e.g. for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);
/// How many are let go then.
const LET_GO: usize = 64;
/// The same trouble is told so often.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Those that wait, by the order in which they came.
#[derive(Debug, Default)]
struct Knocking {
    waiting: Mutex<(u64, BTreeMap<u64, CancellationToken>)>,
    told: Mutex<Option<Instant>>,
}

impl Knocking {
    fn waiting(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, CancellationToken>)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more waits; the oldest goes if they are too many.
    fn comes(self: &Arc<Self>) -> Knock {
        let end = CancellationToken::new();
        let mut waiting = self.waiting();
        let (next, all) = &mut *waiting;
        let number = *next;
        *next += 1;
        all.insert(number, end.clone());
        let oldest = if all.len() > KNOCKING_MAX { all.pop_first() } else { None };
        drop(waiting);
        if let Some((_, oldest)) = oldest {
            oldest.cancel();
            self.tell("too many connections say nothing; the oldest are dropped");
        }
        Knock { all: Arc::clone(self), number, end }
    }

    fn make_room(&self) {
        let mut waiting = self.waiting();
        for _ in 0..LET_GO {
            let Some((_, oldest)) = waiting.1.pop_first() else { return };
            oldest.cancel();
        }
    }

    fn tell(&self, what: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| last.elapsed() >= TOLD_AGAIN) {
            *told = Some(Instant::now());
            tracing::warn!(what);
        }
    }
}

/// One that waits, until this is gone.
struct Knock {
    all: Arc<Knocking>,
    number: u64,
    end: CancellationToken,
}

impl Drop for Knock {
    fn drop(&mut self) {
        self.all.waiting().1.remove(&self.number);
    }
}

/// The connections of a listening socket that have said something, and with which `agree` made what is served.
pub fn answered<C, F, A>(listener: TcpListener, agree: A) -> ReceiverStream<std::io::Result<C>>
where
    C: Send + 'static,
    F: Future<Output = std::io::Result<C>> + Send + 'static,
    A: Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
{
    let (ready, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let all = Arc::new(Knocking::default());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Whoever came and went at once is nobody's trouble.
                    if error.kind() != std::io::ErrorKind::ConnectionAborted {
                        all.tell(&format!("a connection cannot be taken: {error}"));
                        all.make_room();
                        tokio::time::sleep(BREATH).await;
                    }
                    continue;
                }
            };
            let knock = all.comes();
            let (ready, agree) = (ready.clone(), agree.clone());
            tokio::spawn(async move {
                let end = knock.end.clone();
                let agreed = tokio::select! {
                    biased;
                    () = end.cancelled() => return,
                    agreed = hear_out(socket, agree) => agreed,
                };
                drop(knock);
                match agreed {
                    Ok(connection) => drop(ready.send(Ok(connection)).await),
                    Err(error) => tracing::debug!(%peer, %error, "a connection came to nothing"),
                }
            });
        }
    });
    ReceiverStream::new(stream)
}

/// Waits for the first words, then agrees.
async fn hear_out<C, F>(socket: TcpStream, agree: impl Fn(TcpStream) -> F) -> std::io::Result<C>
where
    F: Future<Output = std::io::Result<C>>,
{
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    // Else the last piece of an answer waits until those before are acknowledged, which may be put off for 40 ms.
    socket.set_nodelay(true)?;
    if tokio::time::timeout(WORDS_WITHIN, socket.peek(&mut [0])).await.map_err(late)?? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    tokio::time::timeout(WORDS_WITHIN, agree(socket)).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn silent_connections_make_room_and_whoever_speaks_is_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut heard = answered(listener, |socket: TcpStream| async move { Ok(socket) });
        let mut silent = Vec::new();
        for _ in 0..KNOCKING_MAX + 3 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        // The oldest are let go long before their time is over.
        for gone in silent.drain(..3) {
            let mut gone = gone;
            assert_eq!(gone.read(&mut [0]).await.unwrap_or(0), 0);
        }
        let mut speaks = TcpStream::connect(address).await.unwrap();
        speaks.write_all(b"PRI").await.unwrap();
        let mut connection = heard.next().await.unwrap().unwrap();
        let mut first = [0; 3];
        connection.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"PRI", "nothing of it was taken");
        // Whoever was heard does not wait any more.
        connection.write_all(b"ok").await.unwrap();
        for _ in 0..KNOCKING_MAX + 3 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut answer = [0; 2];
        speaks.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ok");
    }
}
