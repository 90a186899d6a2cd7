//! Asks a controller for Berth's own words: found, signed in to and trusted as the LINSTOR client does.

use anyhow::bail;
use berth_cli::{Connection, Surroundings, Terminal, Trouble};
use berth_client::{Call, Reply, Response, Severity};

/// Sends one request and returns the answer, whatever its status.
///
/// # Errors
/// Options, files or certificates that cannot be used, and no answer; each says what to do ([`Trouble`]).
pub fn send(connection: &Connection, call: &Call) -> anyhow::Result<Response> {
    let client = connection.client(&Surroundings::of_process(), &mut Terminal::of_process())?;
    Ok(crate::daemon::runtime(1)?.block_on(client.send(call)).map_err(Trouble::from)?)
}

/// The text of a reply on one line, its remedy last.
pub fn told(reply: &Reply) -> String {
    [&reply.message, &reply.cause, &reply.correction].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The first error among the entries is the command's error; so is a status that says that it failed.
///
/// # Errors
/// See above.
pub fn refused(answer: &Response) -> anyhow::Result<()> {
    if let Some(reply) = answer.replies().unwrap_or_default().iter().find(|reply| reply.severity() == Severity::Error) {
        bail!("{}", told(reply));
    }
    if !answer.ok() {
        let text = String::from_utf8_lossy(&answer.body);
        let start: String = text.trim().chars().take(200).collect();
        bail!("what answered with status {} is no controller of Berth, or an older one: {start}", answer.status);
    }
    Ok(())
}
