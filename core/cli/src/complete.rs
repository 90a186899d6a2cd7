//! Completion: the grammar's words, and the names of what the cluster has.
//!
//! A shell calls the program again for each press of the tabulator (`berth completions SHELL` prints what makes it do so); interactive mode asks
//! here directly. Names are read from a controller, which has little time for it: who completes waits.

use std::ffi::OsString;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use berth_client::{Call, Client, Options};
use clap::builder::Resettable;
use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use serde_json::Value;

use crate::drbd::{self, Scope};
use crate::objects::KINDS_OF_POOLS;
use crate::settings::{self, Surroundings};
use crate::{explain, grammar, value};

/// Environment variable by which a shell asks: its value is the shell's name.
pub const VARIABLE: &str = "BERTH_COMPLETE";

/// Longest wait for names.
const WAIT: Duration = Duration::from_secs(2);

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Nodes,
    Definitions,
    Groups,
    Pools,
    Snapshots,
    Stores,
    Reports,
    Jobs,
    Remotes,
    Schedules,
    Files,
    /// Network interfaces of the node typed before.
    Interfaces,
    /// Numbers of volumes.
    Volumes,
    /// Kinds of storage pools.
    Kinds,
    /// Keys of properties of the object with this command word.
    Keys(&'static str),
    /// The address of the name typed before.
    Address,
}

/// Who completes: where controllers are, and what was typed so far.
#[derive(Debug, Clone)]
struct Asker {
    around: Surroundings,
    words: Vec<String>,
}

/// The grammar with candidates for names; `words` is the line so far, with the program's name.
pub fn command(words: &[OsString], around: &Surroundings) -> Command {
    beside(grammar::command(), words, around)
}

/// The same for a grammar that has more words.
pub fn beside(grammar: Command, words: &[OsString], around: &Surroundings) -> Command {
    let words = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    with_names(grammar, &mut Vec::new(), &Arc::new(Asker { around: around.clone(), words }))
}

/// Candidates for the word at `index` of a line; the first word is the program's name.
pub fn candidates(words: Vec<OsString>, index: usize, around: &Surroundings) -> Vec<String> {
    let mut command = command(&words, around);
    let found = clap_complete::engine::complete(&mut command, words, index, None).unwrap_or_default();
    found.into_iter().filter(|one| !one.is_hide_set()).map(|one| one.get_value().to_string_lossy().into_owned()).collect()
}

fn with_names(command: Command, path: &mut Vec<String>, asker: &Arc<Asker>) -> Command {
    let here = path.clone();
    let command = command.mut_args(|arg| {
        let names = names_of(&here, arg.get_id().as_str());
        let words = words_of(&here, arg.get_id().as_str());
        if names.is_empty() && words.is_empty() { arg } else { with_candidates(arg, names, words, asker) }
    });
    let subs: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    subs.into_iter().fold(command, |command, name| {
        path.push(name.clone());
        let command = command.mut_subcommand(&name, |sub| with_names(full_name_first(sub), path, asker));
        path.pop();
        command
    })
}

/// Short forms are understood, but what is put into a line is the full name.
fn full_name_first(command: Command) -> Command {
    let short: Vec<String> = command.get_all_aliases().map(str::to_owned).collect();
    command.visible_alias(Resettable::Reset).aliases(short)
}

fn with_candidates(arg: Arg, names: Vec<Names>, words: Vec<&'static str>, asker: &Arc<Asker>) -> Arg {
    let asker = Arc::clone(asker);
    arg.add(ArgValueCandidates::new(move || {
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        for names in &names {
            all.extend(asker.look_up(*names));
        }
        all.sort();
        all.dedup();
        all.into_iter().map(CompletionCandidate::new).collect()
    }))
}

/// What the argument `id` of the command at `path` names.
fn names_of(path: &[String], id: &str) -> Vec<Names> {
    let object = path.first().map(String::as_str).unwrap_or_default();
    let verb = path.last().map(String::as_str).unwrap_or_default();
    match (object, verb, id) {
        // What is made has no name yet.
        ("node", "create", "NAME") | ("resource-group" | "storage-pool-definition", "create", "GROUP" | "POOL") => Vec::new(),
        ("node", "create", "IP") => vec![Names::Address],
        // Berth's own words beside LINSTOR's.
        ("dev" | "simulate" | "satellite" | "db" | "tls" | "local", _, _) => Vec::new(),
        ("job", _, "id") => vec![Names::Jobs],
        ("what-if", "node", "words") => vec![Names::Nodes],
        ("why", _, "object") => vec![Names::Definitions, Names::Nodes, Names::Groups],
        ("place", "resource", "name") | ("place", "clone", "source") => vec![Names::Definitions],
        ("place", "group", "name") => vec![Names::Groups],
        ("place" | "balance", _, "group") => vec![Names::Groups],
        ("place", "restore", "snapshot") => vec![Names::Snapshots],
        ("drift", _, "pool") => vec![Names::Pools],
        ("resource", "create" | "delete" | "toggle-disk", "WORDS") | ("snapshot", "create", "WORDS") => {
            vec![Names::Nodes, Names::Definitions]
        }
        ("resource-group", "spawn-resources", "WORDS") => vec![Names::Groups],
        ("storage-pool", "create", "WORDS") => vec![Names::Kinds, Names::Nodes],
        ("storage-pool", "delete", "WORDS") => vec![Names::Nodes, Names::Pools],
        ("node", "create" | "modify" | "delete", "INTERFACE") if path.len() == 3 => vec![Names::Interfaces],
        ("remote", "s3" | "linstor" | "ebs", "NAME") if path.get(1).is_some_and(|verb| verb == "create") => Vec::new(),
        ("remote", _, "NAME") | (_, _, "REMOTE") => vec![Names::Remotes],
        ("schedule", "modify" | "delete", "NAME") | (_, _, "SCHEDULE") => vec![Names::Schedules],
        ("file", _, "FILE") => vec![Names::Files],
        ("key-value-store", _, "KEY") => Vec::new(),
        ("explain", _, "KEY") => vec![Names::Keys("")],
        ("error-reports", _, "ID") => vec![Names::Reports],
        (_, "set-property", "KEY") => object_word(object).map(Names::Keys).into_iter().collect(),
        (_, _, "NODE" | "NODE_A" | "NODE_B" | "nodes" | "node" | "target" | "do-not-target" | "migrate-from") => vec![Names::Nodes],
        ("node", _, "NAME") => vec![Names::Nodes],
        (
            _,
            _,
            "RESOURCE"
            | "SOURCE"
            | "resource"
            | "resources"
            | "resource-definitions"
            | "from-resource"
            | "to-resource"
            | "do-not-place-with",
        ) => {
            vec![Names::Definitions]
        }
        (_, _, "GROUP" | "resource-group" | "resource-groups") => vec![Names::Groups],
        (_, _, "POOL" | "storage-pool" | "storage-pools" | "diskless-storage-pool") => vec![Names::Pools],
        (_, "create" | "create-multiple", "SNAPSHOT") => Vec::new(),
        (_, _, "SNAPSHOT" | "from-snapshot") => vec![Names::Snapshots],
        (_, _, "INSTANCE") => vec![Names::Stores],
        (_, _, "NR") => vec![Names::Volumes],
        _ => Vec::new(),
    }
}

/// Words that the argument may be, where the grammar itself has no list of them.
fn words_of(path: &[String], id: &str) -> Vec<&'static str> {
    if let Some(name) = id.strip_prefix("drbd:") {
        return drbd::options(Scope::All).find(|option| option.name == name).map(|option| option.words()).unwrap_or_default();
    }
    match id {
        "LEVEL" => vec!["ERROR", "WARN", "INFO", "DEBUG", "TRACE"],
        "node-type" => vec!["Satellite", "Combined", "Controller", "Auxiliary"],
        "communication-type" => vec!["Plain", "SSL"],
        "layer-list" => vec!["drbd", "luks", "nvme", "writecache", "cache", "bcache", "storage"],
        "providers" => vec!["LVM", "LVM_THIN", "ZFS", "ZFS_THIN", "FILE", "FILE_THIN", "SPDK", "REMOTE_SPDK"],
        "zfs-rollback-strategy" if path.first().is_some_and(|object| object == "snapshot") => vec!["rollback", "clone", "dynamic"],
        "diskless-on-remaining" => vec!["true", "false"],
        _ => Vec::new(),
    }
}

/// The command word of an object whose properties have keys.
fn object_word(object: &str) -> Option<&'static str> {
    grammar::words().into_iter().find(|word| *word == object && explain::owner_of(word).is_some())
}

impl Asker {
    fn look_up(&self, names: Names) -> Vec<String> {
        let each = |call: Call, member: &'static str| {
            let document = self.ask(call).unwrap_or_default();
            value::rows(&document).iter().map(|row| value::shown(row, member)).filter(|name| !name.is_empty()).collect()
        };
        match names {
            Names::Nodes => each(Call::get(&["nodes"]), "name"),
            Names::Definitions => each(Call::get(&["resource-definitions"]), "name"),
            Names::Groups => each(Call::get(&["resource-groups"]), "name"),
            Names::Pools => each(Call::get(&["storage-pool-definitions"]), "storage_pool_name"),
            Names::Snapshots => each(Call::get(&["view", "snapshots"]), "name"),
            Names::Stores => each(Call::get(&["key-value-store"]), "name"),
            Names::Reports => each(Call::get(&["error-reports"]).query("withContent", "False"), "filename")
                .iter()
                .map(|file| file.trim_start_matches("ErrorReport-").trim_end_matches(".log").to_owned())
                .collect(),
            Names::Jobs => each(Call::get(&["berth", "jobs"]), "uuid"),
            Names::Files => each(Call::get(&["files"]), "path"),
            Names::Remotes => {
                let document = self.ask(Call::get(&["remotes"])).unwrap_or_default();
                let lists = ["s3_remotes", "linstor_remotes", "ebs_remotes"];
                lists.iter().flat_map(|list| value::items(&document, list)).map(|row| value::shown(row, "remote_name")).collect()
            }
            Names::Schedules => {
                let document = self.ask(Call::get(&["schedules"])).unwrap_or_default();
                value::items(&document, "data").iter().map(|row| value::shown(row, "schedule_name")).collect()
            }
            Names::Interfaces => match self.behind(&["create", "c", "modify", "m", "delete", "d"]) {
                Some(node) => each(Call::get(&["nodes", node, "net-interfaces"]), "name"),
                None => Vec::new(),
            },
            Names::Volumes => ["0", "1"].map(str::to_owned).to_vec(),
            Names::Kinds => KINDS_OF_POOLS.map(str::to_owned).to_vec(),
            Names::Keys("") => explain::all_keys().into_iter().map(str::to_owned).collect(),
            Names::Keys(object) => {
                explain::owner_of(object).map(explain::keys).unwrap_or_default().into_iter().map(str::to_owned).collect()
            }
            Names::Address => self.address().into_iter().collect(),
        }
    }

    /// The address of the node that was typed: the word behind `create`.
    fn address(&self) -> Option<String> {
        let found = (self.behind(&["create", "c"])?, 0u16).to_socket_addrs().ok()?.next()?;
        Some(found.ip().to_string())
    }

    /// The word behind the first of these that was typed after the object.
    fn behind(&self, verbs: &[&str]) -> Option<&str> {
        let at = self.words.iter().skip(2).position(|word| verbs.contains(&word.as_str()))?;
        self.words.get(at + 3).map(String::as_str)
    }

    /// Reads a document; nothing where no controller answers soon. Completion is silent about why.
    fn ask(&self, call: Call) -> Option<Value> {
        let typed: Vec<OsString> = self.words.iter().skip(1).map(OsString::from).collect();
        let (mut settings, words) = settings::resolve(&typed, &self.around).or_else(|_| settings::resolve(&[], &self.around)).ok()?;
        // Words that are not LINSTOR's take the options of a connection behind them.
        let foreign = words.first().is_some_and(|word| !grammar::words().iter().any(|known| word == known));
        if foreign && let Ok((after, _)) = settings::resolve(&connection_options(&typed), &self.around) {
            settings = after;
        }
        let login = crate::connection::login_without_asking(&settings, &self.around);
        let tls = crate::connection::tls(&settings);
        let client = Client::new(settings.controllers, Options { timeout: Some(WAIT), login, tls, ..Options::default() }).ok()?;
        // A thread of its own: whoever completes may be inside a runtime.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            let response = runtime.block_on(async { tokio::time::timeout(WAIT, client.send(&call)).await }).ok()?.ok()?;
            if response.ok() { response.json() } else { None }
        })
        .join()
        .ok()
        .flatten()
    }
}

/// The options of a line that say which controller is asked, wherever they stand.
fn connection_options(words: &[OsString]) -> Vec<OsString> {
    const OPTIONS: [&str; 7] = ["--controllers", "--user", "--password", "--token-file", "--certfile", "--keyfile", "--cafile"];
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let text = word.to_string_lossy();
        if OPTIONS.iter().any(|option| text.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))) {
            found.push(word.clone());
        } else if OPTIONS.contains(&text.as_ref()) {
            found.extend(words[at..].iter().take(2).cloned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::candidates;
    use crate::settings::Surroundings;

    fn complete(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let last = words.len() - 1;
        candidates(words, last, &Surroundings::default())
    }

    #[test]
    fn words_of_the_grammar_are_completed() {
        assert_eq!(complete("linstor resource-d"), ["resource-definition"]);
        assert_eq!(complete("linstor n l"), ["lost", "list", "list-properties"]);
        assert_eq!(complete("linstor resource-definition drbd-options --verify-a"), ["--verify-alg"]);
        assert_eq!(complete("linstor resource-definition drbd-options --protocol "), ["A", "B", "C"]);
        assert_eq!(complete("linstor node set-log-level alpha TR"), ["TRACE"]);
        assert!(complete("linstor storage-pool create lvmt").contains(&"lvmthin".to_owned()));
    }

    #[test]
    fn keys_of_properties_are_completed() {
        assert_eq!(complete("linstor controller set-property Autoplacer/Weights/MaxF"), ["Autoplacer/Weights/MaxFreeSpace"]);
        assert!(
            complete("linstor resource-definition set-property r DrbdOptions/Net/prot").contains(&"DrbdOptions/Net/protocol".to_owned())
        );
    }

    #[test]
    fn an_address_is_looked_up() {
        assert_eq!(complete("linstor node create localhost 127."), ["127.0.0.1"]);
    }
}
