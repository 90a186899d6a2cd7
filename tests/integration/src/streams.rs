//! Many open streams of events at once: lively ones, slow ones, and dead ones that read nothing.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};

use crate::wait::within;

/// So many connections are made at once: as many as a listening socket lets wait.
const AT_ONCE: usize = 64;
/// Time for all streams to be open.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// What a slow stream takes at once, and how long it pauses then.
const SLOW_BYTES: usize = 64;
const SLOW_PAUSE: Duration = Duration::from_millis(20);
/// Receive buffer of slow and dead ones: the sender shall notice soon.
const SMALL_BUFFER: u32 = 2048;

/// Longer lines are no names of events and no ids.
const LINE_MAX: usize = 64;

/// How a stream reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at once.
    Lively,
    /// A few bytes at a time.
    Slow,
    /// Nothing after the beginning, until [`Streams::revive`].
    Dead,
}

#[derive(Debug)]
struct One {
    pace: Pace,
    /// Serial of the last change that came; 0: nothing did.
    last: AtomicU64,
    /// Changes that did not follow the one before.
    gaps: AtomicU64,
    /// Events that told of a gap.
    resyncs: AtomicU64,
    ended: AtomicBool,
}

/// Open streams of `/v1/berth/events`; closed with the value.
#[derive(Debug)]
pub struct Streams {
    all: Vec<Arc<One>>,
    revive: Arc<Notify>,
    // Ends the tasks with it.
    runtime: Option<Runtime>,
}

impl Streams {
    /// Opens so many of each pace at a controller (`HOST:PORT`), and waits until each has begun.
    ///
    /// # Errors
    /// If one of them does not begin in time.
    pub fn open(address: &str, counts: &[(Pace, usize)]) -> Result<Self> {
        let address: SocketAddr = address.parse().with_context(|| format!("{address} is no address"))?;
        let count: usize = counts.iter().map(|(_, count)| count).sum();
        raise_file_limit(count)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (revive, turns) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(AT_ONCE)));
        let mut all = Vec::new();
        for pace in counts.iter().flat_map(|(pace, count)| std::iter::repeat_n(*pace, *count)) {
            let one = Arc::new(One {
                pace,
                last: AtomicU64::new(0),
                gaps: AtomicU64::new(0),
                resyncs: AtomicU64::new(0),
                ended: AtomicBool::new(false),
            });
            all.push(Arc::clone(&one));
            let (revive, turns) = (Arc::clone(&revive), Arc::clone(&turns));
            runtime.spawn(async move {
                let why = read(address, &one, &turns, &revive).await;
                one.ended.store(true, Ordering::SeqCst);
                if let Err(error) = why {
                    eprintln!("a stream ended: {error:#}");
                }
            });
        }
        let streams = Self { all, revive, runtime: Some(runtime) };
        within(OPEN_LIMIT, "every stream has begun", || {
            match streams.all.iter().filter(|one| one.last.load(Ordering::SeqCst) == 0).count() {
                0 => Ok(()),
                missing => Err(missing),
            }
        })?;
        Ok(streams)
    }

    /// Lets the dead ones read again, as lively ones do.
    pub fn revive(&self) {
        self.revive.notify_waiters();
    }

    /// Waits until every stream of these paces has all changes up to `serial`.
    ///
    /// # Errors
    /// If one has not in time, has ended, or missed one.
    pub fn wait_for(&self, limit: Duration, paces: &[Pace], serial: u64) -> Result<()> {
        let chosen = || self.all.iter().filter(|one| paces.contains(&one.pace));
        within(limit, &format!("every stream has change {serial}"), || {
            let behind = chosen().filter(|one| one.last.load(Ordering::SeqCst) < serial && !one.ended.load(Ordering::SeqCst)).count();
            if behind == 0 { Ok(()) } else { Err(behind) }
        })?;
        for one in chosen() {
            let (last, gaps, resyncs) =
                (one.last.load(Ordering::SeqCst), one.gaps.load(Ordering::SeqCst), one.resyncs.load(Ordering::SeqCst));
            ensure!(last >= serial, "a {:?} stream ended at {last}", one.pace);
            ensure!(gaps == 0 && resyncs == 0, "a {:?} stream has {gaps} gaps and {resyncs} resyncs", one.pace);
        }
        Ok(())
    }

    /// How many have ended.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.all.iter().filter(|one| one.ended.load(Ordering::SeqCst)).count()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets this process open so many connections.
fn raise_file_limit(count: usize) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = count as u64 + 256;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    }
    let most = getrlimit(Resource::Nofile).current;
    ensure!(most.is_none_or(|most| most >= wanted), "this process may open {most:?} files, {wanted} are needed");
    Ok(())
}

async fn read(address: SocketAddr, one: &One, turns: &Semaphore, revive: &Notify) -> Result<()> {
    let turn = turns.acquire().await?;
    let socket = TcpSocket::new_v4()?;
    if one.pace != Pace::Lively {
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
    }
    // Waiting from the beginning, so that a call to revive is not missed.
    let mut revived = std::pin::pin!(revive.notified());
    revived.as_mut().enable();
    let mut stream = socket.connect(address).await?;
    stream.write_all(b"GET /v1/berth/events HTTP/1.1\r\nHost: berth\r\nAccept: text/event-stream\r\n\r\n").await?;
    let mut turn = Some(turn);
    let mut lines = Lines::default();
    let mut piece = vec![0; 16 << 10];
    let mut dead = one.pace == Pace::Dead;
    loop {
        let take = if one.pace == Pace::Slow { SLOW_BYTES } else { piece.len() };
        let count = stream.read(&mut piece[..take]).await?;
        if count == 0 {
            bail!("the controller closed it");
        }
        lines.take(&piece[..count], one);
        if one.last.load(Ordering::SeqCst) == 0 {
            continue;
        }
        // It is open: the next one may come.
        drop(turn.take());
        if dead {
            revived.as_mut().await;
            dead = false;
        }
        if one.pace == Pace::Slow {
            tokio::time::sleep(SLOW_PAUSE).await;
        }
    }
}

/// Finds `id` and `event` in a stream whose pieces end anywhere. Sizes of chunks lie between, on lines of their own.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    id: Option<u64>,
}

impl Lines {
    fn take(&mut self, piece: &[u8], one: &One) {
        self.rest.extend_from_slice(piece);
        let mut from = 0;
        let mut whole = Vec::new();
        // The system's library looks for the end of a line: a loop of ours, not optimised, would take longer than the controller.
        while let Ok(length) = (&self.rest[from..]).read_until(b'\n', &mut whole)
            && whole.ends_with(b"\n")
        {
            from += length;
            if length > LINE_MAX {
                whole.clear();
                continue;
            }
            let line = String::from_utf8_lossy(&whole).trim_end().to_owned();
            whole.clear();
            if let Some(id) = line.strip_prefix("id: ") {
                self.id = id.trim().split('-').next().and_then(|serial| serial.parse().ok());
            }
            let last = one.last.load(Ordering::SeqCst);
            match (line.as_str(), self.id) {
                ("event: ready", Some(id)) => one.last.store(id.max(1), Ordering::SeqCst),
                ("event: change", Some(id)) => {
                    if id != last + 1 {
                        one.gaps.fetch_add(1, Ordering::SeqCst);
                    }
                    one.last.store(id, Ordering::SeqCst);
                }
                ("event: resync", Some(id)) => {
                    one.resyncs.fetch_add(1, Ordering::SeqCst);
                    one.last.store(id, Ordering::SeqCst);
                }
                _ => {}
            }
        }
        self.rest.drain(..from);
    }
}
