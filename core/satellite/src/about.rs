//! What a satellite's process says of itself and its machine when a controller asks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_model::inquiry::{
    Answer, LogControl, Question, REACTOR_OPTIONS, Ran, ReactorVerb, SUPPORT_BYTES, SUPPORT_LINES, SatelliteSettings, Support, is_plain,
};
use berth_model::secrets::hide_in_text;
use berth_plugin_sdk::FaultKind;

use crate::devices;
use crate::hands::Hands;

/// Tools whose version support wants to know, each with the words that make it say so.
const TOOLS: [&[&str]; 9] = [
    &["uname", "-srvm"],
    &["losetup", "--version"],
    &["lsblk", "--version"],
    &["drbdadm", "--version"],
    &["drbdsetup", "--version"],
    &["lvm", "version"],
    &["zfs", "version"],
    &["cryptsetup", "--version"],
    &["drbd-reactorctl", "--version"],
];
/// Longest version that is told, in characters.
const VERSION_MAX: usize = 200;

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
            Question::Support => Answer::Support(self.support(hands)),
            Question::Unknown => unknown(),
        }
    }

    fn support(&self, hands: &Hands) -> Support {
        let mut log: Vec<String> = self.log.recent().iter().map(|line| hide_in_text(line).into_owned()).collect();
        // The newest are kept.
        let mut room = SUPPORT_BYTES;
        let fits = |line: &&String| {
            let left = room.checked_sub(line.len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let kept = log.iter().rev().take(SUPPORT_LINES).take_while(fits).count();
        log.drain(..log.len() - kept);
        let tools = TOOLS.iter().map(|argv| ((*argv.first().unwrap_or(&"")).to_owned(), version(argv, hands))).collect();
        Support { log, tools }
    }
}

/// What a tool says of its version, or why it says nothing; one line.
fn version(argv: &[&str], hands: &Hands) -> String {
    match hands.run(argv) {
        Ok(output) => {
            let said =
                [&output.stdout, &output.stderr].into_iter().flat_map(|text| text.lines()).map(str::trim).find(|line| !line.is_empty());
            said.unwrap_or("it says nothing").chars().take(VERSION_MAX).collect()
        }
        Err(fault) if fault.kind == FaultKind::Unsupported => "not installed".to_owned(),
        Err(fault) => fault.message.chars().take(VERSION_MAX).collect(),
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

    /// A log with a secret in it, and more than is told.
    #[derive(Debug)]
    struct Talkative;

    impl LogControl for Talkative {
        fn levels(&self) -> LogLevels {
            RememberedLog::default().levels()
        }

        fn change(&self, _: LogChange) -> Result<LogLevels, String> {
            Err("no".to_owned())
        }

        fn recent(&self) -> Vec<String> {
            (0..SUPPORT_LINES + 5).map(|number| format!("line {number} password=hush")).collect()
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn support_gets_the_end_of_the_log_without_secrets() {
        let about = About { log: Arc::new(Talkative), ..about() };
        let hands = Hands::new(Duration::from_secs(30));
        // As the crew does it: on a thread that may block.
        let asked = tokio::task::spawn_blocking(move || about.answer(&Question::Support, &hands));
        let answer = asked.await.unwrap();
        let Answer::Support(Support { log, tools }) = answer else { panic!("other answer") };
        assert_eq!((log.len(), log[0].as_str()), (SUPPORT_LINES, "line 5 password=(hidden)"));
        assert!(tools["uname"].starts_with("Linux"), "{tools:?}");
        assert!(tools.len() == TOOLS.len() && tools.values().all(|said| !said.is_empty() && said.lines().count() == 1), "{tools:?}");
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
