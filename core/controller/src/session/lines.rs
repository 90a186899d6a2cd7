//! Questions to satellites beside their plans. A line is open as long as the session is; what was asked and not answered then never will be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_model::ids::{Id, kind};
use berth_model::inquiry::{Answer, Question};
use tokio::sync::{mpsc, oneshot};

/// Questions to one satellite that may wait.
const WAITING: usize = 16;
/// Questions to one satellite that may be open; the oldest is given up for a newer one.
const OPEN: usize = 64;
/// How long an answer may take. Satellites run tools for it, which have a deadline of their own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silent {
    /// There is no session with the satellite.
    #[error("its satellite is not connected")]
    Offline,
    /// The satellite is of a version that answers no questions.
    #[error("its satellite is of a version that answers no questions")]
    TooOld,
    /// The session ended before the answer, or the satellite takes no messages.
    #[error("the connection to its satellite was lost before it answered")]
    Lost,
    /// No answer came in time.
    #[error("its satellite did not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// The answer cannot be read.
    #[error("the answer of its satellite cannot be read")]
    Unreadable,
}

/// A question on its way.
#[derive(Debug)]
struct Asking {
    body: Vec<u8>,
    answer: oneshot::Sender<Vec<u8>>,
}

/// The asking end of a session; `None`: the satellite answers no questions.
#[derive(Debug, Clone)]
pub(crate) struct Line(Option<mpsc::Sender<Asking>>);

/// What a session takes questions from.
#[derive(Debug)]
pub(crate) struct Questions(Option<mpsc::Receiver<Asking>>);

impl Line {
    /// A line to a satellite that answers.
    pub fn open() -> (Self, Questions) {
        let (ask, asked) = mpsc::channel(WAITING);
        (Self(Some(ask)), Questions(Some(asked)))
    }

    /// A line to one that does not.
    pub fn none() -> (Self, Questions) {
        (Self(None), Questions(None))
    }
}

/// The lines to all satellites that are connected.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<BTreeMap<Id<kind::Node>, (u64, Line)>>);

/// Closes a line when it is dropped, unless a newer session has opened another.
#[derive(Debug)]
pub(crate) struct Open {
    lines: Arc<Lines>,
    node: Id<kind::Node>,
    session: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.lines.all();
        if all.get(&self.node).is_some_and(|(session, _)| *session == self.session) {
            all.remove(&self.node);
        }
    }
}

impl Lines {
    /// Opens the line of a session.
    pub fn open(self: &Arc<Self>, node: Id<kind::Node>, session: u64, line: Line) -> Open {
        self.all().insert(node, (session, line));
        Open { lines: Arc::clone(self), node, session }
    }

    /// Asks and waits for the answer.
    pub async fn ask(&self, node: Id<kind::Node>, question: &Question) -> Result<Answer, Silent> {
        let line = self.all().get(&node).map(|(_, line)| line.clone()).ok_or(Silent::Offline)?;
        let line = line.0.ok_or(Silent::TooOld)?;
        let body = serde_json::to_vec(question).map_err(|_| Silent::Unreadable)?;
        let (answer, told) = oneshot::channel();
        let asked = async {
            line.send(Asking { body, answer }).await.map_err(|_| Silent::Lost)?;
            told.await.map_err(|_| Silent::Lost)
        };
        let told = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| Silent::Late)??;
        serde_json::from_slice(&told).map_err(|_| Silent::Unreadable)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Id<kind::Node>, (u64, Line)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The questions of one session that are open.
#[derive(Debug)]
pub(crate) struct Asked {
    asked: Questions,
    last: u64,
    open: BTreeMap<u64, oneshot::Sender<Vec<u8>>>,
}

impl Asked {
    pub fn new(asked: Questions) -> Self {
        Self { asked, last: 0, open: BTreeMap::new() }
    }

    /// The next question with its number. Cancel-safe.
    pub async fn next(&mut self) -> (u64, Vec<u8>) {
        let asking = match &mut self.asked.0 {
            Some(asked) => asked.recv().await,
            None => None,
        };
        let Some(Asking { body, answer }) = asking else { return std::future::pending().await };
        self.last = self.last.wrapping_add(1);
        // Who does not wait any more is forgotten first.
        self.open.retain(|_, answer| !answer.is_closed());
        if self.open.len() >= OPEN {
            self.open.pop_first();
        }
        self.open.insert(self.last, answer);
        (self.last, body)
    }

    /// An answer came.
    pub fn told(&mut self, number: u64, body: &[u8]) {
        if let Some(answer) = self.open.remove(&number) {
            // Whoever asked may have gone.
            let _ = answer.send(body.to_vec());
        }
    }

    /// The question could not be passed on.
    pub fn drop_question(&mut self, number: u64) {
        self.open.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u128) -> Id<kind::Node> {
        Id::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[tokio::test(start_paused = true)]
    async fn each_question_gets_its_own_answer_or_learns_that_none_comes() {
        let lines = Arc::new(Lines::default());
        assert_eq!(lines.ask(node(1), &Question::Settings).await, Err(Silent::Offline));
        let (old, _none) = Line::none();
        let old = lines.open(node(2), 1, old);
        assert_eq!(lines.ask(node(2), &Question::Settings).await, Err(Silent::TooOld));
        drop(old);
        assert_eq!(lines.ask(node(2), &Question::Settings).await, Err(Silent::Offline));

        let (line, asked) = Line::open();
        let open = lines.open(node(1), 7, line);
        let mut session = Asked::new(asked);
        let answer = |devices| Answer::Devices { devices };
        let (first, second, ()) = tokio::join!(lines.ask(node(1), &Question::Devices), lines.ask(node(1), &Question::Settings), async {
            let (one, _) = session.next().await;
            let (two, body) = session.next().await;
            assert_eq!(serde_json::from_slice::<Question>(&body).unwrap(), Question::Settings);
            session.told(99, b"nobody asked");
            session.told(two, br#"{"answer":"of tomorrow"}"#);
            session.told(one, br#"{"answer":"devices","devices":[]}"#);
        });
        assert_eq!((first, second), (Ok(answer(Vec::new())), Ok(Answer::Unknown)));
        let (nonsense, ()) = tokio::join!(lines.ask(node(1), &Question::Devices), async {
            let (number, _) = session.next().await;
            session.told(number, b"\xff");
        });
        assert_eq!(nonsense, Err(Silent::Unreadable));
        let late = lines.ask(node(1), &Question::Devices);
        let (late, _) = tokio::join!(late, session.next());
        assert_eq!(late, Err(Silent::Late));
        let (lost, ()) = tokio::join!(lines.ask(node(1), &Question::Devices), async {
            let (number, _) = session.next().await;
            session.drop_question(number);
        });
        assert_eq!(lost, Err(Silent::Lost));
        // A newer session's line is not closed by the end of an older one.
        let (newer, _asked) = Line::open();
        let newer = lines.open(node(1), 8, newer);
        drop((open, session));
        assert!(lines.all().contains_key(&node(1)));
        drop(newer);
        assert!(lines.all().is_empty());
    }
}
