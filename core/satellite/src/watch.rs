//! Notices that devices got or lost a user: at once for mounts, within some seconds for programs that open a device exclusively.
//! Within some seconds, too, that somebody else detached a device: its number may serve a foreign file by then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::core::Event;
use crate::machine::Shared;
use crate::usage::{activity, mounted};

/// How often devices are looked at that moved data, or that serve other files than they did.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(10);
/// Served devices are looked at each so many times, even if nothing seems to have happened to any device.
const LOST_TICKS: u32 = 6;
/// Mount tables may change in bursts; looks are at least so far apart.
const MOUNT_PAUSE: Duration = Duration::from_millis(50);
/// How often the thread that waits for the mount table looks whether it is still needed.
const THREAD_TICK: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Runs until `stop`.
pub async fn watch(core: mpsc::Sender<Event>, shared: Arc<Shared>, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let (bell, ended) = (Arc::clone(&changed), stop.clone());
    // A thread of its own: the runtime has no door to this kind of readiness, and would wait for a blocking task at its end.
    let thread = std::thread::Builder::new().name("mounts".into()).spawn(move || wait_for_mounts(&bell, &ended));
    if let Err(error) = thread {
        tracing::warn!(%error, "mounts are noticed late");
    }
    let (mut mounts, mut counters) = (mounted(), activity());
    let mut busy: BTreeSet<String> = BTreeSet::new();
    let (mut events, mut ticks) = (device_events(), 0u32);
    let mut tick = tokio::time::interval(ACTIVITY_INTERVAL);
    loop {
        let by_mount = tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => true,
            _ = tick.tick() => false,
        };
        if by_mount {
            tokio::time::sleep(MOUNT_PAUSE).await;
        }
        let now = mounted();
        let mut devices: BTreeSet<String> = mounts.symmetric_difference(&now).map(|number| path(number)).collect();
        mounts = now;
        if !by_mount {
            let now = activity();
            let moved = differing(&counters, &now);
            counters = now;
            // One more look after the last movement, for the end of the use.
            let asked: BTreeSet<String> = busy.union(&moved).cloned().collect();
            busy = moved;
            // No device of this machine came or went: neither did one of ours.
            let now = device_events();
            let quiet = now.is_some() && now == events && !ticks.is_multiple_of(LOST_TICKS);
            (events, ticks) = (now, ticks.wrapping_add(1));
            if !quiet || !asked.is_empty() {
                let shared = Arc::clone(&shared);
                let look = move || {
                    let lost = if quiet { Vec::new() } else { shared.loops.lost() };
                    (lost, shared.loops.probe(&asked))
                };
                // A panic there is told by the runtime; the next tick tries again.
                let (lost, probed) = tokio::task::spawn_blocking(look).await.unwrap_or_default();
                for device in &lost {
                    tracing::warn!(%device, "somebody else detached a device");
                }
                devices.extend(lost);
                if !probed.is_empty() && core.send(Event::Probed(probed)).await.is_err() {
                    return;
                }
            }
        }
        if !devices.is_empty() && core.send(Event::Used(devices.into_iter().collect())).await.is_err() {
            return;
        }
    }
}

/// Rings at each change of the mount table, which the kernel tells as an exceptional condition (proc(5), mounts).
fn wait_for_mounts(bell: &Notify, ended: &CancellationToken) {
    let table = match File::open("/proc/self/mountinfo") {
        Ok(table) => table,
        Err(error) => return tracing::warn!(%error, "mounts are noticed late"),
    };
    while !ended.is_cancelled() {
        let mut wanted = [PollFd::new(&table, PollFlags::PRI)];
        match poll(&mut wanted, Some(&THREAD_TICK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => bell.notify_one(),
            Err(error) => return tracing::warn!(%error, "mounts are noticed late"),
        }
    }
}

/// How many times something happened to a device of this machine, as the kernel counts it (it tells each attaching and detaching);
/// `None`: it does not say.
fn device_events() -> Option<String> {
    std::fs::read_to_string("/sys/kernel/uevent_seqnum").ok()
}

fn path(number: &str) -> String {
    format!("/dev/loop{}", number.strip_prefix("7:").unwrap_or(number))
}

fn differing(before: &BTreeMap<u32, String>, now: &BTreeMap<u32, String>) -> BTreeSet<String> {
    now.iter().filter(|(number, line)| before.get(*number) != Some(*line)).map(|(number, _)| format!("/dev/loop{number}")).collect()
}
