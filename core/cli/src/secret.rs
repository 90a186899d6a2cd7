//! Passphrases that are asked for before a request is sent.

use berth_client::Call;
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
