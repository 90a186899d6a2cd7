//! One command after the other, with a history, completion, and states that last longer than a command.

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;

use berth_client::Call;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::plan::{Plan, Transaction};
use crate::run::{Runner, Trouble};
use crate::settings::{Settings, Surroundings, take_dry_run, take_output, take_watch};
use crate::terminal::Terminal;
use crate::{Task, command_list, complete, exit, understand};

const PROMPT: &str = "LINSTOR ==> ";
/// While replicas are collected.
const PROMPT_COLLECTING: &str = "LINSTOR (create-transactional) ==> ";

/// Completes a line of the session as a shell would.
struct Names {
    around: Surroundings,
    /// The global options of the session, so that the same controller is asked.
    globals: Vec<OsString>,
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..at];
        let start = typed.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        // An open quote: what it will hold is not known.
        let Some(mut before) = shlex::split(&typed[..start]) else { return Ok((at, Vec::new())) };
        before.push(typed[start..].to_owned());
        let words: Vec<OsString> = std::iter::once(OsString::from("linstor"))
            .chain(self.globals.iter().cloned())
            .chain(before.into_iter().map(OsString::from))
            .collect();
        let last = words.len() - 1;
        let mut found = complete::candidates(words, last, &self.around);
        if let [only] = found.as_mut_slice() {
            only.push(' ');
        }
        Ok((start, found))
    }
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Validator for Names {}
impl Helper for Names {}

type LineEditor = Editor<Names, FileHistory>;

/// What lasts from one command of a session to the next.
#[derive(Default)]
struct State {
    /// Replicas to be made at once, while they are collected.
    collected: Option<Vec<Call>>,
}

impl State {
    fn prompt(&self) -> &'static str {
        if self.collected.is_some() { PROMPT_COLLECTING } else { PROMPT }
    }

    /// What a plan becomes in this state; `Err` is a line to print instead.
    fn take(&mut self, plan: Plan) -> Result<Plan, String> {
        match (plan, self.collected.as_mut()) {
            (Plan::Transaction(Transaction::Begin), Some(_)) => {
                Err("Error: replicas are being collected already; commit or abort ends it".to_owned())
            }
            (Plan::Transaction(Transaction::Begin), None) => {
                self.collected = Some(Vec::new());
                Err("'resource create' only collects from now on; 'resource create-transactional commit' creates it all".to_owned())
            }
            (Plan::Transaction(Transaction::Abort), Some(calls)) => {
                let text = format!("forgotten: {} requests", calls.len());
                self.collected = None;
                Err(text)
            }
            (Plan::Transaction(Transaction::Commit), Some(calls)) => {
                let calls = merged(std::mem::take(calls));
                self.collected = None;
                if calls.is_empty() { Err("nothing was collected".to_owned()) } else { Ok(Plan::Write(calls)) }
            }
            (Plan::Transaction(_), None) => {
                Err("Error: nothing is being collected; 'resource create-transactional begin' begins".to_owned())
            }
            (Plan::Write(calls), Some(collected)) if calls.iter().all(makes_replicas) => {
                collected.extend(calls);
                Err(format!("collected: {}", collected.iter().map(replicas).sum::<usize>()))
            }
            (plan, _) => Ok(plan),
        }
    }
}

/// Whether a request makes replicas on named nodes.
fn makes_replicas(call: &Call) -> bool {
    call.path.ends_with("/resources") && call.body.as_ref().is_some_and(Value::is_array)
}

fn replicas(call: &Call) -> usize {
    call.body.as_ref().and_then(Value::as_array).map_or(0, Vec::len)
}

/// The requests for one definition as one.
fn merged(calls: Vec<Call>) -> Vec<Call> {
    let mut all: Vec<Call> = Vec::new();
    for call in calls {
        let same = all.iter_mut().find(|one| one.path == call.path).and_then(|one| one.body.as_mut()).and_then(Value::as_array_mut);
        match (same, call.body) {
            (Some(list), Some(Value::Array(more))) => list.extend(more),
            (_, body) => all.push(Call { body, ..call }),
        }
    }
    all
}

/// What a line of the session was.
enum Line {
    Words(Vec<OsString>),
    Nothing,
    End,
}

/// Reads commands until `exit`, `quit` or the end of input; a lost connection ends it too.
pub async fn session(mut settings: Settings, around: &Surroundings, terminal: &mut Terminal) -> u8 {
    // Once, and not for each command.
    if let (Some(user), None) = (&settings.user, &settings.password) {
        match terminal.ask_password(&format!("Password of {user}")) {
            Ok(password) => settings.password = Some(password),
            Err(why) => {
                terminal.problem(&why);
                return exit::CONNECTION;
            }
        }
    }
    let history = around.user_folder().map(|folder| folder.join("client.history"));
    let names = Names { around: around.clone(), globals: connection_options(&settings) };
    let mut editor = match open(history.as_deref(), names) {
        Ok(editor) => editor,
        Err(why) => {
            terminal.problem(&why.to_string());
            return exit::USAGE;
        }
    };
    terminal.print(&command_list(false));
    terminal.print("help COMMAND tells more, the tabulator completes, exit leaves.\n");
    let mut state = State::default();
    loop {
        let prompt = state.prompt();
        // Reading a line blocks; it must not hold up the runtime that drives the connection.
        let (line, back) = match tokio::task::spawn_blocking(move || (editor.readline(prompt), editor)).await {
            Ok(read) => read,
            Err(why) => {
                terminal.problem(&format!("reading the line failed: {why}"));
                return exit::USAGE;
            }
        };
        editor = back;
        let words = match read_line(line, &mut editor, history.as_deref(), terminal) {
            Line::Words(words) => words,
            Line::Nothing => continue,
            Line::End => return exit::OK,
        };
        if let Some(code) = one_command(&words, &settings, &mut state, around, terminal).await {
            return code;
        }
    }
}

/// Where the session's controllers are, and how one gets in there, as options.
fn connection_options(settings: &Settings) -> Vec<OsString> {
    let list: Vec<String> = settings.controllers.iter().map(ToString::to_string).collect();
    let mut options = vec![OsString::from(format!("--controllers={}", list.join(",")))];
    let mut add = |option: &str, value: &std::ffi::OsStr| {
        let mut word = OsString::from(format!("--{option}="));
        word.push(value);
        options.push(word);
    };
    for (option, file) in [
        ("token-file", &settings.token_file),
        ("certfile", &settings.certfile),
        ("keyfile", &settings.keyfile),
        ("cafile", &settings.cafile),
    ] {
        file.iter().for_each(|file| add(option, file.as_os_str()));
    }
    for (option, text) in [("user", &settings.user), ("password", &settings.password)] {
        text.iter().for_each(|text| add(option, text.as_ref()));
    }
    if settings.allow_insecure_auth {
        options.push("--allow-insecure-auth".into());
    }
    options
}

/// Whether a line may hold what nobody is to read in the history.
fn holds_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let words: Vec<&str> = line.split_whitespace().collect();
    ["passphrase", "password", "secret", "api-pw"].iter().any(|word| line.contains(word))
        || matches!(words.as_slice(), ["encryption" | "e", _, _, ..] | ["remote", _, "s3" | "ebs", ..])
}

fn open(history: Option<&Path>, names: Names) -> Result<LineEditor, ReadlineError> {
    let mut editor = LineEditor::new()?;
    editor.set_helper(Some(names));
    if let Some(history) = history {
        if let Some(folder) = history.parent() {
            let _uncreated = std::fs::create_dir_all(folder);
        }
        let _none_yet = editor.load_history(history);
    }
    Ok(editor)
}

fn read_line(line: Result<String, ReadlineError>, editor: &mut LineEditor, history: Option<&Path>, terminal: &mut Terminal) -> Line {
    let line = match line {
        Ok(line) => line,
        Err(ReadlineError::Interrupted) => return Line::Nothing,
        Err(ReadlineError::Eof) => return Line::End,
        Err(why) => {
            terminal.problem(&why.to_string());
            return Line::End;
        }
    };
    let line = line.trim();
    if line.is_empty() {
        return Line::Nothing;
    }
    if !holds_secret(line) {
        let _unstored = editor.add_history_entry(line);
        if let Some(history) = history {
            // At once: a session may end in any way. A history that cannot be written is no reason to fail.
            let _unwritten = editor.append_history(history);
        }
    }
    match shlex::split(line) {
        Some(words) if words.len() == 1 && (words[0] == "exit" || words[0] == "quit") => Line::End,
        Some(words) => Line::Words(words.into_iter().map(OsString::from).collect()),
        None => {
            terminal.problem("a quotation mark is not closed");
            Line::Nothing
        }
    }
}

/// Waits for a command until Ctrl-C, which is for the command and not for the session; `None`: it came.
async fn interruptible<T>(command: impl Future<Output = T>) -> Option<T> {
    // Whoever types nothing comes back to no prompt: there the signal ends the program, as ever.
    let interrupt = if Terminal::asks_somebody() { signal(SignalKind::interrupt()).ok() } else { None };
    let Some(mut interrupt) = interrupt else { return Some(command.await) };
    tokio::select! {
        biased;
        _ = interrupt.recv() => None,
        outcome = command => Some(outcome),
    }
}

/// Runs one command of a session. `Some` ends the session with this code.
async fn one_command(
    words: &[OsString],
    settings: &Settings,
    state: &mut State,
    around: &Surroundings,
    terminal: &mut Terminal,
) -> Option<u8> {
    let (mut words, mut settings) = (words.to_vec(), settings.clone());
    settings.dry_run |= take_dry_run(&mut words);
    settings.watch |= take_watch(&mut words);
    match take_output(&mut words) {
        Ok(format) => settings.format = format.or(settings.format),
        Err(bad) => {
            terminal.problem(&bad.to_string());
            return None;
        }
    }
    let plan = match understand(&words, &settings) {
        Ok(Task::Plan(plan)) => plan,
        Ok(Task::Print(text)) => {
            terminal.print(&text);
            return None;
        }
        Ok(Task::Interactive) => return None,
        Err(not) => {
            crate::not_understood(&not, &words, terminal);
            return None;
        }
    };
    let plan = match state.take(plan) {
        Ok(plan) => plan,
        Err(said) => {
            terminal.note(&said);
            return None;
        }
    };
    let watching = settings.watch;
    let outcome = match Runner::new(settings, around, terminal) {
        Ok(mut runner) => interruptible(runner.carry_out(&plan)).await,
        Err(trouble) => Some(Err(trouble)),
    };
    let Some(outcome) = outcome else {
        // That is how a watch ends.
        terminal.note(if watching { "" } else { "interrupted; a change that was sent is carried out all the same" });
        return None;
    };
    let lost = matches!(outcome, Err(Trouble::Connection(_)));
    let code = crate::finish(outcome, terminal);
    lost.then_some(code)
}

#[cfg(test)]
mod tests {
    use berth_client::Call;
    use serde_json::json;

    use super::State;
    use crate::plan::{Plan, Transaction};

    #[test]
    fn replicas_are_collected_and_made_at_once() {
        let mut state = State::default();
        let create = |name: &str, node: &str| {
            Plan::write(Call::post(&["resource-definitions", name, "resources"]).body(json!([{"resource": {"node_name": node}}])))
        };
        assert!(state.take(Plan::Transaction(Transaction::Commit)).is_err(), "nothing has begun");
        assert!(state.take(create("web", "a")).is_ok(), "no state: made at once");
        assert!(state.take(Plan::Transaction(Transaction::Begin)).is_err());
        assert!(state.prompt().contains("create-transactional"));
        for (name, node) in [("web", "a"), ("db", "a"), ("web", "b")] {
            assert!(state.take(create(name, node)).is_err(), "only collected");
        }
        assert!(state.take(Plan::write(Call::delete(&["nodes", "a"]))).is_ok(), "other commands go through");
        let Ok(Plan::Write(calls)) = state.take(Plan::Transaction(Transaction::Commit)) else { panic!("requests") };
        let bodies: Vec<String> = calls.iter().map(|call| format!("{} {}", call.path, call.body.clone().unwrap_or_default())).collect();
        assert_eq!(
            bodies,
            [
                r#"/v1/resource-definitions/web/resources [{"resource":{"node_name":"a"}},{"resource":{"node_name":"b"}}]"#,
                r#"/v1/resource-definitions/db/resources [{"resource":{"node_name":"a"}}]"#,
            ]
        );
        assert_eq!(state.prompt(), super::PROMPT);
    }

    #[test]
    fn secrets_are_not_kept_in_the_history() {
        for line in
            ["e ep -p x", "encryption create-passphrase --passphrase x", "remote c s3 vault h b r ACCESS KEY", "vd c r 1G --passphrase x"]
        {
            assert!(super::holds_secret(line), "{line}");
        }
        for line in ["node list", "encryption status", "remote list", "e status"] {
            assert!(!super::holds_secret(line), "{line}");
        }
    }

    #[test]
    fn lines_are_split_like_in_a_shell() {
        let check = |line: &str, words: &[&str]| assert_eq!(shlex::split(line).expect("closed"), words, "{line}");
        check("  node  list ", &["node", "list"]);
        check("c sp k 'a b' \"c \\\" d\" e\\ f ''", &["c", "sp", "k", "a b", "c \" d", "e f", ""]);
        assert!(shlex::split("c sp k 'a").is_none());
    }
}
