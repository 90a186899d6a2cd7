//! Asks a controller for Berth's own words: found, signed in to and trusted as the LINSTOR client does.

use berth_cli::{Connection, Surroundings, Terminal, Trouble};
use berth_client::{Call, Reply, Response, Severity};
use serde_json::Value;

/// Sends one request and returns the answer, whatever its status.
///
/// # Errors
/// Options, files or certificates that cannot be used, and no answer; each says what to do ([`Trouble`]).
pub fn send(connection: &Connection, call: &Call) -> anyhow::Result<Response> {
    let client = connection.client(&Surroundings::of_process(), &mut Terminal::of_process())?;
    Ok(crate::daemon::runtime(1)?.block_on(client.send(call)).map_err(Trouble::from)?)
}

/// The controller said no: it refused, or what was asked about is not possible.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    /// That of LINSTOR's client for the same (contract 12.1).
    pub const EXIT_CODE: u8 = 10;
}

/// The document of an answer; `what` says what cannot be told without one.
///
/// # Errors
/// There is none: what answered is no controller, or one of another version ([`Trouble::Unexpected`]).
pub fn document(answer: &Response, what: &str) -> anyhow::Result<Value> {
    answer.json().ok_or_else(|| Trouble::Unexpected(what.to_owned()).into())
}

/// The text of a reply on one line, its remedy last.
pub fn told(reply: &Reply) -> String {
    [&reply.message, &reply.cause, &reply.correction].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The first error among the entries is the command's error; so is a status that says that it failed.
///
/// # Errors
/// [`Refused`], or [`Trouble::Unexpected`] for a status without an entry.
pub fn refused(answer: &Response) -> anyhow::Result<()> {
    if let Some(reply) = answer.replies().unwrap_or_default().iter().find(|reply| reply.severity() == Severity::Error) {
        return Err(Refused(told(reply)).into());
    }
    if !answer.ok() {
        let text = String::from_utf8_lossy(&answer.body);
        let start: String = text.trim().chars().take(200).collect();
        let what = format!("what answered with status {} is no controller of Berth, or an older one: {start}", answer.status);
        return Err(Trouble::Unexpected(what).into());
    }
    Ok(())
}
