//! The log of a daemon: what it writes, and how that is changed while it runs.

use std::collections::VecDeque;
use std::fmt::{Debug, Formatter};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use berth_model::inquiry::{LogChange, LogControl, LogLevel, LogLevels, SUPPORT_BYTES, SUPPORT_LINES};
use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

/// Beginning of the names of Berth's own parts.
const OWN: &str = "berth";

/// Longest line that is remembered, in characters.
const LINE_MAX: usize = 4096;

type Put = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The log of this process.
struct ProcessLog {
    levels: Mutex<LogLevels>,
    put: Put,
    recent: Recent,
}

impl Debug for ProcessLog {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessLog").field("levels", &self.levels()).finish_non_exhaustive()
    }
}

impl LogControl for ProcessLog {
    fn levels(&self) -> LogLevels {
        *self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: LogChange) -> Result<LogLevels, String> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let after = levels.after(change);
        let filter = EnvFilter::try_new(filter(after)).map_err(|error| format!("The log cannot be set so: {error}."))?;
        (self.put)(filter)?;
        *levels = after;
        Ok(after)
    }

    fn recent(&self) -> Vec<String> {
        self.recent.lines()
    }
}

/// What was logged last: bounded, for reports to support. It goes to standard error all the same.
#[derive(Clone, Default)]
struct Recent(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    fn keep(&self, text: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            // A line that fills everything would drive out all others.
            let line: String = line.chars().take(LINE_MAX).collect();
            kept.bytes += line.len();
            kept.lines.push_back(line);
        }
        while kept.lines.len() > SUPPORT_LINES || kept.bytes > SUPPORT_BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.len());
        }
    }
}

/// Each event is written at once, whole.
impl Write for Recent {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.keep(&String::from_utf8_lossy(bytes));
        std::io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// The filter of two levels.
fn filter(levels: LogLevels) -> String {
    format!("{},{OWN}={}", levels.libraries, levels.own).to_ascii_lowercase()
}

/// The two levels that a filter comes nearest to: what it says of everything, and what it says of all of Berth.
fn levels(filter: &str) -> LogLevels {
    let mut levels = LogLevels { libraries: LogLevel::Error, own: LogLevel::Error };
    let parts = filter.split(',').map(str::trim);
    if let Some(all) = parts.clone().filter_map(LogLevel::parse).next_back() {
        levels = LogLevels { libraries: all, own: all };
    }
    let own = parts.filter_map(|part| part.split_once('=')).filter(|(target, _)| *target == OWN);
    if let Some(own) = own.filter_map(|(_, level)| LogLevel::parse(level)).next_back() {
        levels.own = own;
    }
    levels
}

/// Begins to log to standard error, and to make spans with `tracer`, if there is one.
///
/// # Errors
/// For a filter or a format that there is not.
pub fn start(text: &str, format: &str, tracer: Option<SdkTracer>) -> anyhow::Result<Arc<dyn LogControl>> {
    let parsed = EnvFilter::try_new(text).with_context(|| format!("'{text}' is not a log filter; write info or berth_controller=debug"))?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let recent = Recent::default();
    let writer = recent.clone();
    let write = move || writer.clone();
    // Each has a filter of its own: a quiet log leaves no gaps in traces.
    let (filter, handle) = reload::Layer::new(parsed);
    let spans = tracer.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer).with_filter(LevelFilter::INFO));
    let log = tracing_subscriber::fmt::layer().with_writer(write).with_ansi(terminal);
    let all = tracing_subscriber::registry().with(spans);
    match format {
        "text" => all.with(log.with_filter(filter)).init(),
        "json" => all.with(log.json().with_filter(filter)).init(),
        other => anyhow::bail!("'{other}' is not a log format; write text or json"),
    }
    let put: Put = Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
    Ok(Arc::new(ProcessLog { levels: Mutex::new(levels(text)), put, recent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_of_a_filter_are_read_and_written() {
        for (text, libraries, own) in [
            ("info", LogLevel::Info, LogLevel::Info),
            ("warn,berth=debug", LogLevel::Warn, LogLevel::Debug),
            ("berth_controller=trace", LogLevel::Error, LogLevel::Error),
            ("ERROR,berth=TRACE,hyper=info", LogLevel::Error, LogLevel::Trace),
            ("", LogLevel::Error, LogLevel::Error),
        ] {
            assert_eq!(levels(text), LogLevels { libraries, own }, "{text}");
        }
        for libraries in LogLevel::ALL {
            for own in LogLevel::ALL {
                let both = LogLevels { libraries: *libraries, own: *own };
                assert_eq!(levels(&filter(both)), both);
            }
        }
    }

    #[test]
    fn the_end_of_the_log_is_remembered_and_no_more() {
        let recent = Recent::default();
        recent.keep("first\nsecond\n");
        assert_eq!(recent.lines(), ["first", "second"]);
        recent.keep(&"x".repeat(2 * LINE_MAX));
        for number in 0..SUPPORT_LINES + 10 {
            recent.keep(&format!("{number}"));
        }
        let lines = recent.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (SUPPORT_LINES, "10"));
        for _ in 0..SUPPORT_LINES {
            recent.keep(&"y".repeat(LINE_MAX));
        }
        let bytes: usize = recent.lines().iter().map(String::len).sum();
        assert!(bytes <= SUPPORT_BYTES && bytes == recent.0.lock().unwrap().bytes, "{bytes}");
    }

    #[test]
    fn a_change_reaches_the_log_or_nothing_changes() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let put: Put = Box::new(move |filter| {
            let text = filter.to_string();
            let refused = text.contains("trace");
            told.lock().unwrap().push(text);
            if refused { Err("no".to_owned()) } else { Ok(()) }
        });
        let log = ProcessLog { levels: Mutex::new(levels("info")), put, recent: Recent::default() };
        let own = |level| LogChange { libraries: None, own: Some(level) };
        assert_eq!(log.change(own(LogLevel::Debug)).map(|levels| levels.own), Ok(LogLevel::Debug));
        assert!(log.change(own(LogLevel::Trace)).is_err());
        assert_eq!(log.levels(), LogLevels { libraries: LogLevel::Info, own: LogLevel::Debug });
        assert_eq!(seen.lock().unwrap().len(), 2);
    }
}
