//! The grammar of Berth's own words. Everything else is the LINSTOR client's.

use std::path::PathBuf;

use berth_cli::Connection;
use clap::{Args, Parser, Subcommand};

use crate::explain::words::{AuditWords, DiffWords, DriftWords, WhyWords};
use crate::new::NewWords;
use crate::plugin::words::PluginWords;
use crate::tls::TlsWords;

mod place;

pub use place::{PlaceVerb, PlaceWords};

/// Storage for hypervisors and container hosts.
#[derive(Debug, Parser)]
#[command(
    name = "berth",
    version,
    about = "Storage control plane: controller, satellite, development cluster, and the LINSTOR command line",
    after_help = "Every other word is a command of the LINSTOR client:\n  berth node list\n  berth resource list\n  berth help\n\nExample: a whole cluster on this machine\n  berth dev"
)]
pub struct Words {
    /// What to run.
    #[command(subcommand)]
    pub program: Program,
}

/// What to run.
#[derive(Debug, Subcommand)]
pub enum Program {
    /// Run the controller in the foreground.
    #[command(after_help = "Example:\n  berth controller --data /var/lib/berth/controller --listen 0.0.0.0:3370")]
    Controller(ControllerWords),
    /// Run a satellite in the foreground.
    #[command(after_help = "Example:\n  berth satellite --data /var/lib/berth/satellite --listen 0.0.0.0:3366")]
    Satellite(SatelliteWords),
    /// Run a whole cluster on this machine in the foreground.
    #[command(
        after_help = "Example: three satellites with real devices and ten simulated ones; the folder keeps everything\n  berth dev --dir ~/cluster --simulated 10"
    )]
    Dev(DevWords),
    /// Check, repair, export or import the controller's database (the controller must not run).
    Db(DbWords),
    /// Ask the satellite on this machine, also while the controller is away.
    Local(LocalWords),
    /// Have an integration plugin of the satellite on this machine carry out an operation; JSON in and out.
    #[command(
        after_help = "Example:\n  berth call docker-volume list\n  berth call docker-volume resize '{\"volume\":\"shop\",\"size\":\"20G\"}'"
    )]
    Call(CallWords),
    /// List the controller's open jobs and what blocks them; show, cancel or retry one.
    Job(JobWords),
    /// Bring resources to as many replicas as their groups ask for, or tell what that would mean.
    #[command(
        after_help = "Example: what a round would do now, then do it for one group\n  berth balance --dry-run\n  berth balance --group fast"
    )]
    Balance(BalanceWords),
    /// Tell the story of an object, also of a deleted one: who asked, what was decided, what each satellite did, what blocks it.
    Why(WhyWords),
    /// List what was done: who, from where, when, which command.
    Audit(AuditWords),
    /// Compare what is wanted with what was seen.
    Diff(DiffWords),
    /// List what lies on machines and nobody names, and what is lost; remove or adopt the former.
    Drift(DriftWords),
    /// Write the state and the newest part of the log to a file, without secrets, for whoever is to find a fault.
    #[command(after_help = "Example:\n  berth bundle --output bundle.json")]
    Bundle(BundleWords),
    /// Tell what would be lost if nodes went away; changes nothing.
    #[command(after_help = "Example:\n  berth what-if node alpha down\n  berth what-if node alpha bravo lost -o json")]
    WhatIf(WhatIfWords),
    /// Tell what is at risk today: single nodes, missing copies, full pools, blocked jobs.
    #[command(after_help = "Example:\n  berth risk")]
    Risk(RiskWords),
    /// Tell where something would be placed, and for every other place the rule that excludes it; changes nothing.
    #[command(
        after_help = "Examples:\n  berth place new 10G --group fast --count 3\n  berth place resource web --count +1\n  berth place available alpha web --diskful"
    )]
    Place(PlaceWords),
    /// List, inspect, install and remove plugins: what makes the volumes of storage pools.
    Plugin(PluginWords),
    /// Make certificates for encrypted connections: an authority of the cluster's own, and what it vouches for.
    #[command(
        after_help = "Example: for a controller and two satellites, then for a client of HTTPS\n  berth tls init --controller ctrl-1 --address 10.0.0.1 --satellite alpha --satellite bravo\n  berth tls issue client alice"
    )]
    Tls(TlsWords),
    /// Begin a provider of volumes, or a plugin for a platform, of your own.
    #[command(after_help = "Examples:\n  berth new provider my-storage\n  berth new plugin my-platform")]
    New(NewWords),
    /// Run simulated satellites: every layer and provider, no devices.
    #[command(after_help = "Example: two of them, for a controller that runs elsewhere\n  \
            berth simulate --data /tmp/sim --listen 127.0.0.1:3401 127.0.0.1:3402 --name sim-1 sim-2")]
    Simulate(SimulateWords),
    /// Print what makes a shell complete commands and names of objects.
    #[command(after_help = "Example:\n  berth completions bash > /etc/bash_completion.d/linstor")]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: String,
    },
}

/// Words that both daemons know.
#[derive(Debug, Args)]
pub struct CommonWords {
    /// Settings file (TOML); a missing default file is no error.
    #[arg(long, value_name = "FILE", env = "BERTH_CONFIG")]
    pub config: Option<PathBuf>,
    /// Which messages are logged, e.g. `info` or `berth_controller=debug`.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// `text` or `json`.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Collector of OpenTelemetry that gets traces (OTLP over HTTP), e.g. `http://127.0.0.1:4318`; without it none are made.
    #[arg(long, value_name = "URL")]
    pub traces: Option<String>,
    /// Print every setting with its value and where it comes from, and end.
    #[arg(long)]
    pub print_config: bool,
    /// End when standard input closes (for a parent that may be killed).
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// `berth controller`.
#[derive(Debug, Args)]
pub struct ControllerWords {
    /// Folder for the database and error reports; made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of the REST API; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Address of the REST API over HTTPS; port 3371 on the same address if not given.
    #[arg(long, value_name = "ADDR:PORT")]
    pub https_listen: Option<String>,
    /// Certificate for HTTPS (PEM); it turns HTTPS on.
    #[arg(long, value_name = "FILE")]
    pub https_cert: Option<String>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE")]
    pub https_key: Option<String>,
    /// Integration plugin to run in the controller, and its configuration file; may be given several times.
    #[arg(long = "plugin", value_name = "FILE[=CONFIG]", action = clap::ArgAction::Append)]
    pub plugins: Vec<String>,
    /// Public keys of minisign (RW…): plugins must be signed with one of them then.
    #[arg(long, value_name = "KEY,...")]
    pub plugin_keys: Option<String>,
    /// Authorities of clients (PEM): only clients with a certificate of theirs get in.
    #[arg(long, value_name = "FILE")]
    pub https_client_ca: Option<String>,
    /// Clients whose certificate signs them in, e.g. `alice,grafana:viewer`.
    #[arg(long, value_name = "NAME[:ROLE],…")]
    pub https_clients: Option<String>,
    /// Certificate to call satellites with by TLS (PEM).
    #[arg(long, value_name = "FILE")]
    pub satellite_cert: Option<String>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE")]
    pub satellite_key: Option<String>,
    /// Authorities of satellites (PEM).
    #[arg(long, value_name = "FILE")]
    pub satellite_ca: Option<String>,
    /// Ask nobody for a token, whatever the property says (`true`): the way back in if the last token is lost; listen on loopback then.
    #[arg(long, value_name = "true|false")]
    pub ignore_tokens: Option<String>,
    #[command(flatten)]
    pub common: CommonWords,
}

/// `berth satellite`.
#[derive(Debug, Args)]
pub struct SatelliteWords {
    /// Folder for the last plan; made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address for the controller; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Accept only this node name; without it the controller's name is taken at first contact.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Folder for stable device paths.
    #[arg(long, value_name = "DIR")]
    pub dev_dir: Option<PathBuf>,
    /// Folders below which external files ('linstor file') may be written, e.g. /etc/drbd-reactor.d,/etc/systemd/system; without it nowhere.
    #[arg(long, value_name = "DIR,...")]
    pub allow_ext_files: Option<String>,
    /// Where compiled plugins are kept; without it in the data folder.
    #[arg(long, value_name = "DIR")]
    pub plugin_cache: Option<PathBuf>,
    /// Public keys of minisign (RW…): installed plugins must be signed with one of them then.
    #[arg(long, value_name = "KEY,...")]
    pub plugin_keys: Option<String>,
    /// Integration plugin to run, and its configuration file, e.g. /usr/lib/berth/libberth_plugin_docker_volume.so; may be given several times.
    #[arg(long = "plugin", value_name = "FILE[=CONFIG]", action = clap::ArgAction::Append)]
    pub plugins: Vec<String>,
    /// Controllers that plugins of this satellite call, e.g. ctrl-1,linstor+ssl://ctrl-2; without it the one on this machine.
    #[arg(long, value_name = "ADDR,...")]
    pub controllers: Option<String>,
    /// Certificate with this node's name (PEM): only a controller with a certificate gets in then, by TLS.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Authorities of the controller (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<String>,
    #[command(flatten)]
    pub common: CommonWords,
}

/// `berth dev`.
#[derive(Debug, Args)]
pub struct DevWords {
    /// Folder that keeps the cluster; without it nothing is left behind.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Address of the REST API; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3370")]
    pub listen: String,
    /// Satellites with real devices, `dev-1` and so on.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub nodes: u16,
    /// Simulated satellites, `sim-1` and so on, with a pool `sim` of 1 TiB each.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub simulated: u16,
    #[command(flatten)]
    pub faults: FaultWords,
}

/// How simulated satellites behave.
#[derive(Debug, Args, Clone)]
pub struct FaultWords {
    /// How long each simulated step takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1)]
    pub latency_ms: u64,
    /// How many of a thousand simulated steps fail.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub failures_permille: u16,
    /// Seed of the simulated failures.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// `berth simulate`.
#[derive(Debug, Args)]
pub struct SimulateWords {
    /// Addresses to listen on, one for each satellite; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", required = true, num_args = 1..)]
    pub listen: Vec<String>,
    /// Names, as many as addresses.
    #[arg(long, value_name = "NAME", required = true, num_args = 1..)]
    pub name: Vec<String>,
    /// Folder for what the satellites keep; made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folders below which external files may be written, in memory only; without it nowhere.
    #[arg(long, value_name = "DIR,...")]
    pub allow_ext_files: Option<String>,
    /// File that says whose DRBD devices are in use, a line `NODE RESOURCE` each; it is followed while they run.
    #[arg(long, value_name = "FILE")]
    pub in_use: Option<PathBuf>,
    #[command(flatten)]
    pub faults: FaultWords,
    /// End when standard input closes (for a parent that may be killed).
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// `berth db`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  berth db check --data /var/lib/berth/controller")]
pub struct DbWords {
    /// What to do.
    #[command(subcommand)]
    pub verb: DbVerb,
}

/// Where the database is.
#[derive(Debug, Args)]
pub struct DbPlace {
    /// The controller's data folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/berth/controller")]
    pub data: PathBuf,
}

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub enum DbVerb {
    /// Name every broken record; changes nothing. Exit 1 if there is one.
    #[command(after_help = "Example:\n  berth db check --data /var/lib/berth/controller")]
    Check(DbPlace),
    /// Put broken records back as they were committed last; those that nobody can mend are set aside, and kept.
    ///
    /// The controller must not run. Only what --drop names is removed.
    ///
    /// A file of which no record can be read is left alone, unless --accept-empty is given.
    #[command(
        verbatim_doc_comment,
        after_help = "Examples:\n  berth db repair --data /var/lib/berth/controller --dry-run\n  \
            berth db repair --data /var/lib/berth/controller --drop resource_definition DATA"
    )]
    Repair {
        #[command(flatten)]
        place: DbPlace,
        /// Remove this broken record for good, as 'berth db check' names it; can be given several times.
        #[arg(long, num_args = 2, value_names = ["KIND", "KEY"])]
        drop: Vec<String>,
        /// Go on where no record can be read, and make an empty cluster.
        #[arg(long)]
        accept_empty: bool,
        /// Only say what would be mended, set aside and removed; changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Write everything as one JSON document to standard output or a file.
    #[command(after_help = "Example:\n  berth db export --output /var/backups/berth.json")]
    Export {
        #[command(flatten)]
        place: DbPlace,
        /// File to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make a new database from an exported document, our own or LINSTOR's.
    #[command(after_help = "Examples:\n  berth db import --data /var/lib/berth/controller --dry-run backup.json\n  \
            berth db import --from-linstor --dry-run linstor-export.json")]
    Import {
        #[command(flatten)]
        place: DbPlace,
        /// Only say what the database would hold; makes nothing.
        #[arg(long)]
        dry_run: bool,
        /// The file is what LINSTOR's database export has written as JSON.
        #[arg(long)]
        from_linstor: bool,
        /// File to read; `-`: standard input.
        file: PathBuf,
    },
}

/// `berth call`.
#[derive(Debug, Args)]
pub struct CallWords {
    /// The satellite's data folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/berth/satellite", env = "BERTH_SATELLITE_DATA")]
    pub data: PathBuf,
    /// Name of the plugin.
    pub plugin: String,
    /// Name of the operation.
    pub operation: String,
    /// Its input, a JSON text; `-` reads it from standard input.
    pub input: Option<String>,
}

/// `berth local`.
#[derive(Debug, Args)]
#[command(after_help = "Example: attach a volume while the controller is away\n  berth local attach web")]
pub struct LocalWords {
    /// The satellite's data folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/berth/satellite", env = "BERTH_SATELLITE_DATA", global = true)]
    pub data: PathBuf,
    /// What to ask.
    #[command(subcommand)]
    pub verb: LocalVerb,
}

/// What to ask a satellite.
#[derive(Debug, Subcommand)]
pub enum LocalVerb {
    /// Its node name, cluster, plan and connection.
    #[command(after_help = "Example:\n  berth local status")]
    Status,
    /// The resources of its last plan.
    #[command(after_help = "Example:\n  berth local resources")]
    Resources,
    /// Serve a resource.
    #[command(after_help = "Example:\n  berth local attach web")]
    Attach {
        /// Name of the resource.
        resource: String,
    },
    /// Stop serving a resource; its data stays.
    #[command(after_help = "Example:\n  berth local detach web")]
    Detach {
        /// Name of the resource.
        resource: String,
    },
}

/// `berth bundle`.
#[derive(Debug, Args)]
pub struct BundleWords {
    /// File to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// At most so many of the newest log entries; 10,000 if not given.
    #[arg(long, value_name = "ENTRIES")]
    pub log: Option<u32>,
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// `berth job`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  berth job list --blocked")]
pub struct JobWords {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text", global = true)]
    pub output: OutputFormat,
    /// What to do.
    #[command(subcommand)]
    pub verb: JobVerb,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobVerb {
    /// Every open job, oldest first: its step, what blocks it, and the way out.
    #[command(after_help = "Example: what hangs on node alpha\n  berth job list --node alpha --blocked")]
    List {
        /// Only jobs on these resources.
        #[arg(long, value_name = "RESOURCE", num_args = 1..)]
        resource: Vec<String>,
        /// Only jobs that work on these nodes, or wait for them.
        #[arg(long, value_name = "NODE", num_args = 1..)]
        node: Vec<String>,
        /// Only these tasks, e.g. `rollback`.
        #[arg(long, value_name = "TASK", num_args = 1..)]
        task: Vec<String>,
        /// Only jobs that something keeps from going on.
        #[arg(long)]
        blocked: bool,
        /// Print JSON; as `-o json`.
        #[arg(long, hide = true)]
        json: bool,
    },
    /// All about one job: steps, what it waits for, who holds what, and what can be done.
    #[command(after_help = "Example:\n  berth job show 01890a5d-ac96-774b-bcce-b302099a8057")]
    Show {
        /// Its id.
        id: String,
        /// Print JSON; as `-o json`.
        #[arg(long, hide = true)]
        json: bool,
    },
    /// Cancel a job: what it has done is taken back, or it is said why that is not possible (exit 1).
    #[command(after_help = "Example:\n  berth job cancel 01890a5d-ac96-774b-bcce-b302099a8057")]
    Cancel {
        /// Its id.
        id: String,
        /// Say what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Have everything tried again at once that a job waits for.
    #[command(after_help = "Example: after making room in a full pool\n  berth job retry 01890a5d-ac96-774b-bcce-b302099a8057")]
    Retry {
        /// Its id.
        id: String,
        /// Say what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// The controller's document.
    Json,
    /// The same as YAML.
    Yaml,
    /// Comma-separated, headings first; several tables in one, named in its first column.
    Csv,
    /// For people, as wide as it gets.
    Wide,
}

/// `berth what-if`.
#[derive(Debug, Args)]
pub struct WhatIfWords {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text", global = true)]
    pub output: OutputFormat,
    /// What goes away.
    #[command(subcommand)]
    pub verb: WhatIfVerb,
}

/// What goes away.
#[derive(Debug, Subcommand)]
pub enum WhatIfVerb {
    /// Nodes, all at once.
    #[command(after_help = "Example:\n  berth what-if node alpha down")]
    Node {
        /// Names of nodes, then `down` (they may come back) or `lost` (they never do).
        #[arg(value_names = ["NAME", "EVENT"], num_args = 2.., required = true)]
        words: Vec<String>,
    },
}

/// `berth risk`.
#[derive(Debug, Args)]
pub struct RiskWords {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: OutputFormat,
}

/// `berth balance`.
#[derive(Debug, Args)]
pub struct BalanceWords {
    /// Who is asked, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: OutputFormat,
    /// Only these resources.
    #[arg(long, value_name = "RESOURCE", num_args = 1..)]
    pub resource: Vec<String>,
    /// Only the resources of these groups.
    #[arg(long, value_name = "GROUP", num_args = 1..)]
    pub group: Vec<String>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// List what has another number of replicas than is wanted, what is to be done, and what is left alone and why.
    #[arg(long, conflicts_with = "dry_run")]
    pub list: bool,
}

/// The client's grammar with Berth's own words beside it, for completion of lines that begin with `berth`.
pub fn beside(client: clap::Command) -> clap::Command {
    let own: Vec<clap::Command> = <Words as clap::CommandFactory>::command().get_subcommands().cloned().collect();
    // `controller` is both: the client's has the words to complete.
    own.into_iter().filter(|command| command.get_name() != "controller").fold(client, clap::Command::subcommand)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Words;

    #[test]
    fn the_grammar_is_sound() {
        Words::command().debug_assert();
    }

    #[test]
    fn every_own_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    walk(sub, &path, missing);
                }
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                if !help.contains("Example") && (!sub.has_subcommands() || sub.get_about().is_none()) {
                    missing.push(path);
                }
            }
        }
        let mut missing = Vec::new();
        walk(&Words::command(), "berth", &mut missing);
        assert!(missing.is_empty(), "without an example: {}", missing.join(", "));
    }
}
