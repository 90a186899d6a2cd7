//! The grammar of `berth why`, `audit`, `diff` and `drift`.

use berth_cli::Connection;
use clap::{Args, Subcommand};

use crate::words::OutputFormat;

/// What these words have in common.
#[derive(Debug, Args)]
pub struct Asking {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text", global = true)]
    pub output: OutputFormat,
}

/// `berth why`.
#[derive(Debug, Args)]
#[command(after_help = "Objects:\n  node NODE, resource-definition RESOURCE, resource RESOURCE NODE, volume RESOURCE NODE NUMBER,\n  \
    volume-definition RESOURCE NUMBER, snapshot RESOURCE SNAPSHOT, storage-pool NODE POOL, storage-pool-definition POOL,\n  \
    resource-group GROUP, key-value-store STORE, job UUID, controller;\n  \
    or short: web, web/alpha, web/alpha/0, web@s1, a job's UUID\n\nExamples:\n  berth why web/alpha\n  berth why snapshot web s1")]
pub struct WhyWords {
    /// The object: its kind and names, or its short form. It need not exist any more.
    #[arg(required = true, value_name = "OBJECT")]
    pub object: Vec<String>,
    /// Entries to show, the newest ones.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only entries below this serial.
    #[arg(long, value_name = "SERIAL")]
    pub before: Option<u64>,
    #[command(flatten)]
    pub asking: Asking,
}

/// `berth audit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth audit --from 2h\n  berth audit --actor PUBLIC --command delete_resource_definition\n  \
    berth audit --kind resource --name web/alpha -o json")]
pub struct AuditWords {
    /// Only what this one asked for; `berth`: the controller itself.
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Only what came from there; an address without a port stands for all its ports.
    #[arg(long, value_name = "ADDRESS")]
    pub origin: Option<String>,
    /// Only this command, e.g. `spawn_resource`.
    #[arg(long, value_name = "WORD")]
    pub command: Option<String>,
    /// Only what wrote an object of this kind; needs --name.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Its names, joined by `/`.
    #[arg(long, value_name = "NAMES")]
    pub name: Option<String>,
    /// Not earlier: RFC 3339, or how long ago: 90s, 30m, 2h, 7d.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Not later.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only entries below this serial: the next page.
    #[arg(long, value_name = "SERIAL")]
    pub before: Option<u64>,
    /// Entries of one page, at most 1000.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    #[command(flatten)]
    pub asking: Asking,
}

/// `berth diff`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  berth diff --node alpha")]
pub struct DiffWords {
    /// Only this node.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Also what is as wanted.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub asking: Asking,
}

/// `berth drift`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = false,
    after_help = "Examples:\n  berth drift\n  berth drift remove alpha thin 01a1febf-2881-7faf-ae89-d3e14cd443c5 --dry-run\n  \
    berth drift adopt alpha thin 01a1febf-2881-7faf-ae89-d3e14cd443c5 web\n  berth drift adopt alpha --all --dry-run"
)]
pub struct DriftWords {
    /// What to do; nothing: list.
    #[command(subcommand)]
    pub verb: Option<DriftVerb>,
    /// Only this node.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    #[command(flatten)]
    pub asking: Asking,
}

/// What to do about an object that nobody names.
#[derive(Debug, Subcommand)]
pub enum DriftVerb {
    /// Remove it with its data, by its mark.
    #[command(after_help = "Example:\n  berth drift remove alpha thin 01a1febf-2881-7faf-ae89-d3e14cd443c5 --dry-run")]
    Remove {
        #[command(flatten)]
        which: Which,
    },
    /// Make a resource of it; or take in what an import from LINSTOR left on a node. The data stays what it is.
    #[command(after_help = "Examples:\n  berth drift adopt alpha thin 01a1febf-2881-7faf-ae89-d3e14cd443c5 web\n  \
        berth drift adopt alpha --all --dry-run\n  berth drift adopt alpha --resource web")]
    Adopt(Adopt),
}

/// What is adopted: a marked object that nobody names (POOL ID NAME), or what lies unmarked in the place of known data.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The node.
    pub node: String,
    /// Its pool.
    #[arg(required_unless_present_any = ["all", "resource"])]
    pub pool: Option<String>,
    /// Its generation id, as `berth drift` lists it.
    #[arg(required_unless_present_any = ["all", "resource"], conflicts_with_all = ["all", "resource"])]
    pub id: Option<String>,
    /// Name of the new resource.
    #[arg(required_unless_present_any = ["all", "resource"], conflicts_with_all = ["all", "resource"])]
    pub name: Option<String>,
    /// Everything unmarked on the node (in the pool, if one is named) that lies where the data of a known resource or snapshot shall be.
    #[arg(long, conflicts_with = "resource")]
    pub all: bool,
    /// Only what belongs to this resource, its snapshots included.
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Which object.
#[derive(Debug, Args)]
pub struct Which {
    /// Its node.
    pub node: String,
    /// Its pool.
    pub pool: String,
    /// Its generation id, as `berth drift` lists it.
    pub id: String,
    /// Say what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
