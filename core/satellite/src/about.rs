//! What a satellite's process says of itself and its machine when a controller asks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_model::inquiry::{Answer, LogControl, Question, REACTOR_OPTIONS, Ran, ReactorVerb, SatelliteSettings, is_plain};
use berth_plugin_sdk::FaultKind;

use crate::devices;
use crate::hands::Hands;

/// What the process was started with.
#[derive(Debug)]
pub struct About {
    /// Its data folder.
    pub data: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether controllers reach it over TLS only.
    pub tls: bool,
    /// Node name that it insists on.
    pub name: Option<String>,
    /// Its log.
    pub log: Arc<dyn LogControl>,
}

/// The answer to what this version does not know.
pub fn unknown() -> Answer {
    Answer::Refused {
        why: "The satellite does not know this question.".to_owned(),
        correction: "Bring the satellite to the version of the controller.".to_owned(),
    }
}

impl About {
    /// Answers; may block for as long as a tool may take.
    pub fn answer(&self, question: &Question, hands: &Hands) -> Answer {
        match question {
            Question::Settings => Answer::Settings(SatelliteSettings {
                data: self.data.display().to_string(),
                address: self.address.ip().to_string(),
                port: self.address.port(),
                tls: self.tls,
                name: self.name.clone(),
                log: self.log.levels(),
            }),
            Question::Log { change } => match self.log.change(*change) {
                Ok(levels) => {
                    tracing::info!(libraries = %levels.libraries, own = %levels.own, "the controller set how much is logged");
                    Answer::Log(levels)
                }
                Err(why) => Answer::Refused { why, correction: "Start the satellite with --log.".to_owned() },
            },
            Question::Devices => {
                let signed = |device: &str| signature(hands, device);
                Answer::Devices { devices: devices::free(Path::new("/"), &signed) }
            }
            Question::Reactor { verb, words } => Answer::Ran(reactor(*verb, words, hands)),
            Question::Unknown => unknown(),
        }
    }
}

/// Whether a device carries a signature, or nobody can say that it does not: then it is not free.
fn signature(hands: &Hands, device: &str) -> bool {
    // blkid ends with 2 if it looked and found nothing.
    match hands.run(&["blkid", "-p", "-o", "export", device]) {
        Ok(output) => output.code != 2,
        Err(_) => true,
    }
}

/// Runs `drbd-reactorctl`. What the controller sent is judged here, too: it becomes words of a command line.
fn reactor(verb: ReactorVerb, words: &[String], hands: &Hands) -> Ran {
    let failed = |stderr: String| Ran { code: -1, stdout: String::new(), stderr };
    if let Some(bad) = words.iter().find(|word| !is_plain(word) && !REACTOR_OPTIONS.contains(&word.as_str())) {
        return failed(format!("'{bad}' is neither the name of a plugin nor an option that may be passed on."));
    }
    let argv: Vec<&str> = ["drbd-reactorctl", verb.word()].into_iter().chain(words.iter().map(String::as_str)).collect();
    let run = || hands.run(&argv);
    let output = match verb {
        ReactorVerb::Status => run(),
        ReactorVerb::Evict | ReactorVerb::Disable | ReactorVerb::Enable | ReactorVerb::Restart => hands.change(run),
    };
    match output {
        Ok(output) => Ran { code: output.code, stdout: output.stdout, stderr: output.stderr },
        Err(fault) if fault.kind == FaultKind::Unsupported => {
            failed("drbd-reactorctl is not installed on this node; install the package drbd-reactor and configure its plugins.".to_owned())
        }
        Err(fault) => failed(format!("{}. {}", fault.message, fault.cause)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use berth_model::inquiry::{LogChange, LogLevel, LogLevels, RememberedLog};

    use super::*;

    fn about() -> About {
        About {
            data: "/var/lib/x".into(),
            address: SocketAddr::from(([127, 0, 0, 1], 3366)),
            tls: true,
            name: Some("alpha".into()),
            log: Arc::new(RememberedLog::default()),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_says_how_it_runs_and_logs_as_it_is_told() {
        let (about, hands) = (about(), Hands::new(Duration::from_secs(30)));
        let change = LogChange { libraries: None, own: Some(LogLevel::Debug) };
        let expected = LogLevels { libraries: LogLevel::Info, own: LogLevel::Debug };
        assert_eq!(about.answer(&Question::Log { change }, &hands), Answer::Log(expected));
        let Answer::Settings(settings) = about.answer(&Question::Settings, &hands) else { panic!("other answer") };
        assert_eq!((settings.log, settings.port, settings.tls, settings.data.as_str()), (expected, 3366, true, "/var/lib/x"));
        assert!(matches!(about.answer(&Question::Unknown, &hands), Answer::Refused { .. }));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_word_of_a_request_becomes_an_option_of_a_tool() {
        let hands = Hands::new(Duration::from_secs(30));
        for bad in ["--config=/etc/shadow", "-x", "a b", ""] {
            let ran = reactor(ReactorVerb::Disable, &["--now".to_owned(), bad.to_owned()], &hands);
            assert!(ran.code == -1 && ran.stderr.contains("neither the name"), "{bad}: {ran:?}");
        }
    }
}
