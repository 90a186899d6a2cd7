//! The network between controllers and satellites: messages are late, lost, doubled and overtaken; links are cut without a word;
//! machines hang; an old connection comes twice.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_controller::outside::{Dial, Dialing};
use berth_model::observed::Observation;
use berth_proto::{Down, Hello, Up, down, up};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::check::Checks;
use crate::lie::Lie;
use crate::machine::Guest;
use crate::world::{Draw, World};

/// Messages that one direction of a connection holds.
const ON_THE_WAY: usize = 64;
/// Messages that wait to be read.
const UNREAD: usize = 32;
/// A machine that hangs is looked at again after this.
const HANGING: Duration = Duration::from_millis(50);

/// How the network treats messages, in a thousand each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Lost.
    pub lost: u32,
    /// Delivered twice.
    pub doubled: u32,
    /// Later than those sent after it.
    pub overtaken: u32,
    /// Up to three seconds late.
    pub late: u32,
    /// Connections that one side believes in and the other never hears of again.
    pub half_open: u32,
    /// Connections whose hello comes once more, on a connection of its own.
    pub repeated: u32,
}

/// The network.
#[derive(Debug)]
pub struct Network {
    world: World,
    checks: Arc<Checks>,
    places: Mutex<BTreeMap<SocketAddr, Place>>,
    weather: Mutex<Weather>,
    rng: Mutex<fastrand::Rng>,
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    name: String,
    guest: Option<Arc<Guest>>,
    cut: bool,
    hangs: bool,
}

/// A direction of a connection.
struct Pipe<T> {
    network: Arc<Network>,
    connection: Arc<Connection>,
    from: mpsc::Receiver<T>,
    to: mpsc::Sender<T>,
    /// What is noticed of a message as it is sent and as it is delivered.
    sent: fn(&Network, &Connection, &T),
    delivered: fn(&Network, &Connection, &T),
    /// What an old message looks like as a new one.
    renewed: fn(&T, &T) -> Option<T>,
    word: fn(&T) -> String,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Counts connections.
    pub number: u64,
    /// Epoch of its hello.
    pub epoch: u64,
    /// Name of its node.
    pub node: String,
    /// The satellite's process.
    pub guest: Arc<Guest>,
    /// The controller's process.
    pub caller: Arc<AtomicBool>,
    address: SocketAddr,
    half_open: bool,
}

impl Network {
    /// A network without machines.
    #[must_use]
    pub fn new(world: &World, checks: Arc<Checks>) -> Self {
        Self {
            world: world.clone(),
            checks,
            places: Mutex::default(),
            weather: Mutex::default(),
            rng: Mutex::new(world.fork("network")),
            connections: AtomicU64::new(0),
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the weather for messages from now on.
    pub fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    fn place(&self, address: SocketAddr, edit: impl FnOnce(&mut Place)) {
        edit(self.places().entry(address).or_default());
    }

    /// A satellite process listens, or none does.
    pub fn settle(&self, address: SocketAddr, name: &str, guest: Option<Arc<Guest>>) {
        self.place(address, |place| (place.name, place.guest) = (name.to_owned(), guest));
    }

    /// Cuts the link of a machine without a word to anybody, or joins it again.
    pub fn cut(&self, address: SocketAddr, cut: bool) {
        self.place(address, |place| place.cut = cut);
    }

    /// Stops a process (SIGSTOP), or lets it go on.
    pub fn hang(&self, address: SocketAddr, hangs: bool) {
        self.place(address, |place| place.hangs = hangs);
    }

    fn is_cut(&self, address: SocketAddr) -> bool {
        self.places().get(&address).is_none_or(|place| place.cut)
    }

    fn hangs(&self, address: SocketAddr) -> bool {
        self.places().get(&address).is_some_and(|place| place.hangs)
    }

    /// How the controller that is alive as long as `caller` reaches satellites.
    #[must_use]
    pub fn dialer(self: &Arc<Self>, caller: Arc<AtomicBool>) -> Arc<dyn Dial> {
        Arc::new(Dialer { network: Arc::clone(self), caller })
    }

    async fn dial(
        self: Arc<Self>,
        address: SocketAddr,
        hello: Hello,
        caller: Arc<AtomicBool>,
    ) -> Result<berth_controller::outside::Wire, String> {
        let (delay, half_open, repeated) = {
            let (mut rng, weather) = (self.rng(), self.weather());
            (rng.millis(0, 5), rng.permille(weather.half_open), rng.permille(weather.repeated))
        };
        tokio::time::sleep(delay).await;
        if self.is_cut(address) {
            // Nobody answers, not even with a refusal.
            return std::future::pending().await;
        }
        let guest = self.places().get(&address).and_then(|place| place.guest.clone()).filter(|guest| guest.is_alive());
        let Some(guest) = guest else { return Err(format!("{address}: connection refused")) };
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (epoch, node) = (hello.epoch, hello.node_name.clone());
        self.world.note(&format!("connection {number} to {node}, epoch {epoch}{}", if half_open { ", half open" } else { "" }));
        let connection = Arc::new(Connection { number, epoch, node, guest: Arc::clone(&guest), caller, address, half_open });
        let (down, from) = mpsc::channel(4);
        let to = self.converse(&guest, &connection, from);
        // The queue is empty and has room.
        let first = Down { message: Some(down::Message::Hello(hello.clone())) };
        let _ = down.try_send(first.clone());
        if repeated {
            // The same hello again on a connection that nobody reads: somebody repeated a packet.
            self.world.note(&format!("connection {number} comes twice"));
            let (again, stream) = mpsc::channel(1);
            let _ = again.try_send(Ok(first));
            let (up, _nobody) = mpsc::channel(UNREAD);
            let later = self.rng().millis(0, 2000);
            tokio::spawn(async move {
                tokio::time::sleep(later).await;
                guest.converse(ReceiverStream::new(stream), up).await;
                drop(again);
            });
        }
        Ok((down, Box::pin(ReceiverStream::new(to))))
    }

    /// Starts a conversation with a satellite; returns what comes up.
    fn converse(
        self: &Arc<Self>,
        guest: &Arc<Guest>,
        connection: &Arc<Connection>,
        from: mpsc::Receiver<Down>,
    ) -> mpsc::Receiver<Result<Up, Status>> {
        let (deliver_down, down) = mpsc::channel(UNREAD);
        let (up, from_up) = mpsc::channel(UNREAD);
        let (deliver_up, to) = mpsc::channel(UNREAD);
        // Downward messages become results where they arrive.
        let (raw, mut raw_end) = mpsc::channel::<Down>(UNREAD);
        tokio::spawn(async move {
            while let Some(message) = raw_end.recv().await {
                if deliver_down.send(Ok(message)).await.is_err() {
                    return;
                }
            }
        });
        let satellite = Arc::clone(guest);
        tokio::spawn(async move { satellite.converse(ReceiverStream::new(down), up).await });
        let downward = Pipe {
            network: Arc::clone(self),
            connection: Arc::clone(connection),
            from,
            to: raw,
            sent: |network, connection, message| network.checks.sent_down(connection, message),
            delivered: |_, _, _| {},
            renewed: |_, _| None,
            word: word_down,
        };
        let upward = Pipe {
            network: Arc::clone(self),
            connection: Arc::clone(connection),
            from: from_up,
            to: deliver_up,
            sent: |network, connection, message| network.checks.sent_up(connection, message),
            delivered: |network, connection, message| network.checks.delivered_up(connection, message),
            renewed: renewed_up,
            word: word_up,
        };
        tokio::spawn(downward.run(|connection| connection.caller.load(Ordering::Relaxed)));
        tokio::spawn(upward.run(|connection| connection.guest.is_alive()));
        to
    }
}

#[derive(Debug)]
struct Dialer {
    network: Arc<Network>,
    caller: Arc<AtomicBool>,
}

impl Dial for Dialer {
    fn dial(&self, address: SocketAddr, hello: Hello) -> Dialing<'_> {
        Box::pin(Arc::clone(&self.network).dial(address, hello, Arc::clone(&self.caller)))
    }
}

impl<T: Clone + Send + 'static> Pipe<T> {
    async fn run(mut self, sender_lives: fn(&Connection) -> bool) {
        let (network, connection) = (Arc::clone(&self.network), Arc::clone(&self.connection));
        let mut on_the_way: BTreeMap<(Instant, u64), T> = BTreeMap::new();
        let mut lately: VecDeque<T> = VecDeque::new();
        let (mut count, mut last, mut open) = (0u64, Instant::now(), true);
        let silent = connection.half_open;
        loop {
            let next = on_the_way.first_key_value().map(|((at, _), _)| *at);
            tokio::select! {
                biased;
                () = self.to.closed() => return,
                message = self.from.recv(), if open && on_the_way.len() < ON_THE_WAY => {
                    let Some(message) = message.filter(|_| sender_lives(&connection)) else {
                        open = false;
                        if network.is_cut(connection.address) || silent {
                            // The end does not arrive either: the other side waits until it loses its patience.
                            self.to.closed().await;
                            return;
                        }
                        if on_the_way.is_empty() {
                            return;
                        }
                        continue;
                    };
                    (self.sent)(&network, &connection, &message);
                    // On a half open connection nothing follows the greeting.
                    let weather = network.weather();
                    let mut rng = network.rng();
                    let lost = rng.permille(weather.lost) || (silent && count > 0);
                    let copies = if rng.permille(weather.doubled) { 2 } else { 1 };
                    if lost {
                        network.world.note(&format!("lost: {} {}", connection.number, (self.word)(&message)));
                    }
                    for _ in 0..if lost { 0 } else { copies } {
                        let mut delay = rng.millis(0, 3);
                        if rng.permille(weather.late) {
                            delay = rng.millis(100, 3000);
                        }
                        let mut at = Instant::now() + delay;
                        if !rng.permille(weather.overtaken) {
                            at = at.max(last);
                            last = at;
                        }
                        count += 1;
                        on_the_way.insert((at, count), message.clone());
                    }
                    if network.world.lies(Lie::OldReportAsNew) {
                        lately.push_back(message.clone());
                        let old = (lately.len() > 3 && rng.permille(300)).then(|| lately.pop_front()).flatten();
                        if let Some(renewed) = old.and_then(|old| (self.renewed)(&old, &message)) {
                            count += 1;
                            on_the_way.insert((last, count), renewed);
                        }
                    }
                }
                () = until(next) => {
                    if network.hangs(connection.address) {
                        tokio::time::sleep(HANGING).await;
                        continue;
                    }
                    let Some((_, message)) = on_the_way.pop_first() else { continue };
                    if network.is_cut(connection.address) {
                        network.world.note(&format!("cut: {} {}", connection.number, (self.word)(&message)));
                    } else {
                        network.world.note(&format!("{} {}", connection.number, (self.word)(&message)));
                        (self.delivered)(&network, &connection, &message);
                        if self.to.send(message).await.is_err() {
                            return;
                        }
                    }
                    if !open && on_the_way.is_empty() {
                        return;
                    }
                }
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// An old observation under the number that comes after `last`.
fn renewed_up(old: &Result<Up, Status>, last: &Result<Up, Status>) -> Option<Result<Up, Status>> {
    let (Ok(Up { message: Some(up::Message::Observation(old)) }), Ok(Up { message: Some(up::Message::Observation(last)) })) = (old, last)
    else {
        return None;
    };
    let mut renewed = old.clone();
    renewed.number = last.number + 1;
    Some(Ok(Up { message: Some(up::Message::Observation(renewed)) }))
}

fn word_report(body: &[u8]) -> String {
    let Ok(seen) = serde_json::from_slice::<Observation>(body) else { return "nonsense".to_owned() };
    let mut words = Vec::new();
    if seen.whole {
        words.push("whole".to_owned());
    }
    for item in &seen.items {
        let id = item.id.simple().to_string();
        let why = item.fault.as_ref().map(|fault| format!(" ({})", fault.message)).unwrap_or_default();
        words.push(format!("{} {:?} at {}{why}", id.get(24..).unwrap_or(&id), item.standing, item.generation));
    }
    for pool in &seen.pools {
        words.push(match &pool.fault {
            Some(fault) => format!("pool {}: {}", pool.name, fault.message),
            None => format!("pool {}", pool.name),
        });
    }
    words.extend(seen.strangers.map(|strangers| format!("{} strangers", strangers.len())));
    words.join(", ")
}

fn word_down(message: &Down) -> String {
    match &message.message {
        Some(down::Message::Hello(hello)) => format!("↓ hello of epoch {}", hello.epoch),
        Some(down::Message::Plan(plan)) => {
            format!("↓ plan {}.{} on {} of {} bytes", plan.epoch, plan.generation, plan.base, plan.body.len())
        }
        Some(down::Message::Ping(ping)) => format!("↓ ping {} at {}", ping.number, ping.generation),
        Some(down::Message::NeedReport(need)) => format!("↓ needs reports after {}", need.number),
        Some(down::Message::Ask(ask)) => format!("↓ question {}", ask.number),
        None => "↓ nothing".to_owned(),
    }
}

fn word_up(message: &Result<Up, Status>) -> String {
    match message {
        Err(status) => format!("↑ error: {}", status.message()),
        Ok(Up { message: Some(message) }) => match message {
            up::Message::Welcome(welcome) => format!("↑ welcome at {}", welcome.generation),
            up::Message::Refusal(refusal) => format!("↑ refusal: {}", refusal.detail),
            up::Message::Observation(seen) => format!("↑ report {} at {}: {}", seen.number, seen.generation, word_report(&seen.body)),
            up::Message::NeedWhole(need) => format!("↑ needs a whole plan at {}", need.generation),
            up::Message::Told(told) => format!("↑ answer {}", told.number),
            up::Message::Pong(pong) => format!("↑ pong {} after {}", pong.number, pong.observations),
            up::Message::StalePlan(stale) => format!("↑ stale plan {}, holds {}.{}", stale.offered, stale.held_epoch, stale.held),
        },
        Ok(Up { message: None }) => "↑ nothing".to_owned(),
    }
}
