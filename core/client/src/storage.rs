//! [`Storage`] of plugins over the REST API: the same object whether requests go over the network or straight to a controller in this process.
//!
//! Source of the rules: REST API v1 as `docs/api.md` has it. Each change is preceded by a read, so that a controller that does not answer is told
//! within [`READ_WITHIN`], before anything was begun.

mod documents;
mod making;
mod using;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use berth_plugin_sdk::storage::{Active, Events, NewVolume, PoolSpace, Preview, Snapshot, Storage, Volume};
use berth_plugin_sdk::{Fault, FaultKind, Kib};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};

use self::documents::{Definition, Message, Node};
use crate::{Call, Client, ClientError, Endpoint, Options, Response};

/// A question is answered within this time, or nobody is there: the plugin must answer its own callers within 5 s.
pub const READ_WITHIN: Duration = Duration::from_millis(4500);
/// Something to be done is done within this time, or goes on without us.
const WRITE_WITHIN: Duration = Duration::from_secs(100);
/// Between two looks at something that must become true.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What [`Sends::send`] answers.
pub type Sending<'s> = Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send + 's>>;

/// Whatever carries a request to a controller.
pub trait Sends: Send + Sync {
    /// Sends a request and answers what came back, whatever its status.
    fn send<'s>(&'s self, call: &'s Call) -> Sending<'s>;
}

impl Sends for Client {
    fn send<'s>(&'s self, call: &'s Call) -> Sending<'s> {
        Box::pin(Client::send(self, call))
    }
}

/// The storage of a cluster, seen from one host.
pub struct RestStorage {
    sends: Arc<dyn Sends>,
    host: String,
    handle: Handle,
    /// Ends with the value, if it is this one's own.
    runtime: Option<Runtime>,
}

impl Drop for RestStorage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl RestStorage {
    /// A storage over `sends`, whose requests run on `handle`. `host`: the name of this host, as the node may be called.
    #[must_use]
    pub fn new(sends: Arc<dyn Sends>, host: &str, handle: Handle) -> Self {
        Self { sends, host: host.to_owned(), handle, runtime: None }
    }

    /// A storage over the network, with a thread of its own.
    ///
    /// # Errors
    /// `Unsupported`: certificates that cannot be used. `Bug`: the system gives no thread.
    pub fn connect(endpoints: Vec<Endpoint>, options: Options, host: &str) -> Result<Self, Fault> {
        let share = u32::try_from(endpoints.len()).unwrap_or(u32::MAX).max(1);
        // Each of them must have its turn before a question ends.
        let connect_within = (READ_WITHIN / share).min(Duration::from_secs(2));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("storage")
            .enable_all()
            .build()
            .map_err(|error| Fault::new(FaultKind::Bug, "No thread for requests to the controller").cause(error.to_string()))?;
        let client = Client::new(endpoints, Options { connect_within, timeout: None, ..options }).map_err(|error| {
            Fault::new(FaultKind::Unsupported, "The controller cannot be called")
                .cause(error.to_string())
                .correction("Correct the configuration")
        })?;
        Ok(Self { sends: Arc::new(client), host: host.to_owned(), handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Sends from whatever thread this is, and waits.
    fn send(&self, call: Call, within: Duration) -> Result<Response, Fault> {
        let (done, answer) = mpsc::sync_channel(1);
        let sends = Arc::clone(&self.sends);
        let what = format!("{} {}", call.method, call.path);
        self.handle.spawn(async move {
            let ended = tokio::time::timeout(within, sends.send(&call)).await;
            // Whoever asked waits below.
            let _ = done.send(ended);
        });
        // The task answers in time, unless its runtime has ended, which drops its end of the channel.
        match answer.recv() {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(error))) => Err(unanswered(&error)),
            Ok(Err(_)) if within == READ_WITHIN => Err(Fault::new(FaultKind::Timeout, "No controller answered within 5 s")
                .details(what)
                .correction("Look whether a controller runs, and whether this host reaches it")),
            Ok(Err(_)) => Err(Fault::new(FaultKind::Timeout, format!("The controller has not finished within {} s", within.as_secs()))
                .details(what)
                .correction("It goes on: try again, or look at it with 'berth job list'")),
            Err(_) => Err(Fault::new(FaultKind::Timeout, "This program is ending")),
        }
    }

    /// Asks for a document; `None`: it is not there.
    fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<Option<T>, Fault> {
        let what = call.path.clone();
        let response = self.send(call, READ_WITHIN)?;
        if response.status == 404 {
            return Ok(None);
        }
        if !response.ok() {
            return Err(refused(&response));
        }
        serde_json::from_slice(&response.body)
            .map(Some)
            .map_err(|error| Fault::new(FaultKind::Bug, "The controller's answer cannot be read").cause(error.to_string()).details(what))
    }

    /// Has something done. An answer with an error is a fault; warnings are not.
    fn order(&self, call: Call) -> Result<Response, Fault> {
        let response = self.send(call, WRITE_WITHIN)?;
        let bad = response.replies().is_some_and(|replies| replies.iter().any(|reply| reply.severity() == crate::Severity::Error));
        if bad || !response.ok() { Err(refused(&response)) } else { Ok(response) }
    }

    fn definition(&self, name: &str) -> Result<Option<Definition>, Fault> {
        let call = Call::get(&["resource-definitions", name]).query("with_volume_definitions", "true");
        if name.is_empty() { Ok(None) } else { self.ask(call) }
    }

    /// Volumes of definitions, with their replicas.
    fn volumes(&self, definitions: Vec<Definition>) -> Result<Vec<Volume>, Fault> {
        let mut all = Vec::with_capacity(definitions.len());
        // A line of a request has its limit.
        for some in definitions.chunks(64) {
            let names = some.iter().map(|definition| definition.name.clone());
            let replicas: Vec<documents::Replica> = if some.is_empty() {
                Vec::new()
            } else {
                self.ask(Call::get(&["view", "resources"]).query_each("resources", names))?.unwrap_or_default()
            };
            all.extend(some.iter().map(|definition| documents::volume(definition, &replicas)));
        }
        Ok(all)
    }

    fn must(&self, name: &str) -> Result<Volume, Fault> {
        self.get(name)?.ok_or_else(|| missing("Volume", name))
    }
}

fn missing(what: &str, name: &str) -> Fault {
    Fault::new(FaultKind::Lost, format!("{what} '{name}' not found"))
        .correction("Look for its name with 'linstor resource-definition list'")
}

fn unanswered(error: &ClientError) -> Fault {
    match error {
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => Fault::new(FaultKind::Timeout, "No controller answered")
            .cause(error.to_string())
            .correction("Look whether a controller runs, and whether this host reaches it"),
        ClientError::Broken { .. } => Fault::new(FaultKind::Timeout, "The controller went away before it answered")
            .cause(error.to_string())
            .correction("Try again: what was done already is not done twice"),
        ClientError::NoController | ClientError::Certificate(_) | ClientError::Refused { .. } | ClientError::Setup(_) => {
            Fault::new(FaultKind::Unsupported, "The controller cannot be called").cause(error.to_string())
        }
    }
}

/// What a number of the API means here.
fn kind(number: u16) -> FaultKind {
    match number {
        300..=399 => FaultKind::Lost,
        500..=599 => FaultKind::Foreign,
        // Not enough free space; no node for a new pool or replica; not enough nodes.
        980 | 985 | 996 => FaultKind::NoSpace,
        // Busy; in use.
        992 | 997 => FaultKind::InUse,
        _ => FaultKind::Unsupported,
    }
}

/// The fault of a refusal, in the controller's words.
fn refused(response: &Response) -> Fault {
    let mut replies: Vec<Message> = response.replies().unwrap_or_default().into_iter().map(Message::from).collect();
    if replies.is_empty() {
        // The answer of a clone wraps its entries.
        let wrapped = response
            .json()
            .and_then(|json| json.get("messages").cloned())
            .and_then(|list| serde_json::from_value::<Vec<crate::Reply>>(list).ok());
        replies = wrapped.unwrap_or_default().into_iter().map(Message::from).collect();
    }
    match replies.into_iter().find(|reply| reply.error) {
        Some(reply) => Fault::new(kind(reply.number), reply.message).cause(reply.cause).correction(reply.correction).details(
            if reply.details.is_empty() { format!("code {}", reply.number) } else { format!("{}\ncode {}", reply.details, reply.number) },
        ),
        None if response.status == 401 || response.status == 403 => {
            Fault::new(FaultKind::Unsupported, "The controller lets this plugin not do that")
                .cause(format!("it answered with status {}", response.status))
                .correction("Give the plugin a login whose role may do it")
        }
        None => Fault::new(FaultKind::Bug, format!("The controller answered with status {}", response.status))
            .details(String::from_utf8_lossy(&response.body).chars().take(500).collect::<String>()),
    }
}

impl Storage for RestStorage {
    fn node(&self) -> Result<String, Fault> {
        let nodes: Vec<Node> = self.ask(Call::get(&["nodes"]))?.unwrap_or_default();
        documents::this_node(&nodes, &self.host).ok_or_else(|| {
            let known: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).take(20).collect();
            Fault::new(FaultKind::Lost, format!("The cluster has no node '{}'", self.host))
                .cause(format!("Its nodes are {}", known.join(", ")))
                .correction("Join this host as a node of its own name, or say in the configuration what its node is called")
        })
    }

    fn preview(&self, new: &NewVolume) -> Result<Preview, Fault> {
        self.would_place(new)
    }

    fn create(&self, new: &NewVolume) -> Result<Volume, Fault> {
        self.make(new)
    }

    fn get(&self, name: &str) -> Result<Option<Volume>, Fault> {
        match self.definition(name)? {
            Some(definition) => Ok(self.volumes(vec![definition])?.pop()),
            None => Ok(None),
        }
    }

    fn list(&self, props: &BTreeMap<String, String>) -> Result<Vec<Volume>, Fault> {
        let asked = props.iter().map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") });
        let call = Call::get(&["resource-definitions"]).query("with_volume_definitions", "true").query_each("props", asked);
        let definitions = self.ask(call)?.unwrap_or_default();
        self.volumes(definitions)
    }

    fn delete(&self, name: &str, snapshots: bool) -> Result<(), Fault> {
        self.remove(name, snapshots)
    }

    fn set_props(&self, name: &str, set: &BTreeMap<String, String>, remove: &[String]) -> Result<(), Fault> {
        self.must(name)?;
        let body = serde_json::json!({"override_props": set, "delete_props": remove});
        self.order(Call::put(&["resource-definitions", name]).body(body)).map(drop)
    }

    fn activate(&self, name: &str, node: &str) -> Result<Active, Fault> {
        self.make_usable(name, node)
    }

    fn deactivate(&self, name: &str, node: &str) -> Result<(), Fault> {
        self.end_use(name, node)
    }

    fn snapshot(&self, name: &str, snapshot: &str) -> Result<Snapshot, Fault> {
        self.take_snapshot(name, snapshot)
    }

    fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>, Fault> {
        if name.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<documents::SnapshotDocument> =
            self.ask(Call::get(&["view", "snapshots"]).query("resources", name))?.unwrap_or_default();
        let mut all: Vec<Snapshot> = all.into_iter().map(Snapshot::from).collect();
        all.sort_by(|a, b| (a.created_ms, &a.name).cmp(&(b.created_ms, &b.name)));
        Ok(all)
    }

    fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        if self.snapshots(name)?.iter().any(|one| one.name.eq_ignore_ascii_case(snapshot)) {
            self.order(Call::delete(&["resource-definitions", name, "snapshots", snapshot]))?;
        }
        Ok(())
    }

    fn rollback(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        self.must(name)?;
        self.order(Call::post(&["resource-definitions", name, "snapshot-rollback", snapshot])).map(drop)
    }

    fn resize(&self, name: &str, size: Kib) -> Result<Volume, Fault> {
        let volume = self.must(name)?;
        if volume.size != size {
            let body = serde_json::json!({"size_kib": size.0});
            self.order(Call::put(&["resource-definitions", name, "volume-definitions", "0"]).body(body))?;
        }
        self.must(name)
    }

    fn rename(&self, name: &str, to: &str) -> Result<(), Fault> {
        self.must(name)?;
        let body = serde_json::json!({"new_name": to});
        self.order(Call::post(&["berth", "resource-definitions", name, "rename"]).body(body)).map(drop)
    }

    fn capacity(&self) -> Result<Vec<PoolSpace>, Fault> {
        let all: Vec<documents::Pool> = self.ask(Call::get(&["view", "storage-pools"]))?.unwrap_or_default();
        Ok(all.into_iter().map(PoolSpace::from).collect())
    }

    fn events(&self, after: Option<u64>, wait_ms: u32) -> Result<Events, Fault> {
        self.changes(after, Duration::from_millis(u64::from(wait_ms.min(20_000))))
    }

    fn read(&self, store: &str, key: &str) -> Result<Option<String>, Fault> {
        let found: Vec<documents::Store> = self.ask(Call::get(&["key-value-store", store]))?.unwrap_or_default();
        Ok(found.into_iter().next().and_then(|mut store| store.props.remove(key)))
    }

    fn write(&self, store: &str, key: &str, expected: Option<&str>, value: Option<&str>) -> Result<bool, Fault> {
        if self.read(store, key)?.as_deref() != expected {
            return Ok(false);
        }
        let mut body = serde_json::json!({"expected_props": {key: expected}});
        match value {
            Some(value) => body["override_props"] = serde_json::json!({key: value}),
            None => body["delete_props"] = Value::from(vec![key]),
        }
        match self.order(Call::put(&["key-value-store", store]).body(body)) {
            Ok(_) => Ok(true),
            // Somebody was faster.
            Err(fault) if fault.kind == FaultKind::InUse => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}
