//! The grammar of `berth place`.

use berth_cli::{Connection, FilterWords};
use clap::{Args, Subcommand};

use super::OutputFormat;

/// `berth place`.
#[derive(Debug, Args)]
pub struct PlaceWords {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text", global = true)]
    pub output: OutputFormat,
    /// What would be placed.
    #[command(subcommand)]
    pub verb: PlaceVerb,
}

/// What would be placed. Options of the filter go before those of the group, as in the command that would do it.
#[derive(Debug, Subcommand)]
pub enum PlaceVerb {
    /// A new resource, as 'resource-group spawn-resources' makes it.
    #[command(
        after_help = "Example: two volumes on three nodes of different racks\n  berth place new 10G 512M --group fast --count 3 --replicas-on-different rack"
    )]
    New {
        /// Sizes of its volumes; GiB without a unit.
        #[arg(value_name = "SIZE")]
        sizes: Vec<String>,
        /// Its resource group; the default one if not given.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// More or fewer sizes than the group has volume groups.
        #[arg(long)]
        partial: bool,
        #[command(flatten)]
        filter: FilterWords,
    },
    /// More replicas of a resource definition, as 'resource-definition auto-place' makes them.
    #[command(after_help = "Example: one more\n  berth place resource web --count +1")]
    Resource {
        /// Its name.
        name: String,
        #[command(flatten)]
        filter: FilterWords,
    },
    /// A resource on one node, as 'resource make-available' makes it.
    #[command(after_help = "Example:\n  berth place available alpha web --diskful")]
    Available {
        /// The node.
        node: String,
        /// The resource.
        resource: String,
        /// With a disk, although it could do without.
        #[arg(long)]
        diskful: bool,
        /// Layers from top to bottom, joined by commas.
        #[arg(short, long, value_name = "LAYER", value_delimiter = ',')]
        layer_list: Vec<String>,
    },
    /// A clone of a resource.
    #[command(after_help = "Example:\n  berth place clone web --group fast")]
    Clone {
        /// The resource to clone.
        source: String,
        /// Group of the clone; that of the source if not given.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// Layers from top to bottom, joined by commas.
        #[arg(short, long, value_name = "LAYER", value_delimiter = ',')]
        layer_list: Vec<String>,
    },
    /// A snapshot, restored to a new resource.
    #[command(after_help = "Example:\n  berth place restore web monday --nodes alpha,bravo")]
    Restore {
        /// The resource of the snapshot.
        resource: String,
        /// The snapshot.
        snapshot: String,
        /// Only on these nodes.
        #[arg(long, value_name = "NODE", value_delimiter = ',')]
        nodes: Vec<String>,
        /// Group of the new resource; the default one if not given.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
    },
    /// What the resources of a group (of all groups) miss, as 'resource-group adjust' places it.
    #[command(after_help = "Example:\n  berth place adjust fast --count 3")]
    Adjust {
        /// The group; all if not given.
        group: Option<String>,
        #[command(flatten)]
        filter: FilterWords,
    },
    /// What the resources of a group would miss if 'resource-group modify' changed it.
    #[command(after_help = "Example:\n  berth place group fast --count 3")]
    Group {
        /// The group.
        name: String,
        #[command(flatten)]
        filter: FilterWords,
    },
    /// What a resource would miss in another group, as 'resource-definition modify --resource-group' places it.
    #[command(after_help = "Example:\n  berth place move web fast")]
    Move {
        /// The resource.
        resource: String,
        /// The other group.
        group: String,
    },
}
