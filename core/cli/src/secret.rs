//! What a person types or pipes in before a request is sent: passphrases, contents of files.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_client::{Call, Response};
use serde_json::{Value, json};

use crate::plan::Asked;
use crate::run::Trouble;
use crate::terminal::Terminal;

/// The request with what its user typed. What is asked for twice must be the same; what is piped in is read once.
///
/// # Errors
/// Nothing to read from, or two that differ.
pub fn filled(terminal: &mut Terminal, call: &Call, asked: &[Asked]) -> Result<Call, Trouble> {
    let mut body = call.body.clone().unwrap_or_else(|| json!({}));
    for one in asked {
        let typed = terminal.ask_password(one.prompt).map_err(Trouble::Usage)?;
        if one.twice && Terminal::asks_somebody() {
            let again = terminal.ask_password(&format!("{} again", one.prompt)).map_err(Trouble::Usage)?;
            if typed != again {
                return Err(Trouble::Usage("the two differ; nothing was sent".to_owned()));
            }
        }
        match one.member {
            Some(member) => body[member] = Value::from(typed),
            None => body = Value::from(typed),
        }
    }
    Ok(call.clone().body(body))
}

/// The content of a file as the API gives it.
///
/// # Errors
/// It is no base64.
pub fn decoded(content: &str) -> Result<Vec<u8>, Trouble> {
    STANDARD.decode(content).map_err(|error| Trouble::Unexpected(format!("the content of the file is no base64: {error}")))
}

/// What is to be written into a file, in base64: what is piped in, or what `$EDITOR` makes of what is there. `None`: nothing was changed.
///
/// # Errors
/// Nothing to read from, or no editor that can be used.
pub fn file_content(terminal: &mut Terminal, before: &Response) -> Result<Option<String>, Trouble> {
    if !Terminal::asks_somebody() {
        let mut content = Vec::new();
        std::io::stdin().read_to_end(&mut content).map_err(|error| Trouble::Usage(format!("standard input: {error}")))?;
        return Ok(Some(STANDARD.encode(content)));
    }
    let old = match before.json().filter(|_| before.ok()) {
        Some(document) => decoded(document["content"].as_str().unwrap_or_default())?,
        None => Vec::new(),
    };
    let new = edited(&old)?;
    if new == old && before.ok() {
        terminal.note("Nothing was changed.");
        return Ok(None);
    }
    Ok(Some(STANDARD.encode(new)))
}

/// What an editor makes of a text. The file is its user's alone, and gone afterwards.
fn edited(old: &[u8]) -> Result<Vec<u8>, Trouble> {
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().ok_or_else(|| Trouble::Usage("set EDITOR, or pipe the content in".to_owned()))?;
    let failed = |what: &str, error: &dyn std::fmt::Display| Trouble::Usage(format!("{what}: {error}; set EDITOR, or pipe the content in"));
    let folder = std::env::temp_dir().join(format!("berth-edit-{}", std::process::id()));
    let file = folder.join("file");
    let work = || -> Result<Vec<u8>, Trouble> {
        std::fs::write(&file, old).map_err(|error| failed("the file for the editor", &error))?;
        let ended = std::process::Command::new(program).args(words).arg(&file).status().map_err(|error| failed(&editor, &error))?;
        if !ended.success() {
            return Err(failed(&editor, &ended));
        }
        std::fs::read(&file).map_err(|error| failed("what the editor wrote", &error))
    };
    make_private(&folder).map_err(|error| failed("a folder for the editor", &error))?;
    let outcome = work();
    drop(std::fs::remove_dir_all(&folder));
    outcome
}

/// Makes a folder that nobody else can look into, and that was not there.
fn make_private(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}
