//! One command after the other, with a history.

use std::ffi::OsString;
use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::run::{Runner, Trouble};
use crate::settings::{Settings, Surroundings, take_dry_run};
use crate::terminal::Terminal;
use crate::{NotUnderstood, Task, complain, exit, understand};

const PROMPT: &str = "LINSTOR ==> ";

/// What a line of the session was.
enum Line {
    Words(Vec<OsString>),
    Nothing,
    End,
}

/// Reads commands until `exit`, `quit` or the end of input; a lost connection ends it too.
pub async fn session(settings: Settings, around: &Surroundings, terminal: &mut Terminal) -> u8 {
    let history = around.user_folder().map(|folder| folder.join("client.history"));
    let mut editor = match open(history.as_ref()) {
        Ok(editor) => editor,
        Err(why) => {
            terminal.problem(&why.to_string());
            return exit::USAGE;
        }
    };
    terminal.print("help lists the commands, exit leaves.\n");
    let code = loop {
        // Reading a line blocks; it must not hold up the runtime that drives the connection.
        let (line, back) = match tokio::task::spawn_blocking(move || (editor.readline(PROMPT), editor)).await {
            Ok(read) => read,
            Err(why) => {
                terminal.problem(&format!("reading the line failed: {why}"));
                return exit::USAGE;
            }
        };
        editor = back;
        let words = match read_line(line, &mut editor, terminal) {
            Line::Words(words) => words,
            Line::Nothing => continue,
            Line::End => break exit::OK,
        };
        if let Some(code) = one_command(&words, &settings, around, terminal).await {
            break code;
        }
    };
    if let Some(history) = history {
        // A history that cannot be written is no reason to fail.
        let _unwritten = editor.save_history(&history);
    }
    code
}

fn open(history: Option<&PathBuf>) -> Result<DefaultEditor, ReadlineError> {
    let mut editor = DefaultEditor::new()?;
    if let Some(history) = history {
        if let Some(folder) = history.parent() {
            let _uncreated = std::fs::create_dir_all(folder);
        }
        let _none_yet = editor.load_history(history);
    }
    Ok(editor)
}

fn read_line(line: Result<String, ReadlineError>, editor: &mut DefaultEditor, terminal: &mut Terminal) -> Line {
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
    let _unstored = editor.add_history_entry(line);
    match split(line) {
        Some(words) if words.len() == 1 && (words[0] == "exit" || words[0] == "quit") => Line::End,
        Some(words) => Line::Words(words.into_iter().map(OsString::from).collect()),
        None => {
            terminal.problem("a quotation mark is not closed");
            Line::Nothing
        }
    }
}

/// Runs one command of a session. `Some` ends the session with this code.
async fn one_command(words: &[OsString], settings: &Settings, around: &Surroundings, terminal: &mut Terminal) -> Option<u8> {
    let (mut words, mut settings) = (words.to_vec(), settings.clone());
    settings.dry_run |= take_dry_run(&mut words);
    let plan = match understand(&words, &settings) {
        Ok(Task::Plan(plan)) => plan,
        Ok(Task::Print(text)) => {
            terminal.print(&text);
            return None;
        }
        Ok(Task::Interactive) => return None,
        Err(NotUnderstood::Grammar(error)) => {
            complain(&error, terminal);
            return None;
        }
        Err(NotUnderstood::Usage(bad)) => {
            terminal.problem(&bad.to_string());
            return None;
        }
    };
    let outcome = match Runner::new(settings, around, terminal) {
        Ok(mut runner) => runner.carry_out(&plan).await,
        Err(trouble) => Err(trouble),
    };
    let lost = matches!(outcome, Err(Trouble::Connection(_)));
    let code = crate::finish(outcome, terminal);
    lost.then_some(code)
}

/// Splits a line as a shell does: blanks, quotes of both kinds, backslashes. `None` if a quote is not closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            quote @ ('\'' | '"') => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        c if c == quote => break,
                        '\\' if quote == '"' => word.extend(chars.next()),
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lines_are_split_like_in_a_shell() {
        let check = |line: &str, words: &[&str]| assert_eq!(split(line).expect("closed"), words, "{line}");
        check("  node  list ", &["node", "list"]);
        check("c sp k 'a b' \"c \\\" d\" e\\ f ''", &["c", "sp", "k", "a b", "c \" d", "e f", ""]);
        assert!(split("c sp k 'a").is_none());
    }
}
