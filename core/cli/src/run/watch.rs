//! `--watch`: a list that is shown again whenever it changes. Nothing is polled: the controller tells when there is something new.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Runner, Trouble};
use crate::exit;
use crate::plan::Show;

/// What happens within so long is shown together.
const TOGETHER: Duration = Duration::from_millis(150);
/// But something is shown at least so often while it goes on and on.
const AT_LEAST: Duration = Duration::from_secs(1);
/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

impl Runner<'_> {
    /// Shows a list, and shows it anew whenever it differs, until it is interrupted or nobody reads any more.
    pub(super) async fn watch(&mut self, show: &Show) -> Result<u8, Trouble> {
        if show.look.from_file.is_some() {
            return Err(Trouble::Usage("--watch: a file does not change by itself; leave out --from-file".to_owned()));
        }
        let client = Arc::clone(&self.client);
        let mut events = client.events(None);
        let mut shown: Option<Value> = None;
        while !self.terminal.is_closed() {
            // The first event says from when on changes are told: what is read after it misses none.
            events.next().await?;
            let until = Instant::now() + AT_LEAST;
            while Instant::now() < until
                && let Ok(event) = tokio::time::timeout(TOGETHER, events.next()).await
            {
                event?;
            }
            let response = match self.send(&show.call).await {
                Ok(response) => response,
                Err(trouble) if shown.is_some() => {
                    // The stream comes back by itself, and tells.
                    self.terminal.note(&trouble.to_string());
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            let mut document = response.json().unwrap_or_default();
            leave_out_moments(&mut document);
            if response.ok() && shown.as_ref() == Some(&document) {
                continue;
            }
            if self.terminal.out_is_terminal {
                self.terminal.print(CLEAR);
            } else if shown.is_some() {
                self.terminal.print("\n");
            }
            let code = self.show(show).await?;
            if code != exit::OK {
                return Ok(code);
            }
            shown = Some(document);
        }
        Ok(exit::OK)
    }
}

/// Takes out when a state was seen: no table shows it, and each report changes it.
fn leave_out_moments(document: &mut Value) {
    match document {
        Value::Object(members) => {
            members.remove("berth");
            members.values_mut().for_each(leave_out_moments);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_moments),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::leave_out_moments;

    #[test]
    fn moments_are_no_change() {
        let mut document = json!([{"name": "a", "berth": {"seen": "now"}, "volumes": [{"n": 0, "berth": {}}]}]);
        leave_out_moments(&mut document);
        assert_eq!(document, json!([{"name": "a", "volumes": [{"n": 0}]}]));
    }
}
