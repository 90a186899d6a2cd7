//! Where something would be placed: the command that would place it is decided on a copy of the state, and what the placer was asked on
//! the way is the answer. Nothing is kept.

use berth_model::access::Caller;
use berth_model::cluster::Cluster;
use berth_model::ids::IdSource;
use berth_model::names::ResourceName;
use berth_model::observed::Observed;
use berth_model::props::PropChange;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;

use super::Asked;
use crate::apply::apply;
use crate::command::{Command, FilterRequest};
use crate::draft::Context;
use crate::explain::FRESH_AT;
use crate::vault::PaperKeys;

/// Name of a definition that is only asked about; a number is added where it is taken.
const MADE_UP: &str = "new-resource";

/// What would be placed.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// A new resource of a group, as a spawn makes it.
    New {
        /// Its group.
        group: String,
        /// Sizes of its volumes, in KiB.
        sizes: Vec<i64>,
        /// Whether there may be more or fewer sizes than volume groups.
        partial: bool,
        /// In place of what the group asks for.
        filter: FilterRequest,
    },
    /// More replicas of a definition that is there.
    Existing {
        /// Its name.
        resource: String,
        /// In place of what its group asks for.
        filter: FilterRequest,
        /// Whether every other node gets a diskless replica; wins over the filter.
        diskless_on_remaining: Option<bool>,
        /// Layers; win over the filter.
        layers: Option<Vec<String>>,
    },
    /// A definition made usable on one node.
    Available {
        /// Its name.
        resource: String,
        /// The node.
        node: String,
        /// Whether with a disk, although it could do without.
        diskful: bool,
        /// Layers.
        layers: Vec<String>,
    },
    /// A clone.
    Clone {
        /// The definition to clone.
        source: String,
        /// Group of the clone; `None`: the source's.
        group: Option<String>,
        /// Layers.
        layers: Vec<String>,
    },
    /// A snapshot, restored to a new definition.
    Restore {
        /// Its definition.
        resource: String,
        /// Its name.
        snapshot: String,
        /// Only on these nodes; empty: on all that have a copy.
        nodes: Vec<String>,
        /// Group of the new definition; `None`: the default one.
        group: Option<String>,
    },
    /// What the definitions of a group (of all groups) miss.
    Adjust {
        /// The group.
        group: Option<String>,
        /// In place of what the group asks for.
        filter: FilterRequest,
    },
    /// What the definitions of a group would miss if it were changed.
    Change {
        /// The group.
        group: String,
        /// The change.
        filter: FilterRequest,
    },
    /// What a definition would miss in another group.
    Move {
        /// The definition.
        resource: String,
        /// The other group.
        group: String,
    },
}

/// What would come of it.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The questions to the placer with their answers, in order; none: nothing has to be placed.
    pub asked: Vec<Asked>,
    /// What would be answered.
    pub replies: Vec<Reply>,
    /// Whether it would be refused.
    pub refused: bool,
}

fn made_up(cluster: &Cluster) -> ResourceName {
    let free = |name: &ResourceName| !cluster.definitions.contains_key(name);
    let names = std::iter::once(MADE_UP.to_owned()).chain((2u32..).map(|number| format!("{MADE_UP}-{number}")));
    names.filter_map(|name| ResourceName::parse(&name).ok()).find(free).expect("the numbers do not end before the definitions do")
}

impl Question {
    /// The commands that would do it. `name`: of a definition that does not exist.
    fn commands(&self, name: &str) -> Vec<Command> {
        let unchanged = PropChange::default;
        match self.clone() {
            Self::New { group, sizes, partial, filter } => vec![Command::SpawnResource {
                group,
                name: Some(name.to_owned()),
                external_name: None,
                volume_sizes: sizes,
                partial,
                definitions_only: false,
                filter,
                props: Default::default(),
                peer_slots: None,
                passphrases: Vec::new(),
            }],
            Self::Existing { resource, filter, diskless_on_remaining, layers } => {
                vec![Command::Autoplace { resource, filter, diskless_on_remaining, layers }]
            }
            Self::Available { resource, node, diskful, layers } => {
                vec![Command::MakeAvailable { resource, node, diskful, layers, drbd_tcp_ports: Vec::new() }]
            }
            Self::Clone { source, group, layers } => vec![Command::CloneResourceDefinition {
                source,
                name: Some(name.to_owned()),
                external_name: None,
                layers,
                group,
                props: unchanged(),
                use_zfs_clone: None,
                passphrases: Vec::new(),
            }],
            Self::Restore { resource, snapshot, nodes, group } => vec![
                Command::CreateResourceDefinition {
                    name: Some(name.to_owned()),
                    external_name: None,
                    group,
                    layers: Vec::new(),
                    props: Default::default(),
                    drbd_port: None,
                    drbd_secret: None,
                    drbd_transport_type: None,
                    drbd_peer_slots: None,
                },
                Command::RestoreVolumeDefinitions { resource: resource.clone(), name: snapshot.clone(), to_resource: name.to_owned() },
                Command::RestoreResources {
                    resource,
                    name: snapshot,
                    to_resource: name.to_owned(),
                    nodes,
                    stor_pool_rename: Default::default(),
                },
            ],
            Self::Adjust { group, filter } => vec![Command::AdjustResourceGroup { group, filter }],
            Self::Change { group, filter } => {
                vec![Command::ModifyResourceGroup { name: group, description: None, filter, peer_slots: None, props: unchanged() }]
            }
            Self::Move { resource, group } => vec![Command::ModifyResourceDefinition {
                name: resource,
                props: unchanged(),
                drbd_port: None,
                drbd_peer_slots: None,
                layers: None,
                group: Some(group),
            }],
        }
    }
}

/// Decides about `question` as its command would, and keeps nothing of it. `caller`: who asks.
#[must_use]
pub fn preview(cluster: &Cluster, observed: &Observed, question: &Question, caller: &Caller, now: Timestamp) -> Preview {
    let name = made_up(cluster);
    let mut after = cluster.clone();
    let mut found = Preview { asked: Vec::new(), replies: Vec::new(), refused: false };
    let mut ids = IdSource::new(FRESH_AT, *b"whereto's seed..");
    for command in question.commands(name.as_str()) {
        let seed = ids.next::<berth_model::ids::kind::Job>().uuid().into_bytes();
        let ids = IdSource::new(FRESH_AT, seed);
        let context = Context { now, ids, secret: "0".repeat(32), caller: caller.clone(), observed, keys: &PaperKeys };
        let decision = apply(&after, &command, context);
        found.asked.extend(decision.asked);
        match decision.result {
            Ok(applied) => {
                after.fold(&applied.changes);
                found.replies = applied.replies;
            }
            Err(refused) => {
                found.replies = refused.replies;
                found.refused = true;
                break;
            }
        }
    }
    // What is only asked about has no name.
    found.asked.iter_mut().filter(|one| one.resource.as_ref() == Some(&name)).for_each(|one| one.resource = None);
    found
}
