//! The command line: words to requests, replies to tables.
//!
//! This room may read the terminal and the client's configuration, and speaks to controllers through `berth-client`.
//! It decides nothing about storage. Grammar, columns, exit codes and request shapes are those of LINSTOR's client, so that
//! scripts written for it work.
//!
//! A command goes through three steps: [`settings`] resolves the global options and splits off the words; [`objects`] turns the
//! words into a [`plan::Plan`], without a controller; [`run`](mod@run) carries it out and prints.
#![forbid(unsafe_code)]

mod complete;
mod connection;
mod curl;
mod drbd;
mod exit;
mod explain;
mod filter_words;
mod grammar;
mod hints;
mod ini;
mod interactive;
mod json;
mod objects;
mod output;
mod plan;
mod progress;
mod reply_text;
mod run;
mod secret;
mod settings;
mod size;
mod table;
mod terminal;
mod value;
mod view;
mod words;

use std::ffi::OsString;

use clap::ArgMatches;
use jiff::Zoned;

pub use connection::{Connection, split};
pub use filter_words::FilterWords;
pub use grammar::{command, words};
pub use output::{csv, yaml};
pub use run::Trouble;
pub use settings::Surroundings;
pub use size::{BadSize, parse_kib};
pub use table::{Cell, Screen, Table, Tone};
pub use terminal::Terminal;
pub use view::replies;

use plan::Plan;
use run::Runner;
use settings::Settings;

/// Reads a configuration file of LINSTOR's client and forgets it: for fuzzing.
#[doc(hidden)]
pub fn read_ini(text: &str) {
    drop(ini::parse(text));
}

/// Runs one command line (without the program's name) and returns the exit code.
pub async fn run(args: Vec<OsString>) -> u8 {
    run_in(args, &Surroundings::of_process(), &mut Terminal::of_process()).await
}

/// As [`run()`], with everything around it given.
pub async fn run_in(args: Vec<OsString>, around: &Surroundings, terminal: &mut Terminal) -> u8 {
    let (settings, words) = match settings::resolve(&args, around) {
        Ok(resolved) => resolved,
        Err(settings::BadSettings::Grammar(error)) => return complain(&error, terminal),
        Err(error) => {
            terminal.problem(&error.to_string());
            return exit::USAGE;
        }
    };
    if settings.show_help {
        terminal.print(&command().render_long_help().to_string());
        return exit::OK;
    }
    if settings.show_version {
        terminal.print(&format!("linstor client {} (berth)\n", env!("CARGO_PKG_VERSION")));
        return exit::OK;
    }
    if words.is_empty() {
        if args.is_empty() {
            return interactive::session(settings, around, terminal).await;
        }
        terminal.problem("a command is missing; --help lists them");
        return exit::USAGE;
    }
    let task = match understand(&words, &settings) {
        Ok(task) => task,
        Err(not) => return not_understood(&not, &words, terminal),
    };
    match task {
        Task::Interactive => interactive::session(settings, around, terminal).await,
        Task::Print(text) => {
            terminal.print(&text);
            exit::OK
        }
        Task::Plan(plan) => {
            let mut runner = match Runner::new(settings, around, terminal) {
                Ok(runner) => runner,
                Err(trouble) => {
                    terminal.problem(&trouble.to_string());
                    return trouble.code();
                }
            };
            let outcome = runner.carry_out(&plan).await;
            finish(outcome, terminal)
        }
    }
}

/// What makes a shell ask this program for completions of the commands `names` (`linstor`, `berth`).
///
/// # Errors
/// A shell that is not known; the message lists those that are.
pub fn registration(shell: &str, names: &[&str]) -> Result<String, String> {
    let shells = clap_complete::env::Shells::builtins();
    let known = || shells.names().collect::<Vec<_>>().join(", ");
    let completer = shells.completer(shell).ok_or_else(|| format!("'{shell}' is no shell that can complete; there are {}", known()))?;
    let mut out = Vec::new();
    for name in names {
        completer.write_registration(complete::VARIABLE, name, name, name, &mut out).map_err(|why| why.to_string())?;
    }
    let text = String::from_utf8(out).map_err(|why| why.to_string())?;
    Ok(if shell == "zsh" { as_zsh_function(&text, names) } else { text })
}

/// The registration for zsh as a file that its completion system can read by itself, too: named in one first line, and giving an answer
/// when it is read because the first one is asked for.
fn as_zsh_function(text: &str, names: &[&str]) -> String {
    let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("#compdef ")).collect();
    let functions: Vec<String> = names.iter().map(|name| format!("_{name}")).collect();
    format!(
        "#compdef {}\n{}\ncase \"${{funcstack[1]-}}\" in\n    {}) \"_clap_dynamic_completer_${{service:-{}}}\" \"$@\" ;;\nesac\n",
        names.join(" "),
        body.join("\n").trim_end(),
        functions.join("|"),
        names.first().copied().unwrap_or_default(),
    )
}

/// Answers a shell that completes a line, if one asks: its name is in the environment, the line behind `--` in the arguments (with the
/// program's own name). `None`: nobody asks. `beside` may add words of the
/// program's own to the grammar.
///
/// # Errors
/// A shell that is not known.
pub fn completion(
    args: &[OsString],
    around: &Surroundings,
    beside: impl FnOnce(clap::Command) -> clap::Command,
) -> Option<Result<Vec<u8>, String>> {
    let shell = around.env.get(complete::VARIABLE).filter(|shell| !shell.is_empty())?;
    let line: Vec<OsString> = args.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let shells = clap_complete::env::Shells::builtins();
    let Some(completer) = shells.completer(shell) else { return Some(Err(format!("'{shell}' is no shell that can complete"))) };
    let mut command = complete::beside(beside(grammar::command()), &line, around);
    let mut out = Vec::new();
    Some(completer.write_complete(&mut command, line, None, &mut out).map(|()| out).map_err(|why| why.to_string()))
}

/// Says why a command was not understood, and how it is written; gives the exit code.
fn not_understood(not: &NotUnderstood, words: &[OsString], terminal: &mut Terminal) -> u8 {
    let (code, show) = match not {
        NotUnderstood::Grammar(error) => (complain(error, terminal), wants_example(error)),
        NotUnderstood::Usage(bad) => {
            terminal.problem(&bad.to_string());
            (exit::USAGE, true)
        }
    };
    if let Some(example) = example(&command(), words).filter(|_| show) {
        terminal.note(&example);
    }
    code
}

/// Whether an example helps: something is missing, and not something unknown typed.
pub fn wants_example(error: &clap::Error) -> bool {
    use clap::error::ErrorKind::{InvalidValue, MissingRequiredArgument, TooFewValues, WrongNumberOfValues};
    matches!(error.kind(), InvalidValue | MissingRequiredArgument | TooFewValues | WrongNumberOfValues)
}

/// The example in the help of the command that these words begin with.
pub fn example(root: &clap::Command, words: &[OsString]) -> Option<String> {
    let mut at = root;
    for word in words {
        match at.find_subcommand(word) {
            Some(below) => at = below,
            None => break,
        }
    }
    let help = at.get_after_help()?.to_string();
    let start = help.find("Example")?;
    Some(help[start..].trim_end().to_owned())
}

/// Prints what went wrong and gives the exit code.
fn finish(outcome: Result<u8, run::Trouble>, terminal: &mut Terminal) -> u8 {
    match outcome {
        Ok(code) => code,
        Err(trouble) => {
            let text = trouble.to_string();
            // An empty text belongs to trouble that was already told.
            if text.is_empty() {
                return exit::API;
            }
            terminal.problem(&text);
            trouble.code()
        }
    }
}

/// Help goes to standard output and is no error; everything else that clap has to say is.
fn complain(error: &clap::Error, terminal: &mut Terminal) -> u8 {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    let colour = if error.use_stderr() { terminal.err_is_terminal } else { terminal.out_is_terminal };
    let text = if colour { error.render().ansi().to_string() } else { error.render().to_string() };
    if matches!(error.kind(), DisplayHelp | DisplayVersion) {
        terminal.print(&text);
        exit::OK
    } else {
        terminal.note(text.trim_end());
        exit::USAGE
    }
}

/// What a command line is to do.
enum Task {
    /// Ask a controller.
    Plan(Plan),
    /// Only print.
    Print(String),
    /// Go on asking for commands.
    Interactive,
}

/// Why there is no task.
enum NotUnderstood {
    Grammar(Box<clap::Error>),
    Usage(words::BadUsage),
}

/// Parses the words of a command, with the defaults that the configuration gives to it.
fn understand(words: &[OsString], settings: &Settings) -> Result<Task, NotUnderstood> {
    let parse = |words: &[OsString]| {
        let all = std::iter::once(OsString::from("linstor")).chain(words.iter().cloned());
        command().try_get_matches_from(all).map_err(|error| NotUnderstood::Grammar(Box::new(error)))
    };
    let mut matches = parse(words)?;
    let path = path_of(&matches);
    if let Some(section) = settings.sections.get(&path.join(".")) {
        let mut with_defaults = words.to_vec();
        with_defaults.splice(path.len()..path.len(), settings::defaults(section));
        matches = parse(&with_defaults)?;
    }
    let Some((name, below)) = matches.subcommand() else {
        return Err(NotUnderstood::Usage(words::BadUsage::new("a command is missing; --help lists them")));
    };
    Ok(match name {
        "help" => Task::Print(help_of(&words::all(below, "COMMAND").unwrap_or_default()).map_err(NotUnderstood::Usage)?),
        "list-commands" => Task::Print(command_list(words::set(below, "tree"))),
        "interactive" => Task::Interactive,
        "gen-zsh-completer" => {
            Task::Print(registration("zsh", &["linstor"]).map_err(|why| NotUnderstood::Usage(words::BadUsage::new(why)))?)
        }
        "explain" => {
            let key = words::must(below, "KEY");
            match (words::one(below, "resource"), words::one(below, "node")) {
                (None, None) => Task::Print(explain::text(key).map_err(NotUnderstood::Usage)?),
                (resource, node) => Task::Plan(explain::plan(key, resource, node).map_err(NotUnderstood::Usage)?),
            }
        }
        object => {
            let now = objects::Now { time: Zoned::now() };
            Task::Plan(objects::plan(object, below, &now).map_err(NotUnderstood::Usage)?)
        }
    })
}

/// The full names of the sub-commands that were typed.
fn path_of(matches: &ArgMatches) -> Vec<String> {
    let mut path = Vec::new();
    let mut level = matches;
    while let Some((name, below)) = level.subcommand() {
        path.push(name.to_owned());
        level = below;
    }
    path
}

/// The help of the command with these words.
fn help_of(words: &[String]) -> Result<String, words::BadUsage> {
    let mut root = command();
    root.build();
    let mut found = &mut root;
    for word in words {
        found = found
            .find_subcommand_mut(word)
            .ok_or_else(|| words::BadUsage::new(format!("'{word}' is no command; list-commands lists them")))?;
    }
    Ok(found.render_long_help().to_string())
}

/// Names and short forms of all commands, one a line.
fn command_list(tree: bool) -> String {
    fn lines(command: &clap::Command, depth: usize, tree: bool, out: &mut String) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let aliases: Vec<&str> = sub.get_visible_aliases().collect();
            let short = if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
            out.push_str(&format!("{}- {}{short}\n", "  ".repeat(depth), sub.get_name()));
            if tree {
                lines(sub, depth + 1, tree, out);
            }
        }
    }
    let mut out = String::new();
    lines(&command(), 0, tree, &mut out);
    out
}
