//! The grammar of `berth plugin`.

use std::path::PathBuf;

use berth_cli::Connection;
use clap::{Args, Subcommand};

use crate::words::OutputFormat;

/// `berth plugin`.
#[derive(Debug, Args)]
pub struct PluginWords {
    /// What to do.
    #[command(subcommand)]
    pub verb: PluginVerb,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// List the plugins of every node, or of the satellite on this machine.
    #[command(after_help = "Examples:\n  berth plugin list\n  berth plugin list --node alpha -o json\n  berth plugin list --local")]
    List(ListWords),
    /// Tell what a plugin's file is, what it asks for and what it would be granted.
    #[command(after_help = "Example:\n  berth plugin inspect ./ramdisk.wasm")]
    Inspect(InspectWords),
    /// Run the conformance kit on a provider: everything that it promises is tried on this machine, and a report says what holds.
    #[command(
        after_help = "Examples: in a folder of its own, then on a volume group that is there for it\n  berth plugin check ./ramdisk.wasm\n  berth plugin check ./lvm.wasm --kind LVM_THIN --pool scratch/thinpool --yes\n\nThe exit code is 0 if everything passed."
    )]
    Check(CheckWords),
    /// Install a plugin on this machine, in place of an earlier version of it.
    #[command(
        after_help = "Examples: grant all that it asks for, or only some of the commands\n  berth plugin install ./ramdisk.wasm\n  berth plugin install ./lvm.wasm --grant lvs --grant vgs --grant lvcreate\n  berth plugin install ./libberth_plugin_docker_volume.so --config /etc/linstor/docker-volume.conf\n\nA component is used at once, a library after the satellite was restarted."
    )]
    Install(InstallWords),
    /// Remove an installed plugin from this machine.
    #[command(after_help = "Example:\n  berth plugin remove ramdisk")]
    Remove(RemoveWords),
}

/// `berth plugin list`.
#[derive(Debug, Args)]
pub struct ListWords {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Only these nodes.
    #[arg(long, value_name = "NODE", num_args = 1..)]
    pub node: Vec<String>,
    /// Ask the satellite on this machine, not the controller.
    #[arg(long)]
    pub local: bool,
    /// Where the satellite on this machine is.
    #[command(flatten)]
    pub place: Place,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: OutputFormat,
}

/// The satellite on this machine.
#[derive(Debug, Args)]
pub struct Place {
    /// The satellite's data folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/berth/satellite", env = "BERTH_SATELLITE_DATA")]
    pub data: PathBuf,
}

/// What is granted to a plugin.
#[derive(Debug, Args)]
pub struct GrantWords {
    /// Grant only these of the commands that it asks for; without it, all of them.
    #[arg(long, value_name = "COMMAND")]
    pub grant: Vec<String>,
    /// Grant none of the commands that it asks for.
    #[arg(long, conflicts_with = "grant")]
    pub grant_none: bool,
    /// Do not let it make requests on the files of pools' folders.
    #[arg(long)]
    pub no_files: bool,
    /// Memory of one call, MiB.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Time that it may compute in one call, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u32>,
}

/// `berth plugin inspect`.
#[derive(Debug, Args)]
pub struct InspectWords {
    /// The file: a WebAssembly component or a dynamic library (which is opened: it is trusted code).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What would be granted.
    #[command(flatten)]
    pub grant: GrantWords,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: OutputFormat,
}

/// `berth plugin check`.
#[derive(Debug, Args)]
pub struct CheckWords {
    /// The file: a WebAssembly component or a dynamic library (which is opened: it is trusted code).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Kinds of storage pools to try; without it, all that the provider serves.
    #[arg(long, value_name = "KIND", num_args = 1..)]
    pub kind: Vec<String>,
    /// A pool that is there: a folder, a volume group, a dataset. Without it a folder is made, and removed afterwards.
    #[arg(long, value_name = "PLACE")]
    pub pool: Option<String>,
    /// Do not ask before the pool is used.
    #[arg(long)]
    pub yes: bool,
    /// A property of the pool.
    #[arg(long, value_name = "KEY=VALUE")]
    pub property: Vec<String>,
    /// How many volumes are made at once.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub volumes: u32,
    /// Also take all the space of the pool for a moment: on a file system that others use they would find it full.
    #[arg(long)]
    pub fill: bool,
    /// Form of the report.
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: ReportFormat,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `berth plugin install`.
#[derive(Debug, Args)]
pub struct InstallWords {
    /// The file; a signature beside it (FILE.minisig) is installed with it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What is granted.
    #[command(flatten)]
    pub grant: GrantWords,
    /// Forget what was granted and configured for an earlier version of it; without it that holds where nothing else is said.
    #[arg(long)]
    pub anew: bool,
    /// Configuration file of an integration plugin, an absolute path.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the satellite on this machine is.
    #[command(flatten)]
    pub place: Place,
}

/// `berth plugin remove`.
#[derive(Debug, Args)]
pub struct RemoveWords {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where the satellite on this machine is.
    #[command(flatten)]
    pub place: Place,
}
