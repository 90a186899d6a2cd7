//! A draft: the cluster as a command sees it while it decides, with what it has changed so far.

use std::collections::BTreeSet;

use berth_model::access::Caller;
use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::ids::{Id, IdSource, kind};
use berth_model::job::{Awaited, Job, Subject, Task};
use berth_model::names::{FilePath, NodeName, ResourceName, StorPoolName, VolumeNumber};
use berth_model::observed::Observed;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use uuid::Uuid;

use crate::places::Asked;
use crate::vault::Keys;

/// Questions to the placer that one decision keeps: each may name every pool of the cluster.
const MOST_ASKED: usize = 32;

/// What a decision may use beside the cluster. Everything that is not a function of the cluster comes in here.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The moment of the decision.
    pub now: Timestamp,
    /// Ids for new objects, from a fresh seed.
    pub ids: IdSource,
    /// Fresh random text of at least 20 letters and digits, for the secret of a new definition.
    pub secret: String,
    /// Who asks.
    pub caller: Caller,
    /// What satellites have seen.
    pub observed: &'a Observed,
    /// Fresh keys for volumes that are encrypted.
    pub keys: &'a dyn Keys,
}

/// What the shell must do after the commit. Losing one is harmless: each is only a wake-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Connect to this node's satellite anew, now.
    Reconnect(NodeName),
}

/// A decision: what to commit, what to answer, what to wait for.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Changes in their order; may be empty.
    pub changes: Vec<Change>,
    /// Entries of the answer, in order.
    pub replies: Vec<Reply>,
    /// Jobs that the answer waits for; their entries follow.
    pub jobs: Vec<Id<kind::Job>>,
    /// A node whose first connection attempt the answer waits for.
    pub await_node: Option<NodeName>,
    /// A new storage pool that its satellite must have looked at before the answer; one that cannot be used is taken back.
    pub await_pool: Option<AwaitedPool>,
    /// Items that their satellites must have looked at under the plan of this commit before the answer: stable paths move.
    pub await_items: Vec<Awaited>,
    /// An external file that satellites must have looked at before the answer.
    pub await_file: Option<AwaitedFile>,
    /// What the shell must do after the commit.
    pub effects: Vec<Effect>,
}

/// A storage pool whose first look an answer waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedPool {
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub name: StorPoolName,
    /// Its generation id.
    pub id: Uuid,
}

/// An external file that an answer waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedFile {
    /// Its path.
    pub path: FilePath,
    /// The nodes that are to have it and may write it.
    pub nodes: Vec<NodeName>,
}

/// A refusal: nothing changes. At least one entry is an error.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Entries of the answer, in order.
    pub replies: Vec<Reply>,
}

impl From<Reply> for Refused {
    fn from(reply: Reply) -> Self {
        Self { replies: vec![reply] }
    }
}

/// The cluster while a command decides.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The cluster with all changes so far.
    pub cluster: Cluster,
    /// What the decision may use.
    pub context: Context<'a>,
    /// The decision so far.
    pub applied: Applied,
    /// What the placer was asked, also where it was in vain.
    pub asked: Vec<Asked>,
    /// Replicas that this decision makes, and replicas that it gives a disk: none of them holds data yet.
    pub new_replicas: BTreeSet<Uuid>,
    /// Volumes whose block size this decision chose: it may still choose a larger one.
    pub sized: BTreeSet<(ResourceName, VolumeNumber)>,
    defaults: (Operation, ObjectMask),
    refs: Vec<(String, String)>,
}

/// What answers repeat of a value: as much as the longest name has, so that an answer to nonsense stays small.
fn repeated(value: &str) -> String {
    const MOST: usize = 255;
    value.chars().take(MOST).collect()
}

impl<'a> Draft<'a> {
    /// Starts from `cluster`.
    #[must_use]
    pub fn new(cluster: &Cluster, context: Context<'a>) -> Self {
        Self {
            cluster: cluster.clone(),
            context,
            applied: Applied::default(),
            asked: Vec::new(),
            new_replicas: BTreeSet::new(),
            sized: BTreeSet::new(),
            defaults: (Operation::Modify, ObjectMask::Controller),
            refs: Vec::new(),
        }
    }

    /// Sets what the request does to which kind of object, and the objects that each entry names (contract: context of a request).
    pub fn about(&mut self, operation: Operation, object: ObjectMask, refs: &[(&str, &str)]) {
        self.defaults = (operation, object);
        self.refs = refs.iter().map(|(key, value)| ((*key).to_owned(), repeated(value))).collect();
    }

    /// Adds an object that each entry names from now on.
    pub fn refer(&mut self, key: &str, value: impl ToString) {
        self.refs.push((key.to_owned(), repeated(&value.to_string())));
    }

    /// Puts an object.
    pub fn put(&mut self, object: Object) {
        self.change(Change::Put(object));
    }

    /// Deletes a record.
    pub fn delete(&mut self, key: Key) {
        self.change(Change::Delete(key));
    }

    /// Makes a change.
    pub fn change(&mut self, change: Change) {
        self.cluster.fold([&change]);
        self.applied.changes.push(change);
    }

    /// Keeps what the placer was asked. Of a request about many definitions only the first questions are kept.
    pub fn asked(&mut self, asked: Asked) {
        if self.asked.len() < MOST_ASKED {
            self.asked.push(asked);
        }
    }

    /// Starts a job that the answer waits for.
    pub fn start(&mut self, resource: &ResourceName, task: Task) -> Id<kind::Job> {
        self.start_on(Subject::Resource(resource.clone()), task)
    }

    /// Starts a job on anything that the answer waits for.
    pub fn start_on(&mut self, subject: Subject, task: Task) -> Id<kind::Job> {
        let id = self.context.ids.next();
        let serial = self.serial();
        let job = Job { id, subject, task, serial, actor: self.context.caller.name.clone(), created: self.context.now };
        self.put(Object::Job(job));
        self.applied.jobs.push(id);
        id
    }

    /// The serial that this decision's transaction will have.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.cluster.serial + 1
    }

    /// Adds an entry to the answer.
    pub fn reply(&mut self, reply: Reply) {
        self.applied.replies.push(reply);
    }

    /// A short entry: code and message.
    pub fn say(&mut self, code: Code, message: impl Into<String>) {
        self.reply(Reply::new(code, message));
    }

    /// Ends the decision well: entries get the request's context.
    #[must_use]
    pub fn done(mut self) -> Applied {
        let mut replies = std::mem::take(&mut self.applied.replies);
        self.complete(&mut replies);
        self.applied.replies = replies;
        self.applied
    }

    /// Ends the decision with a refusal.
    #[must_use]
    pub fn refused(self, mut refused: Refused) -> Refused {
        self.complete(&mut refused.replies);
        refused
    }

    /// The request's context, for entries that come later (of jobs).
    #[must_use]
    pub fn request_context(&self) -> RequestContext {
        RequestContext { operation: self.defaults.0, object: self.defaults.1, refs: self.refs.clone() }
    }

    fn complete(&self, replies: &mut [Reply]) {
        let context = self.request_context();
        for reply in replies {
            context.complete(reply, self.context.now);
        }
    }
}

/// What every entry of a request's answer has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// Operation of entries that name none.
    pub operation: Operation,
    /// Kind of object of entries that name none.
    pub object: ObjectMask,
    /// Objects that each entry names.
    pub refs: Vec<(String, String)>,
}

impl RequestContext {
    /// Adds to an entry what it does not say itself.
    pub fn complete(&self, reply: &mut Reply, now: Timestamp) {
        if !reply.alone {
            reply.operation.get_or_insert(self.operation);
            reply.object.get_or_insert(self.object);
            for (key, value) in &self.refs {
                reply.refs.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        if reply.created == Timestamp::default() {
            reply.created = now;
        }
    }
}
