//! The log of a daemon: what it writes, and how that is changed while it runs.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use berth_model::inquiry::{LogChange, LogControl, LogLevel, LogLevels};
use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Beginning of the names of Berth's own parts.
const OWN: &str = "berth";

type Put = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The log of this process.
struct ProcessLog {
    levels: Mutex<LogLevels>,
    put: Put,
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
    let put: Put = match format {
        "text" => {
            let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(terminal).with_env_filter(parsed);
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.finish().with(tracer.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer))).init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        "json" => {
            let log = tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(parsed);
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.finish().with(tracer.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer))).init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        other => anyhow::bail!("'{other}' is not a log format; write text or json"),
    };
    Ok(Arc::new(ProcessLog { levels: Mutex::new(levels(text)), put }))
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
    fn a_change_reaches_the_log_or_nothing_changes() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let put: Put = Box::new(move |filter| {
            let text = filter.to_string();
            let refused = text.contains("trace");
            told.lock().unwrap().push(text);
            if refused { Err("no".to_owned()) } else { Ok(()) }
        });
        let log = ProcessLog { levels: Mutex::new(levels("info")), put };
        let own = |level| LogChange { libraries: None, own: Some(level) };
        assert_eq!(log.change(own(LogLevel::Debug)).map(|levels| levels.own), Ok(LogLevel::Debug));
        assert!(log.change(own(LogLevel::Trace)).is_err());
        assert_eq!(log.levels(), LogLevels { libraries: LogLevel::Info, own: LogLevel::Debug });
        assert_eq!(seen.lock().unwrap().len(), 2);
    }
}
