//! Where output goes, and what it can show.

use std::io::{self, IsTerminal, Write};

/// The two streams. A closed one ends nothing: a pager that was left is no error.
pub struct Terminal {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// Standard output is a terminal.
    pub out_is_terminal: bool,
    /// Standard error is a terminal.
    pub err_is_terminal: bool,
    /// Columns of the terminal on standard output.
    pub width: Option<u16>,
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
            width: if out_is_terminal { comfy_table::Table::new().width() } else { None },
        }
    }

    /// Streams of the caller's own, which are no terminals.
    pub fn captured(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { out, err, out_is_terminal: false, err_is_terminal: false, width: None }
    }

    /// Text for standard output.
    pub fn print(&mut self, text: &str) {
        let _closed = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// A line for standard error that says what went wrong.
    pub fn problem(&mut self, text: &str) {
        self.note(&format!("Error: {text}"));
    }

    /// A line for standard error.
    pub fn note(&mut self, text: &str) {
        let _closed = writeln!(self.err, "{text}").and_then(|()| self.err.flush());
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
