//! `berth plugin`: the files of providers on nodes, and what they may do.

mod check;
pub mod words;

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::anyhow;
use berth_cli::{Cell, Table, Tone};
use berth_client::Call;
use berth_model::plugin::{PluginFault, PluginSeen};
use berth_plugin_sdk::Operator;
use berth_satellite::local::{self, LocalError};
use berth_satellite::plugins::{self, InstallError, Proposed, Wish};
use serde_json::Value;

use crate::ask::{self, refused, send};
use crate::screen::{Page, harmless, row, show};
use words::{GrantWords, InspectWords, InstallWords, ListWords, PluginVerb, PluginWords, RemoveWords};

/// How long a controller may take to connect again.
const HEARD_WITHIN: Duration = Duration::from_secs(15);
/// Set for a process that only tries whether a library can be opened.
const PROBE: &str = "BERTH_PLUGIN_PROBE";
/// Pause between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs the verb.
///
/// # Errors
/// If nobody answers, or a file is no plugin, or the folder cannot be written.
pub fn run(words: &PluginWords) -> anyhow::Result<()> {
    match &words.verb {
        PluginVerb::List(words) => list(words),
        PluginVerb::Inspect(words) => inspect(words),
        PluginVerb::Check(words) => check::run(words),
        PluginVerb::Install(words) => install(words),
        PluginVerb::Remove(words) => remove(words),
    }
}

fn list(words: &ListWords) -> anyhow::Result<()> {
    if words.local {
        let seen = crate::daemon::runtime(1)?.block_on(local::plugins_of(&words.place.data, false)).map_err(crate::local::told)?;
        return show(&serde_json::to_value(seen)?, words.output, |document| Page::default().with(table(document, false)));
    }
    let mut call = Call::get(&["berth", "plugins"]);
    for node in &words.node {
        call = call.query("node", node);
    }
    let answer = send(&words.connection, &call)?;
    refused(&answer)?;
    let document = ask::document(&answer, "the controller does not answer this question")?;
    show(&document, words.output, |document| Page::default().with(table(&document["plugins"], true)))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().map(harmless).unwrap_or_default()
}

fn texts(value: &Value, key: &str) -> String {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(harmless).collect::<Vec<_>>().join(", ")
}

fn table(plugins: &Value, nodes: bool) -> Table {
    let mut table = if nodes {
        Table::new(["Node", "Plugin", "Version", "Serves", "Form", "State"])
    } else {
        Table::new(["Plugin", "Version", "Serves", "Form", "State"])
    };
    for one in plugins.as_array().into_iter().flatten() {
        let fault = one["fault"].as_object().is_some();
        let withheld = texts(one, "withheld");
        let (state, tone) = match (fault, withheld.is_empty()) {
            (true, _) => (format!("{}. {}", text(&one["fault"], "message"), text(&one["fault"], "correction")), Tone::Bad),
            (false, true) => ("Ok".to_owned(), Tone::Good),
            (false, false) => (format!("not granted: {withheld}"), Tone::Warn),
        };
        let mut cells: Vec<Cell> = if nodes { row([text(one, "node_name")]) } else { Vec::new() };
        let serves = if text(one, "serves").is_empty() { texts(one, "kinds") } else { text(one, "serves") };
        cells.extend(row([text(one, "name"), text(one, "version"), serves, text(one, "form").to_lowercase()]));
        cells.push(Cell::toned(state, tone));
        table.rows.push(cells);
    }
    table
}

fn operator(words: &GrantWords) -> Operator {
    Operator {
        commands: (words.grant_none || !words.grant.is_empty()).then(|| words.grant.clone()),
        files: words.no_files.then_some(false),
        memory_mib: words.memory,
        seconds: words.seconds,
        ..Operator::default()
    }
}

fn told(error: &InstallError) -> anyhow::Error {
    anyhow!("{error}. {}.", error.correction())
}

fn inspect(words: &InspectWords) -> anyhow::Result<()> {
    survives(&words.file)?;
    let proposed = plugins::propose(&words.file, &operator(&words.grant)).map_err(|error| told(&error))?;
    show(&serde_json::to_value(&proposed.seen)?, words.output, |_| Page::default().with(asks(&proposed)))
}

/// What a plugin is, asks for and gets, a line each.
fn asks(proposed: &Proposed) -> Table {
    let seen = &proposed.seen;
    let mut table = Table::new(["What", "Value"]);
    let mut line = |what: &str, value: String| {
        if !value.is_empty() {
            table.rows.push(row([what.to_owned(), harmless(&value)]));
        }
    };
    line("Name", seen.name.clone());
    line("Version", seen.version.clone());
    line("Contract", seen.contract.clone());
    line("Form", seen.form.map(|form| form.word().to_lowercase()).unwrap_or_default());
    line("Kinds of pools", seen.kinds.join(", "));
    line("Serves", seen.serves.clone());
    line("SHA-256", seen.sha256.clone());
    if !seen.serves.is_empty() {
        let operations = proposed.operations.iter().map(|(name, help)| format!("{name}: {help}"));
        line("Operations", operations.collect::<Vec<_>>().join("\n"));
        return table;
    }
    line("Files of the pool's folder", if seen.files { "yes" } else { "no" }.to_owned());
    line("Runs", seen.commands.join("\n"));
    line("Not granted", seen.withheld.join(", "));
    line("Devices", seen.devices.join(", "));
    line("Other folders", seen.paths.join(", "));
    line("Memory of a call", format!("{} MiB", seen.memory_mib));
    line("Time of a call", format!("{} s", seen.seconds));
    line(
        "Properties of pools",
        seen.props.iter().map(|property| format!("{}: {}", property.key, property.help)).collect::<Vec<_>>().join("\n"),
    );
    table
}

/// Has another process open a library first: one that is damaged may end whoever opens it.
///
/// # Errors
/// It did.
pub fn survives(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::process::ExitStatusExt;
    if std::env::var_os(PROBE).is_some() || !is_library(file) {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    let mut probe = std::process::Command::new(own);
    probe.args(["plugin", "inspect"]).arg(file).env(PROBE, "1");
    let ended = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    match ended.signal() {
        Some(signal) => Err(anyhow!(
            "'{}' ends whoever opens it (signal {signal}): the file is damaged. Install it again, from where it was built.",
            file.display()
        )),
        None => Ok(()),
    }
}

fn is_library(file: &Path) -> bool {
    let mut head = [0; 4];
    // Opening anything but a file may wait for ever.
    file.is_file() && std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut head)).is_ok() && berth_loader::is_library(&head)
}

fn install(words: &InstallWords) -> anyhow::Result<()> {
    let operator = operator(&words.grant);
    if let Some(path) = words.config.as_deref().filter(|path| path.is_relative()) {
        return Err(anyhow!("'{}' is not an absolute path. Name the configuration file with its whole path.", path.display()));
    }
    let wish = Wish { grant: &operator, config: words.config.as_deref(), anew: words.anew };
    survives(&words.file)?;
    let installed = plugins::install(&words.place.data, &words.file, &wish).map_err(|error| told(&error))?;
    if installed.kept {
        println!("It has what was granted to the version before it; '--anew' forgets that.");
    }
    println!("'{}' is installed ({}).", installed.name, installed.config.display());
    match look_again(&words.place.data)? {
        Some(all) => match all.iter().find(|plugin| plugin.name == installed.name) {
            Some(_) if installed.integration => {
                println!("It serves a platform, and is started with the satellite: restart the satellite.");
                Ok(())
            }
            Some(PluginSeen { fault: Some(PluginFault { message, correction }), .. }) => {
                Err(anyhow!("the satellite cannot use it: {}. {}.", harmless(message), harmless(correction)))
            }
            Some(seen) => {
                let sum = plugins::sha256(&std::fs::read(&words.file)?);
                if seen.sha256 == sum {
                    println!("The satellite uses it: {}.", seen.kinds.join(", "));
                } else {
                    println!("It is a library, and one of this name runs: it is used when the satellite was restarted.");
                }
                Ok(())
            }
            None => Err(anyhow!("the satellite does not see it; does it run with --data {}?", words.place.data.display())),
        },
        None => {
            println!("No satellite runs with this data folder; it is used when one starts.");
            Ok(())
        }
    }
}

fn remove(words: &RemoveWords) -> anyhow::Result<()> {
    plugins::remove(&words.place.data, &words.name).map_err(|error| told(&error))?;
    println!("'{}' is removed.", words.name);
    match look_again(&words.place.data)? {
        None => println!("No satellite runs with this data folder."),
        Some(all) if all.iter().any(|one| one.name == words.name && !one.serves.is_empty()) => {
            println!("It runs until the satellite is restarted.");
        }
        Some(_) => {}
    }
    Ok(())
}

/// Has the satellite look for plugins; `None`: none runs there. Where a controller is connected, it knows of them afterwards: it is asked
/// to connect again, and what is typed next may need it.
fn look_again(data: &Path) -> anyhow::Result<Option<Vec<PluginSeen>>> {
    crate::daemon::runtime(1)?.block_on(async {
        let before = local::get_status(data).await;
        let all = match local::plugins_of(data, true).await {
            Ok(all) => all,
            Err(LocalError::Away { .. }) => return Ok(None),
            Err(error) => return Err(crate::local::told(error)),
        };
        if before.is_ok_and(|status| status.connected) {
            let heard = async {
                while !local::get_status(data).await.is_ok_and(|status| status.connected && status.confirmed) {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            if tokio::time::timeout(HEARD_WITHIN, heard).await.is_err() {
                eprintln!("The controller has not heard of it yet; 'berth plugin list' shows when it has.");
            }
        }
        Ok(Some(all))
    })
}
