//! What a command line asks for, as data: made without a controller, shown by `--curl`, carried out by the runner.

use std::path::PathBuf;

use berth_client::Call;
use berth_model::props::Source;

/// A command, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Change something: each call in order, its replies printed.
    Write(Vec<Call>),
    /// Read one document and show it.
    Show(Box<Show>),
    /// Change something, with passphrases that are asked for first.
    Secret {
        /// The request, without them.
        call: Call,
        /// What is asked for, in order.
        asked: Vec<Asked>,
    },
    /// Write an external file: its content comes from standard input or an editor.
    File {
        /// Its path on the nodes.
        path: String,
        /// How it is only asked what would happen; `None`: it is done.
        dry: Option<String>,
    },
    /// Start a clone and, unless told otherwise, wait for it.
    Clone {
        /// The request that starts it.
        call: Call,
        /// The definition that is copied.
        source: String,
        /// Whether to wait, and how long at most (seconds; `None` as long as it takes).
        wait: Option<Option<u64>>,
    },
    /// Wait until all replicas of a definition hold the data.
    WaitSync {
        /// The question asked until it is answered with yes.
        call: Call,
        /// Seconds; `None` as long as it takes.
        within: Option<u64>,
    },
    /// Print several reports, one call each.
    Reports(Vec<Call>),
    /// Keep a document in a file.
    Download {
        /// The request.
        call: Call,
        /// A file, or a folder; `None`: here, under the name that the controller gives it.
        to: Option<PathBuf>,
    },
    /// Which controller answers.
    Which,
    /// What could be safer.
    Advise {
        /// About what.
        what: Advise,
        /// How the table looks.
        look: Look,
    },
    /// What a property is, and where its value for an object comes from.
    Explain {
        /// The property.
        key: String,
        /// What it is, as text.
        about: String,
        /// The objects whose values count.
        calls: Vec<(Source, Call)>,
    },
    /// Collect replicas and make them at once: a state of interactive mode.
    Transaction(Transaction),
    /// A known command that this version cannot do yet.
    Later(String),
}

/// What advice is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advise {
    /// About these resources; all if none is named.
    Resources(Vec<String>),
    /// About a node that is to go down for a while.
    Maintenance(String),
}

/// A step of `resource create-transactional`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// From now on `resource create` only collects.
    Begin,
    /// Forget what was collected.
    Abort,
    /// Make it all.
    Commit,
}

/// A passphrase that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The words of the question.
    pub prompt: &'static str,
    /// Where it goes in the body of the request; `None`: it is the whole body.
    pub member: Option<&'static str>,
    /// Asked for twice, so that a slip is found.
    pub twice: bool,
}

/// A document to read and the form to show it in.
#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    /// The request.
    pub call: Call,
    /// Which table.
    pub view: View,
    /// How the table looks.
    pub look: Look,
}

/// The tables there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// `node list`
    Nodes,
    /// `node info`
    NodeInfo,
    /// `node describe`: the nodes as trees of pools, resources and volumes.
    NodeTree,
    /// `node interface list` of this node.
    Interfaces(String),
    /// `storage-pool list`
    Pools,
    /// `storage-pool-definition list`
    PoolDefinitions,
    /// `resource-group list`; reads each group's volume groups too.
    Groups,
    /// `volume-group list`
    VolumeGroups,
    /// `resource-definition list`
    Definitions,
    /// `volume-definition list`
    VolumeDefinitions,
    /// `resource list`
    Resources,
    /// `resource involved`: the resources that have a replica on this node, wherever else they are.
    Involved {
        /// The node in question.
        node: String,
        /// Only those that are in use there.
        in_use: bool,
        /// Only those that have a disk there.
        diskful: bool,
        /// Only those with at most so many disks altogether.
        at_most: Option<u64>,
    },
    /// `volume list`
    Volumes,
    /// `snapshot list`
    Snapshots,
    /// `… list-properties`: the properties in this member of the document; `None` where the document is the map itself.
    Props(Option<&'static str>),
    /// `key-value-store list`
    KeyValues,
    /// `key-value-store show`
    KeyValue(String),
    /// `error-reports list`
    ErrorReports,
    /// `physical-storage list`
    PhysicalStorage,
    /// `remote list`: three lists in one document.
    Remotes,
    /// Members of each element of a list as they are.
    Fields(&'static Fields),
    /// `backup list`
    Backups,
    /// `backup list --others`: what lies in a remote and is no backup.
    BackupFiles,
    /// `backup queue list`
    BackupQueue,
    /// `schedule list`
    Schedules,
    /// `schedule list-by-resource`
    SchedulesByResource,
    /// `space-reporting query`: a text.
    SpaceReport,
    /// `controller auth list`
    Tokens,
    /// `controller version`
    Version,
    /// `… query-max-volume-size`
    MaxVolumeSize,
    /// `resource-group query-size-info`
    SizeInfo,
    /// `node-connection list`
    NodeConnections,
    /// `resource-connection list`
    ResourceConnections,
    /// `… path list`: the paths of one connection.
    Paths,
    /// `file list`
    Files,
    /// `file show`: what is in it, as it is.
    FileContent,
}

/// A table whose cells are members of a list's elements.
#[derive(Debug, PartialEq, Eq)]
pub struct Fields {
    /// The member of the document that holds the list, or a map of elements.
    pub rows: &'static str,
    /// Headings, and the members below them.
    pub columns: &'static [(&'static str, &'static str)],
}

/// How a table is to look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Plain ASCII without colours.
    pub pastable: bool,
    /// Columns to sort and merge by.
    pub group_by: Vec<String>,
    /// Extra columns: property key and heading.
    pub show_props: Vec<(String, String)>,
    /// Read the document from this file instead of a controller.
    pub from_file: Option<PathBuf>,
    /// Show what is usually left out (tiebreakers).
    pub all: bool,
    /// Show only what needs attention.
    pub faulty: bool,
    /// Show TCP ports.
    pub ports: bool,
    /// Show external names.
    pub external: bool,
    /// Show the node's own properties.
    pub aux: bool,
    /// Show more columns.
    pub full: bool,
    /// As wide as it gets.
    pub wide: bool,
    /// Only these names; filters that the API itself does not have.
    pub only: Vec<String>,
}

impl Look {
    /// The same with every column there is, as wide as it gets.
    #[must_use]
    pub fn widened(self) -> Self {
        Self { ports: true, external: true, aux: true, full: true, wide: true, ..self }
    }
}

impl Plan {
    /// A single change.
    pub fn write(call: Call) -> Self {
        Self::Write(vec![call])
    }

    /// A table with its standard look.
    pub fn show(call: Call, view: View, look: Look) -> Self {
        Self::Show(Box::new(Show { call, view, look }))
    }

    /// The same, only asked what would happen: `how` is the value of `dry_run`. `None`: it changes nothing anyway.
    pub fn dry(&self, how: &str) -> Option<Self> {
        let dry = |call: &Call| call.clone().query("dry_run", how);
        match self {
            Self::Write(calls) => Some(Self::Write(calls.iter().map(dry).collect())),
            Self::Secret { call, asked } => Some(Self::Secret { call: dry(call), asked: asked.clone() }),
            // There is nothing to wait for.
            Self::Clone { call, source, .. } => Some(Self::Clone { call: dry(call), source: source.clone(), wait: None }),
            Self::File { path, .. } => Some(Self::File { path: path.clone(), dry: Some(how.to_owned()) }),
            Self::Show(_)
            | Self::WaitSync { .. }
            | Self::Reports(_)
            | Self::Download { .. }
            | Self::Which
            | Self::Advise { .. }
            | Self::Explain { .. }
            | Self::Transaction(_)
            | Self::Later(_) => None,
        }
    }

    /// The requests as far as they are known beforehand, for `--curl`.
    pub fn calls(&self) -> Vec<&Call> {
        match self {
            Self::Write(calls) | Self::Reports(calls) => calls.iter().collect(),
            Self::Show(show) => vec![&show.call],
            Self::Clone { call, .. } | Self::WaitSync { call, .. } | Self::Download { call, .. } | Self::Secret { call, .. } => vec![call],
            Self::Explain { calls, .. } => calls.iter().map(|(_, call)| call).collect(),
            Self::Which | Self::Advise { .. } | Self::Transaction(_) | Self::Later(_) | Self::File { .. } => Vec::new(),
        }
    }
}
