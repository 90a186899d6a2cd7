//! What a controller asks of a satellite beside its plan: questions about the machine and the process, answered at once or not at all.
//! Nothing of it is stored, and nothing of a plan depends on it.
//!
//! Also what both daemons let be changed while they run: how much they log ([`LogControl`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::layers::words;

words!(
    /// How much is logged (REST API v1: `LogLevel`).
    LogLevel {
        /// What failed.
        Error = "ERROR",
        /// What will not go well.
        Warn = "WARN",
        /// What happens.
        Info = "INFO",
        /// How it happens.
        Debug = "DEBUG",
        /// Every step.
        Trace = "TRACE",
    }
);

/// How much a process logs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevels {
    /// The libraries in it.
    pub libraries: LogLevel,
    /// Berth's own parts.
    pub own: LogLevel,
}

/// A change of how much is logged; what is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogChange {
    /// The libraries.
    #[serde(default)]
    pub libraries: Option<LogLevel>,
    /// Berth's own parts.
    #[serde(default)]
    pub own: Option<LogLevel>,
}

/// A process's log, which can be turned up and down while it runs.
pub trait LogControl: Send + Sync + std::fmt::Debug {
    /// How much is logged now.
    fn levels(&self) -> LogLevels;

    /// Logs so much from now on, until the process ends or it is changed again.
    ///
    /// # Errors
    /// Why it stays as it is, a sentence.
    fn change(&self, change: LogChange) -> Result<LogLevels, String>;

    /// What was logged last, as far as it is remembered, the oldest first: for support. Lines without their ends.
    fn recent(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A log that only remembers what it is told: of simulated machines, and of a process without one.
#[derive(Debug)]
pub struct RememberedLog(std::sync::Mutex<LogLevels>);

impl Default for RememberedLog {
    fn default() -> Self {
        Self(std::sync::Mutex::new(LogLevels { libraries: LogLevel::Info, own: LogLevel::Info }))
    }
}

impl LogControl for RememberedLog {
    fn levels(&self) -> LogLevels {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change(&self, change: LogChange) -> Result<LogLevels, String> {
        let mut levels = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *levels = levels.after(change);
        Ok(*levels)
    }
}

impl LogLevels {
    /// These with a change made.
    #[must_use]
    pub fn after(self, change: LogChange) -> Self {
        Self { libraries: change.libraries.unwrap_or(self.libraries), own: change.own.unwrap_or(self.own) }
    }
}

/// A question to a satellite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "snake_case")]
pub enum Question {
    /// How it was started, and how much it logs.
    Settings,
    /// Log so much from now on.
    Log {
        /// How much.
        change: LogChange,
    },
    /// Its block devices that nobody uses.
    Devices,
    /// Run `drbd-reactorctl`.
    Reactor {
        /// What it is to do.
        verb: ReactorVerb,
        /// Its options and the names of plugins, each a word of its own; see [`is_plain`].
        words: Vec<String>,
    },
    /// What support needs of it: the end of its log, and which tools it has.
    Support,
    /// A question of a later version.
    #[serde(other)]
    Unknown,
}

words!(
    /// What `drbd-reactorctl` can be told to do.
    ReactorVerb {
        /// Say how plugins stand.
        Status = "status",
        /// Have another node take over.
        Evict = "evict",
        /// Stop a plugin from being started.
        Disable = "disable",
        /// Let it be started.
        Enable = "enable",
        /// Start it anew.
        Restart = "restart",
    }
);

/// Options of `drbd-reactorctl` that may be passed on.
pub const REACTOR_OPTIONS: &[&str] = &["--now"];

/// Whether a word can be given to a tool as a name: letters, digits, `.`, `_` and `-`, not beginning with `-`, at most 255 of them.
#[must_use]
pub fn is_plain(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !word.is_empty() && word.len() <= 255 && !word.starts_with('-') && word.chars().all(fits)
}

/// How a satellite was started, and how much it logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SatelliteSettings {
    /// Its data folder; empty: it has none.
    pub data: String,
    /// Where it listens for controllers.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// Whether sessions are encrypted.
    #[serde(default)]
    pub tls: bool,
    /// Node name that it insists on.
    #[serde(default)]
    pub name: Option<String>,
    /// How much it logs.
    pub log: LogLevels,
}

/// A block device that nobody uses: whole, larger than 1 GiB, without a partition, a holder, a signature or a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeDevice {
    /// Its path, e.g. `/dev/sdb`.
    pub device: String,
    /// Bytes.
    pub size: u64,
    /// Whether it turns.
    pub rotational: bool,
    /// What its maker calls it; empty: not told.
    #[serde(default)]
    pub model: String,
    /// Its serial number; empty: not told.
    #[serde(default)]
    pub serial: String,
    /// Its world wide name; empty: not told.
    #[serde(default)]
    pub wwn: String,
}

/// What a tool said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit code; -1: it did not run to its end.
    pub code: i32,
    /// What it wrote.
    #[serde(default)]
    pub stdout: String,
    /// What it complained about, or why it was not run.
    #[serde(default)]
    pub stderr: String,
}

/// What support needs of a satellite. It holds no secret that a name announces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Support {
    /// The end of its log, the oldest line first; at most [`SUPPORT_LINES`] lines and [`SUPPORT_BYTES`] bytes.
    #[serde(default)]
    pub log: Vec<String>,
    /// What each tool says of its version, by the tool's name; one line each.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
}

/// Lines of a log that are remembered for support.
pub const SUPPORT_LINES: usize = 2000;
/// And bytes of them.
pub const SUPPORT_BYTES: usize = 512 << 10;

/// The answer of a satellite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Settings`].
    Settings(SatelliteSettings),
    /// To [`Question::Log`]: what holds now.
    Log(LogLevels),
    /// To [`Question::Devices`].
    Devices {
        /// Them, by path.
        devices: Vec<FreeDevice>,
    },
    /// To [`Question::Reactor`].
    Ran(Ran),
    /// To [`Question::Support`].
    Support(Support),
    /// It cannot say, or did not do it.
    Refused {
        /// Why, a sentence.
        why: String,
        /// What to do about it; begins with a verb.
        correction: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_survive_the_wire_and_later_ones_are_known_as_such() {
        let questions = [
            Question::Settings,
            Question::Log { change: LogChange { libraries: None, own: Some(LogLevel::Debug) } },
            Question::Devices,
            Question::Support,
            Question::Reactor { verb: ReactorVerb::Disable, words: vec!["--now".into(), "ha".into()] },
        ];
        for question in questions {
            let text = serde_json::to_string(&question).unwrap();
            assert_eq!(serde_json::from_str::<Question>(&text).unwrap(), question, "{text}");
        }
        let levels = LogLevels { libraries: LogLevel::Info, own: LogLevel::Trace };
        let settings = SatelliteSettings { data: "/d".into(), address: "::".into(), port: 3366, tls: false, name: None, log: levels };
        let refused = Answer::Refused { why: "no".into(), correction: "Ask another.".into() };
        let ran = Answer::Ran(Ran { code: -1, stdout: String::new(), stderr: "gone".into() });
        for answer in [Answer::Settings(settings), Answer::Log(levels), Answer::Devices { devices: Vec::new() }, ran, refused] {
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer, "{text}");
        }
        assert_eq!(serde_json::from_str::<Question>(r#"{"question":"colour"}"#).unwrap(), Question::Unknown);
        assert_eq!(serde_json::from_str::<Answer>(r#"{"answer":"red"}"#).unwrap(), Answer::Unknown);
    }

    #[test]
    fn only_plain_words_go_to_a_tool() {
        for good in ["linstor_controller", "ha.toml", "a-b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "-x", "--now", "a b", "a;b", "../x", "a\n", "é"] {
            assert!(!is_plain(bad), "{bad}");
        }
        assert!(!is_plain(&"x".repeat(256)));
    }
}
