//! Carries out plans against controllers and prints what comes back.

mod download;
mod told;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_client::{Call, Client, ClientError, Reply, Response, Severity};
use serde_json::Value;

use crate::exit;
use crate::output::{self, Format};
use crate::plan::{Look, Plan, Show, View};
use crate::progress::while_waiting;
use crate::settings::{OutputVersion, Settings, Surroundings};
use crate::table::{Screen, Table};
use crate::terminal::Terminal;
use crate::{connection, curl, hints, json, reply_text, value, view};

/// How often a job is asked whether it is done.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Why a plan ended early; each has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No controller, or none that can be used.
    #[error("{0}")]
    Connection(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// What came back is not what the API answers.
    #[error("{0}")]
    Unexpected(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// An option does not fit what came back.
    #[error("{0}")]
    Usage(String),
    /// It is understood, but not for now.
    #[error("{0}")]
    State(String),
}

impl Trouble {
    /// See [`exit`].
    pub fn code(&self) -> u8 {
        match self {
            Self::Connection(_) => exit::CONNECTION,
            Self::Timeout(_) => exit::TIMEOUT,
            Self::Unexpected(_) => exit::UNEXPECTED,
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::Usage(_) => exit::USAGE,
            Self::State(_) => exit::STATE,
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        if let Some(advice) = connection::of_certificates(&text) {
            return Self::Connection(format!("{text}; {advice}"));
        }
        match &error {
            ClientError::Timeout { .. } => Self::Timeout(format!("{error}; --timeout gives it more")),
            ClientError::Certificate(_) => Self::Connection(format!("{error}; --certfile, --keyfile and --cafile name PEM files")),
            ClientError::Unreachable { .. } => Self::Connection(format!(
                "{error}; is the controller running ('systemctl status berth-controller' there)? --controllers or LS_CONTROLLERS says where"
            )),
            ClientError::NoController | ClientError::Broken { .. } | ClientError::Refused { .. } | ClientError::Setup(_) => {
                Self::Connection(error.to_string())
            }
        }
    }
}

/// A connection to controllers with the settings of this run; several commands may share it.
pub struct Runner<'t> {
    settings: Settings,
    client: Arc<Client>,
    terminal: &'t mut Terminal,
}

impl<'t> Runner<'t> {
    /// # Errors
    /// A login that must not go over a plain connection, or options that need TLS.
    pub fn new(settings: Settings, around: &Surroundings, terminal: &'t mut Terminal) -> Result<Self, Trouble> {
        let client = connection::shared(&settings, around, terminal)?;
        Ok(Self { settings, client, terminal })
    }

    /// Carries out a plan and returns the exit code.
    ///
    /// # Errors
    /// Everything that is not a reply of the controller.
    pub async fn carry_out(&mut self, plan: &Plan) -> Result<u8, Trouble> {
        if let Plan::Later(what) = plan {
            self.terminal.problem(&format!("{what}: not supported yet by this version, nothing was changed{}", hints::instead(what)));
            return Ok(exit::UNSUPPORTED);
        }
        let dry = if self.settings.dry_run { plan.dry(if self.settings.machine { "plan" } else { "true" }) } else { None };
        if self.settings.dry_run && dry.is_none() {
            self.terminal.note("--dry-run: this command changes nothing anyway");
        }
        let plan = dry.as_ref().unwrap_or(plan);
        if self.settings.curl {
            for call in plan.calls() {
                let line = curl::line(call, self.client.current());
                self.terminal.print(&format!("{line}\n"));
            }
            return Ok(exit::OK);
        }
        if dry.is_some() {
            if !self.knows_dry_runs().await? {
                let base = self.client.current().base();
                self.terminal.problem(&format!("the controller at {base} does not know dry runs; nothing was sent to it"));
                return Ok(exit::UNSUPPORTED);
            }
            if let [_, _, ..] = plan.calls().as_slice() {
                self.terminal.note("--dry-run: several requests, each asked by itself: none sees what the ones before it would have done");
            }
        }
        self.ask(plan).await.map_err(|trouble| match trouble {
            Trouble::Unexpected(text) => Trouble::Unexpected(format!("{text} (from {})", self.client.current())),
            Trouble::Connection(_) | Trouble::Timeout(_) | Trouble::NotFound(_) | Trouble::Usage(_) | Trouble::State(_) => trouble,
        })
    }

    async fn ask(&mut self, plan: &Plan) -> Result<u8, Trouble> {
        if self.settings.watch && !matches!(plan, Plan::Show(_)) {
            return Err(Trouble::Usage("--watch: this command shows no list".to_owned()));
        }
        match plan {
            Plan::Write(calls) => self.write(calls).await,
            Plan::Show(show) if self.settings.watch => self.watch(show).await,
            Plan::Secret { call, asked } => {
                let call = crate::secret::filled(self.terminal, call, asked)?;
                // Who pressed Ctrl-C at the question wants nothing sent; only here that is heard.
                tokio::task::yield_now().await;
                self.write(&[call]).await
            }
            Plan::File { path, dry } => {
                let before = self.send(&Call::get(&["files", path])).await?;
                match crate::secret::file_content(self.terminal, &before)? {
                    Some(content) => {
                        let body = serde_json::json!({"path": path, "content": content});
                        let call = Call::put(&["files", path]).body(body);
                        let call = dry.iter().fold(call, |call, how| call.query("dry_run", how));
                        self.write(&[call]).await
                    }
                    None => Ok(exit::OK),
                }
            }
            Plan::Show(show) => self.show(show).await,
            Plan::Download { call, to } => self.download(call, to.as_deref()).await,
            Plan::Clone { call, source, wait } => self.clone(call, source, *wait).await,
            Plan::WaitSync { call, within } => self.wait_sync(call, *within).await,
            Plan::Reports(calls) => self.reports(calls).await,
            Plan::Which => self.which().await,
            Plan::Advise { what, look } => self.advise(what, look).await,
            Plan::Explain { key, about, calls } => self.explain(key, about, calls).await,
            Plan::Transaction(_) => Err(Trouble::State(
                "create-transactional is for interactive mode: call linstor without a command, then 'resource create-transactional begin'"
                    .to_owned(),
            )),
            Plan::Later(_) => Ok(exit::UNSUPPORTED),
        }
    }

    /// Whether the controller would take a dry request for dry: one that does not know the word would do it. It is asked for a way
    /// of reading that does not exist; only who looks at the word refuses it.
    async fn knows_dry_runs(&mut self) -> Result<bool, Trouble> {
        let probe = Call::get(&["controller", "version"]).query("dry_run", "probe");
        Ok(self.send(&probe).await?.status == 400)
    }

    async fn send(&mut self, call: &Call) -> Result<Response, Trouble> {
        if self.settings.verbose {
            self.terminal.note(&format!("{} {}{}", call.method, self.client.current().base(), call.target()));
        }
        let spinner = self.terminal.err_is_terminal && !self.settings.machine;
        Ok(while_waiting(spinner, "waiting for the controller", self.client.send(call)).await?)
    }

    /// Sends changes; with several all are sent, whatever the first ones bring.
    async fn write(&mut self, calls: &[Call]) -> Result<u8, Trouble> {
        let mut bodies = Vec::new();
        let mut worst = exit::OK;
        for call in calls {
            let response = self.send(call).await?;
            let replies = entries(&response)?;
            worst = worst.max(self.judge(&replies));
            if self.as_document() {
                bodies.push(response.body);
            } else {
                self.print_replies(&replies);
                self.hint(call, &replies);
            }
        }
        if self.settings.machine {
            self.print_json(&joined(&bodies))?;
            return Ok(exit::OK);
        }
        if self.as_document() {
            let replies = document(&joined(&bodies)).unwrap_or_default();
            self.print_form(&replies, |rows| view::replies(value::rows(rows)))?;
        }
        Ok(worst)
    }

    /// Whether the output is a document for programs, and not for people.
    fn as_document(&self) -> bool {
        self.settings.machine || matches!(self.settings.format, Some(Format::Json | Format::Yaml | Format::Csv))
    }

    async fn show(&mut self, show: &Show) -> Result<u8, Trouble> {
        let (body, document) = match &show.look.from_file {
            Some(path) => of_file(path, &show.view)?,
            None => {
                let response = self.send(&show.call).await?;
                if !response.ok() {
                    return self.refused(&response);
                }
                let document = document(&response.body).ok_or_else(|| Trouble::Unexpected("the answer is no JSON document".to_owned()))?;
                if let View::Involved { node, .. } = &show.view
                    && !value::rows(&document).iter().any(|row| value::text(row, "node_name").eq_ignore_ascii_case(node))
                {
                    // Nothing is there, or nothing is meant: a slip of the pen shall not look like a node that is free.
                    self.must_be_node(node).await?;
                }
                (response.body, document)
            }
        };
        if self.settings.machine {
            return self.show_machine(show, &body, &document);
        }
        if let Some(form @ (Format::Json | Format::Yaml)) = self.settings.format {
            return self.show_document(show, &document, form);
        }
        // Forms for programs have every column.
        let wide = self.settings.format.is_some();
        let show = &Show { look: if wide { show.look.clone().widened() } else { show.look.clone() }, ..show.clone() };
        match &show.view {
            View::Version => {
                let line =
                    format!("linstor controller {}; GIT-hash: {}\n", value::text(&document, "version"), value::text(&document, "git_hash"));
                self.terminal.print(&line);
            }
            View::SpaceReport => self.terminal.print(&format!("{}\n", value::text(&document, "reportText"))),
            View::Props(member) => {
                let mut table = Table::new(["Key", "Value"]);
                table.rows.extend(view::properties(&document, *member).into_iter().map(|(key, value)| vec![key.into(), value.into()]));
                self.print_table(table, &show.look)?;
            }
            View::FileContent => {
                let content = crate::secret::decoded(value::text(&document, "content"))?;
                self.terminal.print(&String::from_utf8_lossy(&content));
            }
            View::NodeTree => {
                let pools = self.read(&Call::get(&["view", "storage-pools"])).await?;
                let resources = self.read(&Call::get(&["view", "resources"])).await?;
                let trees = view::node_trees(value::rows(&document), value::rows(&pools), value::rows(&resources));
                self.terminal.print(&trees);
            }
            View::Groups => {
                let mut volume_groups = Vec::new();
                if show.look.from_file.is_none() {
                    for group in value::rows(&document) {
                        volume_groups.push(self.read(&Call::get(&["resource-groups", value::text(group, "name"), "volume-groups"])).await?);
                    }
                }
                let table = view::groups(value::rows(&document), &volume_groups, &show.look);
                self.print_table(table, &show.look)?;
            }
            other => {
                let replies: Vec<Reply> =
                    document.get("reports").and_then(|reports| serde_json::from_value(reports.clone()).ok()).unwrap_or_default();
                if !replies.is_empty() && document.get("space_info").is_none() {
                    self.print_replies(&replies);
                    return Ok(self.judge(&replies));
                }
                let missing = || Trouble::NotFound(format!("there is no {}", named(other)));
                let table = view::table(other, &document, &show.look).ok_or_else(missing)?;
                self.print_table(table, &show.look)?;
            }
        }
        Ok(exit::OK)
    }

    fn show_machine(&mut self, show: &Show, body: &[u8], document: &Value) -> Result<u8, Trouble> {
        if let View::Props(member) = &show.view {
            let pairs: Vec<Value> = view::properties(document, *member)
                .into_iter()
                .map(|(key, value)| serde_json::json!({"key": key, "value": value}))
                .collect();
            return self.print_value(&serde_json::json!([pairs]));
        }
        if let View::KeyValue(instance) = &show.view {
            let found: Vec<&Value> =
                value::rows(document).iter().filter(|row| value::text(row, "name").eq_ignore_ascii_case(instance)).collect();
            return self.print_value(&serde_json::json!([found]));
        }
        if show.view == View::Version {
            self.print_json(body)?;
            return Ok(exit::OK);
        }
        if let View::Involved { node, in_use, diskful, at_most } = &show.view {
            let rows = view::involved(value::rows(document), node, *in_use, *diskful, *at_most);
            return self.print_value(&serde_json::json!([rows]));
        }
        if self.settings.output_version == OutputVersion::V0
            && let Some(old) = view::flatten(&show.view, document)
        {
            return self.print_value(&serde_json::json!([old]));
        }
        self.print_json(&[b"[", body, b"]"].concat())?;
        Ok(exit::OK)
    }

    async fn clone(&mut self, call: &Call, source: &str, wait: Option<Option<u64>>) -> Result<u8, Trouble> {
        let response = self.send(call).await?;
        let document = response.json();
        let messages = document.as_ref().and_then(|document| document.get("messages")).cloned();
        let replies: Vec<Reply> = match messages.map(serde_json::from_value) {
            Some(Ok(replies)) => replies,
            Some(Err(_)) => return Err(unexpected(&response)),
            None => response.replies().or_else(|| response.ok().then(Vec::new)).ok_or_else(|| unexpected(&response))?,
        };
        if self.settings.machine {
            self.print_json(&[b"[", response.body.as_slice(), b"]"].concat())?;
        } else {
            self.print_replies(&replies);
        }
        let code = self.judge(&replies);
        let failed = !response.ok() || code != exit::OK;
        let Some(within) = wait.filter(|_| !failed) else {
            return Ok(if self.settings.machine { exit::OK } else { code });
        };
        let target = document.as_ref().map(|document| value::text(document, "clone_name").to_owned()).unwrap_or_default();
        let question = Call::get(&["resource-definitions", source, "clone", &target]);
        let done = self.ask_until(&question, within, "cloning", |answer| match value::text(answer, "status") {
            "COMPLETE" => Some(true),
            "FAILED" => Some(false),
            _ => None,
        });
        let complete = done.await?;
        if !self.settings.machine {
            let text =
                if complete { format!("'{source}' is cloned to '{target}'") } else { format!("cloning '{source}' to '{target}' failed") };
            let ret_code = if complete { 1 } else { i64::MIN | 1 << 62 };
            self.print_replies(&[Reply { ret_code, message: Some(text), ..Reply::default() }]);
        }
        Ok(if complete { exit::OK } else { exit::API })
    }

    async fn wait_sync(&mut self, call: &Call, within: Option<u64>) -> Result<u8, Trouble> {
        let synced = self.ask_until(call, within, "waiting for all replicas", |answer| {
            (answer.get("synced_on_all").and_then(Value::as_bool) == Some(true)).then_some(true)
        });
        match synced.await {
            Ok(_) => Ok(exit::OK),
            Err(Trouble::NotFound(text)) if text.is_empty() => Ok(exit::API),
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks again until `judge` has an answer. An error reply is printed and ends it.
    async fn ask_until(
        &mut self,
        call: &Call,
        within: Option<u64>,
        what: &str,
        judge: impl Fn(&Value) -> Option<bool>,
    ) -> Result<bool, Trouble> {
        let end = within.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let spinner = self.terminal.err_is_terminal && !self.settings.machine;
        let client = &self.client;
        let asked = while_waiting(spinner, what, async {
            loop {
                let response = client.send(call).await?;
                if !response.ok() {
                    return Ok(Err(response));
                }
                if let Some(answer) = response.json().as_ref().and_then(&judge) {
                    return Ok(Ok(answer));
                }
                if end.is_some_and(|end| Instant::now() >= end) {
                    return Err(Trouble::Timeout(format!("{what}: not done in the time given; it goes on")));
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        })
        .await?;
        match asked {
            Ok(answer) => Ok(answer),
            Err(response) => {
                self.refused(&response)?;
                Err(Trouble::NotFound(String::new()))
            }
        }
    }

    async fn reports(&mut self, calls: &[Call]) -> Result<u8, Trouble> {
        let mut bodies = Vec::new();
        let mut code = exit::OK;
        for call in calls {
            let response = self.send(call).await?;
            if !response.ok() {
                code = code.max(self.refused(&response)?);
                continue;
            }
            let document = response.json().ok_or_else(|| unexpected(&response))?;
            if value::rows(&document).is_empty() && !self.settings.machine {
                let id = call.path.rsplit('/').next().unwrap_or_default();
                self.terminal.problem(&format!("there is no error report '{id}'"));
                code = code.max(exit::NOT_FOUND);
            }
            if self.settings.machine {
                bodies.push(response.body);
            } else {
                for report in value::rows(&document) {
                    self.terminal.print(&format!("{}\n", value::text(report, "text").trim_end()));
                }
            }
        }
        if self.settings.machine {
            self.print_json(&[b"[".as_slice(), &joined(&bodies), b"]"].concat())?;
        }
        Ok(code)
    }

    async fn which(&mut self) -> Result<u8, Trouble> {
        self.send(&Call::get(&["controller", "version"])).await?;
        let uri = self.client.current().to_string();
        if self.settings.machine {
            return self.print_value(&serde_json::json!({"controller_uri": uri}));
        }
        self.terminal.print(&format!("{uri}\n"));
        Ok(exit::OK)
    }

    /// Reads one more document that a table needs; what is refused is left out.
    async fn read(&mut self, call: &Call) -> Result<Value, Trouble> {
        let response = self.send(call).await?;
        Ok(if response.ok() { response.json().unwrap_or_default() } else { Value::Null })
    }

    /// A read that was answered with replies.
    fn refused(&mut self, response: &Response) -> Result<u8, Trouble> {
        let replies = response.replies().ok_or_else(|| unexpected(response))?;
        if self.settings.machine {
            self.print_json(&response.body)?;
            return Ok(exit::OK);
        }
        self.print_replies(&replies);
        // The status says that it failed, even if no entry does.
        Ok(self.judge(&replies).max(exit::API))
    }

    fn judge(&self, replies: &[Reply]) -> u8 {
        let limit = if self.settings.warn_as_error { Severity::Warning } else { Severity::Error };
        if replies.iter().any(|reply| reply.severity() >= limit) { exit::API } else { exit::OK }
    }

    fn print_replies(&mut self, replies: &[Reply]) {
        let colour = self.settings.colour && self.terminal.out_is_terminal;
        let text: String = replies.iter().map(|reply| reply_text::render(reply, colour)).collect();
        self.terminal.print(&text);
    }

    fn print_table(&mut self, table: Table, look: &Look) -> Result<(), Trouble> {
        if self.settings.format == Some(Format::Csv) {
            self.terminal.print(&output::csv(&table));
            return Ok(());
        }
        let screen =
            Screen { colour: self.settings.colour && self.terminal.out_is_terminal, utf8: self.settings.utf8, width: self.terminal.width };
        let text = table.draw(look, screen).map_err(Trouble::Usage)?;
        self.terminal.page(&text, self.settings.pager.as_deref());
        Ok(())
    }

    fn print_json(&mut self, raw: &[u8]) -> Result<(), Trouble> {
        let text = json::indent(raw).ok_or_else(|| Trouble::Unexpected("the answer is no JSON document".to_owned()))?;
        self.terminal.print(&format!("{text}\n"));
        Ok(())
    }

    fn print_value(&mut self, value: &Value) -> Result<u8, Trouble> {
        self.print_json(value.to_string().as_bytes())?;
        Ok(exit::OK)
    }
}

/// What a view is about, for "there is no …".
fn named(view: &View) -> String {
    match view {
        View::KeyValue(instance) => format!("key-value store '{instance}'"),
        _ => "such object".to_owned(),
    }
}

/// The entries of a change's answer. A success without a body has none.
fn entries(response: &Response) -> Result<Vec<Reply>, Trouble> {
    match response.replies() {
        Some(replies) => Ok(replies),
        None if response.ok() && response.body.iter().all(u8::is_ascii_whitespace) => Ok(Vec::new()),
        None => Err(unexpected(response)),
    }
}

fn unexpected(response: &Response) -> Trouble {
    /// So much of a foreign answer helps to see what answered.
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&response.body);
    let start: String = text.trim().chars().take(SHOWN).collect();
    let what = "is it a controller that answers there, and not a proxy or another program?";
    Trouble::Unexpected(format!("unexpected answer, HTTP status {}; {what} It said: {start}", response.status))
}

/// A document, also one that was printed by `-m` (a list in a list).
fn document(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().map(unwrapped)
}

fn unwrapped(document: Value) -> Value {
    match document {
        Value::Array(mut outer) if outer.len() == 1 && outer[0].is_array() => outer.pop().unwrap_or_default(),
        other => other,
    }
}

/// The document in a file, as it is and read.
///
/// # Errors
/// A file that cannot be read, that holds no JSON, or a document that this view does not show.
fn of_file(path: &Path, view: &View) -> Result<(Vec<u8>, Value), Trouble> {
    let path_shown = path.display();
    let body = std::fs::read(path).map_err(|why| Trouble::NotFound(format!("{path_shown}: {why}; --from-file names it")))?;
    let how = "the same command with -o json writes one";
    let broken = |why: serde_json::Error| Trouble::Usage(format!("{path_shown} holds no JSON document: {why}; {how}"));
    let document = unwrapped(serde_json::from_slice(&body).map_err(broken)?);
    match view::misfit(view, &document) {
        None => Ok((body, document)),
        Some(why) => Err(Trouble::Usage(format!("{path_shown} holds no document of this list: {why}; {how}"))),
    }
}

/// Several JSON lists as one, without touching their elements.
fn joined(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![b'['];
    for body in bodies {
        let body = body.trim_ascii();
        let inner = body.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(body).trim_ascii();
        if !inner.is_empty() {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(inner);
        }
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::{document, joined};

    #[test]
    fn lists_are_joined_as_they_are() {
        assert_eq!(joined(&[b" [1.50] ".to_vec(), b"[]".to_vec(), b"[2]".to_vec(), Vec::new()]), b"[1.50,2]");
        assert_eq!(joined(&[]), b"[]");
    }

    #[test]
    fn machine_output_is_a_document_again() {
        assert_eq!(document(b"[[{\"a\":1}]]"), Some(serde_json::json!([{"a": 1}])));
        assert_eq!(document(b"[{\"a\":1}]"), Some(serde_json::json!([{"a": 1}])));
    }
}
