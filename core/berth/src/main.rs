//! The binary: picks controller, satellite, development cluster or command line by its words.
//!
//! Called as `linstor` (a link) it is the LINSTOR client. Decides nothing itself.

#![forbid(unsafe_code)]

// In the place of the standard ones: these panic when whoever reads has gone, as in `berth audit | head`.
macro_rules! print {
    ($($text:tt)*) => { $crate::out(format_args!($($text)*)) };
}
macro_rules! println {
    ($($text:tt)*) => { $crate::out(format_args!("{}\n", format_args!($($text)*))) };
}

mod ask;
mod balance;
mod bundle;
mod certificates;
mod daemon;
mod database;
mod dev;
mod explain;
mod job;
mod linstor_database;
mod linstor_files;
mod local;
mod logs;
mod migrate;
mod new;
mod place;
mod plugin;
mod plugins;
mod screen;
mod settings;
mod sign_in;
mod tls;
mod traces;
mod what_if;
mod words;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::words::{Program, Words};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called_as = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    if let Some(answer) = completion(&rest) {
        return report(answer);
    }
    let called = |name: &str| Path::new(&called_as).file_name().is_some_and(|called| called == name);
    if called(linstor_database::NAME) {
        return report(linstor_database::run(std::iter::once(called_as).chain(rest).collect()));
    }
    if called("linstor") {
        return client(rest);
    }
    let rest = own_word_first(rest);
    if !is_own_word(rest.first()) || is_client_controller(&rest) {
        return client(rest);
    }
    let matches = match Words::command().try_get_matches_from(std::iter::once(OsString::from("berth")).chain(rest.iter().cloned())) {
        Ok(matches) => matches,
        Err(error) => {
            let _printed = error.print();
            if let Some(example) = berth_cli::example(&Words::command(), &rest).filter(|_| berth_cli::wants_example(&error)) {
                eprintln!("{example}");
            }
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match Words::from_arg_matches(&matches) {
        Ok(words) => report(run(words.program, &matches)),
        Err(error) => {
            let _printed = error.print();
            ExitCode::from(2)
        }
    }
}

/// Answers a shell that completes a line of either name.
fn completion(arguments: &[OsString]) -> Option<anyhow::Result<()>> {
    let line = arguments.iter().skip_while(|word| *word != "--").nth(1);
    let own = line.is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "berth"));
    let grammar = |grammar: clap::Command| if own { words::beside(grammar) } else { grammar };
    let answer = berth_cli::completion(arguments, &berth_cli::Surroundings::of_process(), grammar)?;
    Some(answer.map_err(anyhow::Error::msg).map(|text| print!("{}", String::from_utf8_lossy(&text))))
}

/// Writes to standard output. A reader that has gone wants no more; output that cannot be kept ends the program.
fn out(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("ERROR: the output cannot be written: {error}");
            std::process::exit(1);
        }
        Ok(()) | Err(_) => {}
    }
}

/// Whether the first word belongs to Berth itself and not to the LINSTOR client's grammar.
fn is_own_word(first: Option<&OsString>) -> bool {
    let Some(first) = first.and_then(|word| word.to_str()) else { return false };
    Words::command().get_subcommands().any(|command| command.get_name() == first) || matches!(first, "--help" | "-h" | "--version" | "-V")
}

/// `berth --controllers ctrl risk` is `berth risk --controllers ctrl`: the client's global options may stand before Berth's own words, too.
fn own_word_first(arguments: Vec<OsString>) -> Vec<OsString> {
    match berth_cli::split(&arguments) {
        Some((options, words)) if !options.is_empty() && is_own_word(words.first()) && !is_client_controller(&words) => {
            let machine = |word: &OsString| word == "-m" || word == "--machine-readable";
            let options = options.into_iter().map(|word| if machine(&word) { "--output=json".into() } else { word });
            let mut words = words.into_iter();
            words.next().into_iter().chain(options).chain(words).collect()
        }
        Some(_) | None => arguments,
    }
}

/// `controller` begins a daemon's words only if options follow; `controller list-properties` is the client's.
fn is_client_controller(words: &[OsString]) -> bool {
    words.first().is_some_and(|word| word == "controller")
        && words.get(1).and_then(|word| word.to_str()).is_some_and(|word| !word.starts_with('-'))
}

fn client(arguments: Vec<OsString>) -> ExitCode {
    match daemon::runtime(2) {
        Ok(runtime) => ExitCode::from(runtime.block_on(berth_cli::run(arguments))),
        Err(error) => report(Err(error)),
    }
}

fn run(program: Program, matches: &clap::ArgMatches) -> anyhow::Result<()> {
    match program {
        Program::Controller(_) => daemon::controller(matches),
        Program::Satellite(_) => daemon::satellite(matches),
        Program::Simulate(options) => daemon::simulate(&options),
        Program::Dev(options) => dev::run(&options),
        Program::Db(options) => database::run(&options),
        Program::Local(options) => local::run(&options),
        Program::Call(words) => local::call(&words),
        Program::Job(options) => job::run(&options),
        Program::Balance(words) => balance::run(&words),
        Program::Why(words) => explain::why(&words),
        Program::Audit(words) => explain::audit(&words),
        Program::Diff(words) => explain::diff(&words),
        Program::Drift(words) => explain::drift(&words),
        Program::Bundle(options) => bundle::run(&options),
        Program::WhatIf(options) => what_if::what_if(&options),
        Program::Risk(options) => what_if::risk(&options),
        Program::Place(words) => place::place(&words),
        Program::Plugin(words) => plugin::run(&words),
        Program::Tls(words) => tls::run(&words),
        Program::New(words) => new::run(&words),
        Program::Completions { shell } => {
            print!("{}", berth_cli::registration(&shell, &["linstor", "berth"]).map_err(anyhow::Error::msg)?);
            Ok(())
        }
    }
}

/// Prints what went wrong, the whole chain once.
fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error:#}");
            if error.is::<daemon::NeedsHands>() {
                return ExitCode::from(daemon::NeedsHands::EXIT_CODE);
            }
            if error.is::<ask::Refused>() {
                return ExitCode::from(ask::Refused::EXIT_CODE);
            }
            error.downcast_ref::<berth_cli::Trouble>().map_or(ExitCode::FAILURE, |trouble| ExitCode::from(trouble.code()))
        }
    }
}
