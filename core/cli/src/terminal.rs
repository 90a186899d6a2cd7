//! Where output goes, and what it can show.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

/// The two streams. A closed one ends nothing: a pager that was left is no error.
pub struct Terminal {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// Standard output is a terminal.
    pub out_is_terminal: bool,
    /// Standard error is a terminal.
    pub err_is_terminal: bool,
    /// Columns of the terminal on standard output; `None`: it is none, or does not know.
    pub width: Option<u16>,
    /// Lines of the terminal on standard output.
    pub height: Option<usize>,
    closed: bool,
}

impl Terminal {
    /// The streams of this process.
    pub fn of_process() -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            out_is_terminal,
            err_is_terminal: io::stderr().is_terminal(),
            width: if out_is_terminal { known(comfy_table::Table::new().width()) } else { None },
            height: if out_is_terminal { std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()) } else { None },
            closed: false,
        }
    }

    /// Streams of the caller's own, which are no terminals.
    pub fn captured(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { out, err, out_is_terminal: false, err_is_terminal: false, width: None, height: None, closed: false }
    }

    /// Text for standard output.
    pub fn print(&mut self, text: &str) {
        self.closed |= self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_err();
    }

    /// Whether nobody reads standard output any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Text for standard output that may be longer than the terminal: then `pager` shows it. Without a terminal it is printed.
    pub fn page(&mut self, text: &str, pager: Option<&str>) {
        /// Lines of a terminal that does not say how many it has.
        const LINES: usize = 24;
        let fits = !self.out_is_terminal || text.lines().count() < self.height.unwrap_or(LINES);
        match pager.filter(|_| !fits).map(|pager| through(pager, text)) {
            None => self.print(text),
            Some(Ok(())) => {}
            Some(Err(why)) => {
                self.note(&format!("Warning: the pager cannot be used: {why}"));
                self.print(text);
            }
        }
    }

    /// A line for standard error that says what went wrong.
    pub fn problem(&mut self, text: &str) {
        self.note(&format!("Error: {text}"));
    }

    /// A line for standard error.
    pub fn note(&mut self, text: &str) {
        let _closed = writeln!(self.err, "{text}").and_then(|()| self.err.flush());
    }

    /// Whether a person is there to answer.
    pub fn asks_somebody() -> bool {
        io::stdin().is_terminal()
    }

    /// Asks for a password without showing it; without a terminal reads a line.
    pub fn ask_password(&mut self, prompt: &str) -> Result<String, String> {
        if io::stdin().is_terminal() {
            return dialoguer::Password::new().with_prompt(prompt).allow_empty_password(true).interact().map_err(|why| why.to_string());
        }
        let mut line = String::new();
        io::stdin().read_line(&mut line).map_err(|why| why.to_string())?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// How wide a terminal says that it is: 0 is what one says that does not know (a serial console, `ssh -tt` without a terminal behind it).
fn known(columns: Option<u16>) -> Option<u16> {
    columns.filter(|columns| *columns > 0)
}

/// Gives a text to a program with its arguments, and waits for it.
fn through(pager: &str, text: &str) -> Result<(), String> {
    let mut words = pager.split_whitespace();
    let program = words.next().ok_or("no program is named")?;
    let mut child = Command::new(program).args(words).stdin(Stdio::piped()).spawn().map_err(|why| format!("{program}: {why}"))?;
    if let Some(mut input) = child.stdin.take() {
        // Who leaves a pager before its end wants no more.
        let _left = input.write_all(text.as_bytes());
    }
    child.wait().map(drop).map_err(|why| format!("{program}: {why}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_columns_are_no_width() {
        assert_eq!([Some(0), Some(80), None].map(super::known), [None, Some(80), None]);
    }
}
