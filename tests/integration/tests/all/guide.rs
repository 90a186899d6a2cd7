//! Every command of the users' guide, run as typed against clusters of simulated satellites.
//!
//! `guide/rows.tsv` says what each does here. Where the guide's own table is beside the clone (`BERTH_SHARED`, else `../shared`), no row of it
//! may be missing. The README tells the counts; what is pending is run too, so that a row that works now cannot stay pending.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use berth_integration::{Cluster, Finished, Reply, berth, is_root, note, run_within, tool, within};
use serde_json::{Value, json};

use super::sign_in::{self, Directory};

const README: &str = include_str!("../../../../README.md");

/// Time for one command line, loops included.
const LIMIT: Duration = Duration::from_secs(120);
/// Time until an effect is seen.
const EFFECT_LIMIT: Duration = Duration::from_secs(20);
/// Names that this machine resolves while a row with [`Outcome::Hosts`] or [`Outcome::Tab`] runs.
const HOSTS: &str = "127.0.0.1 localhost\n127.9.9.9 nomad-01.example.com\n10.0.0.1 alpha\n";

/// How a row ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Exit code 0.
    Done,
    /// One of these exit codes.
    Exit(Vec<i32>),
    /// The controller says no: exit code 10.
    Refused,
    /// Typed at a terminal, then `exit`.
    Terminal,
    /// As [`Outcome::Done`], where the names of [`HOSTS`] are known.
    Hosts,
    /// As [`Outcome::Done`], with this typed when it asks.
    Asked(String),
    /// Words that completion puts in, in their order.
    Tab(Vec<String>),
    /// Not carried out yet.
    Pending,
    /// Accepted, but what the guide promises does not follow yet.
    Partly,
}

#[derive(Debug)]
struct Row<'t> {
    id: &'t str,
    command: &'t str,
    outcome: Outcome,
    checks: Vec<&'t str>,
}

#[derive(Debug)]
enum Line<'t> {
    World(Vec<&'t str>),
    Prepare(&'t str),
    Row(Row<'t>),
}

fn table() -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("guide/rows.tsv");
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn lines(table: &str) -> Result<Vec<Line<'_>>> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(line).collect()
}

fn line(text: &str) -> Result<Line<'_>> {
    if let Some(nodes) = text.strip_prefix('=') {
        return Ok(Line::World(nodes.split_whitespace().collect()));
    }
    if let Some(command) = text.strip_prefix("+ ") {
        return Ok(Line::Prepare(command));
    }
    let mut fields = text.split('\t');
    let (Some(id), Some(command), Some(outcome)) = (fields.next(), fields.next(), fields.next()) else { bail!("three fields: {text}") };
    Ok(Line::Row(Row { id, command, outcome: parse_outcome(outcome)?, checks: fields.collect() }))
}

fn parse_outcome(text: &str) -> Result<Outcome> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "ok" => Outcome::Done,
        "exit" => Outcome::Exit(rest.split('|').map(str::parse).collect::<Result<_, _>>()?),
        "refused" => Outcome::Refused,
        "terminal" => Outcome::Terminal,
        "hosts" => Outcome::Hosts,
        "asked" => Outcome::Asked(rest.to_owned()),
        "tab" => Outcome::Tab(rest.split(' ').map(str::to_owned).collect()),
        "pending" | "partly" => {
            ensure!(!rest.is_empty(), "a row that is not whole says why");
            if word == "pending" { Outcome::Pending } else { Outcome::Partly }
        }
        _ => bail!("no outcome: {text}"),
    })
}

/// A cluster with a shell in which `linstor` is the program under test.
struct World {
    cluster: Cluster,
    home: PathBuf,
    /// The controller runs only while an effect is looked for.
    stopped: bool,
    /// What the controller asks about logins.
    _directory: Option<Directory>,
}

/// A loopback address of this process's own, for whom a name with a fixed port is made known.
fn own_address() -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.9.{high}.{}", low.max(1))
}

/// Makes certificates with `berth tls`, and gives the environment of a controller that uses them.
fn certificates(cluster: &Cluster, home: &Path, listen: &str, clients: bool) -> Result<Vec<(&'static str, String)>> {
    let folder = cluster.scratch().path().join("tls");
    let tls = |words: &[&str]| run_within(LIMIT, Command::new(berth()?).arg("tls").args(words).arg("--dir").arg(&folder))?.ok();
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    tls(&["init", "--address", "127.0.0.1", "--address", host])?;
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut environment = vec![
        ("BERTH_HTTPS_CERT", file("controller.crt")),
        ("BERTH_HTTPS_KEY", file("controller.key")),
        ("BERTH_HTTPS_LISTEN", listen.to_owned()),
    ];
    if clients {
        tls(&["issue", "client", "client1"])?;
        let both = fs::read_to_string(folder.join("client1.crt"))? + &fs::read_to_string(folder.join("client1.key"))?;
        fs::write(home.join("client1.pem"), both)?;
        environment.extend([("BERTH_HTTPS_CLIENT_CA", file("ca.crt")), ("BERTH_HTTPS_CLIENTS", "client1".to_owned())]);
    }
    Ok(environment)
}

/// A satellite whose pool has lost its folder, with a volume of `rsc` in it.
fn dead_pool(cluster: &mut Cluster) -> Result<()> {
    cluster.start_satellite("alpha", &[])?;
    cluster.join("alpha")?;
    let (rest, folder) = (cluster.rest(), cluster.pools().join("ssd"));
    fs::create_dir_all(&folder)?;
    let props = json!({"StorDriver/StorPoolName": folder, "Autoplacer/MinThinFreeSpace": "0%"});
    rest.post("/v1/nodes/alpha/storage-pools", &json!({"storage_pool_name": "pool_ssd", "provider_kind": "FILE_THIN", "props": props}))?
        .ok()?;
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "rsc", "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    rest.post("/v1/resource-definitions/rsc/volume-definitions", &json!({"volume_definition": {"size_kib": 8192}}))?.ok()?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "pool_ssd"}}}]);
    rest.post("/v1/resource-definitions/rsc/resources", &replica)?.ok()?;
    cluster.kill_satellite("alpha");
    fs::remove_dir_all(&folder)?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    let broken = |pool: &Value| pool["reports"].as_array().is_some_and(|reports| !reports.is_empty()) && pool["free_capacity"].is_null();
    rest.wait_for(EFFECT_LIMIT, "/v1/nodes/alpha/storage-pools/pool_ssd", broken).map(drop)
}

impl World {
    /// A world of simulated satellites with these names, or one without, of a kind: `@https`, `@certificates`, `@ldap`, `@stopped`, `@dead`.
    /// `None`: this machine lacks what it takes.
    fn new(words: &[&str]) -> Result<Option<Self>> {
        let mut cluster = Cluster::empty()?;
        let kind = words.first().and_then(|word| word.strip_prefix('@'));
        if kind.is_none() && !words.is_empty() {
            cluster.add_simulated(words)?;
        }
        let home = cluster.scratch().sub("home")?;
        let (mut hosts, mut directory) = (HOSTS.to_owned(), None);
        let environment: Vec<(&str, String)> = match kind {
            Some("https") => {
                hosts.push_str(&format!("{} alice\n", own_address()));
                certificates(&cluster, &home, &format!("{}:3371", own_address()), false)?
            }
            Some("certificates") => {
                // Clients are sent to the same address as before.
                let host = cluster.address().rsplit_once(':').context("no port")?.0.to_owned();
                certificates(&cluster, &home, &format!("{host}:0"), true)?
            }
            Some("ldap") => {
                let Some(made) = sign_in::directory(cluster.scratch())? else { return Ok(None) };
                let uri = made.uri().to_owned();
                directory = Some(made);
                vec![
                    ("BERTH_LDAP_ENABLED", "true".to_owned()),
                    ("BERTH_LDAP_URI", uri),
                    ("BERTH_LDAP_DN", "uid={user},dc=example,dc=com".to_owned()),
                    ("BERTH_LDAP_ROLE", "viewer".to_owned()),
                ]
            }
            Some("stopped") => {
                // What lies in LINSTOR's folder for settings lies in the home folder here.
                for (name, data) in [("linstor", cluster.controller_data()?), ("linstor-new", home.join("new"))] {
                    fs::create_dir_all(home.join(name))?;
                    fs::write(home.join(name).join("controller.toml"), format!("data = {:?}\n", data.display().to_string()))?;
                }
                Vec::new()
            }
            Some("dead") => {
                dead_pool(&mut cluster)?;
                Vec::new()
            }
            Some(other) => bail!("no kind of world: {other}"),
            None => Vec::new(),
        };
        if !environment.is_empty() {
            cluster.kill_controller();
            let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            cluster.start_controller_with(&[], &environment)?;
        }
        let programs = home.join("bin");
        fs::create_dir_all(&programs)?;
        for name in ["linstor", "linstor-database"] {
            std::os::unix::fs::symlink(berth()?, programs.join(name))?;
        }
        // What stands after "--" is all that concerns us of a command in a pod.
        let pod = programs.join("kubectl");
        fs::write(&pod, "#!/bin/sh\nwhile [ \"$1\" != -- ] && [ $# -gt 0 ]; do shift; done; shift; exec \"$@\"\n")?;
        fs::set_permissions(&pod, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::write(home.join("hosts"), hosts)?;
        Ok(Some(Self { cluster, home, stopped: kind == Some("stopped"), _directory: directory }))
    }

    fn shell(&self, wrapper: &[&str], script: &str) -> Result<Finished> {
        let mut words: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["bash".to_owned(), "-o".to_owned(), "pipefail".to_owned(), "-c".to_owned(), script.to_owned()]);
        let mut command = Command::new(tool(&words[0])?);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(&words[1..])
            .current_dir(&self.home)
            .env("PATH", format!("{}:{path}", self.home.join("bin").display()))
            .env("HOME", &self.home)
            .env_remove("XDG_CONFIG_HOME")
            .env("LC_ALL", "C")
            .env("BERTH_CONTROLLER_DATA", self.cluster.controller_data()?)
            .env("NO_COLOR", "1")
            .env("COLUMNS", "200");
        // A list of the command line's own is tried before that of the environment; only the former is meant.
        if script.contains("--controllers") {
            command.env_remove("LS_CONTROLLERS").env("LS_CLIENT_TIMEOUT", "5");
        } else {
            command.env("LS_CONTROLLERS", self.cluster.address());
        }
        run_within(LIMIT, &mut command)
    }

    /// With the names of [`HOSTS`]: only root may change what this machine resolves.
    fn shell_with_hosts(&self, script: &str) -> Result<Option<Finished>> {
        if !is_root() {
            note("without root no names can be made known");
            return Ok(None);
        }
        let script = format!("mount --bind {} /etc/hosts && {script}", self.home.join("hosts").display());
        self.shell(&["unshare", "--mount", "--"], &script).map(Some)
    }

    fn run(&mut self, row: &Row<'_>) -> Result<()> {
        // What a package would put into folders of the system lies in the home folder here.
        let command = row
            .command
            .replace("/usr/share/zsh/functions/Completion/Linux/", "./")
            .replace("/usr/share/linstor-server/bin/", "")
            .replace("--config-directory /etc/", "--config-directory ./");
        if self.stopped {
            if let Ok(controller) = self.cluster.controller() {
                controller.terminate(LIMIT)?;
            }
            self.cluster.kill_controller();
        }
        let finished = match &row.outcome {
            Outcome::Done if command.starts_with("source ") => Some(self.shell(&[], &self.sourced(&command)?)?),
            Outcome::Done | Outcome::Exit(_) | Outcome::Refused | Outcome::Pending | Outcome::Partly => Some(self.shell(&[], &command)?),
            // A session is left as people leave it.
            Outcome::Terminal => Some(self.shell(&[], &format!("echo exit | script --quiet --return --command '{command}' /dev/null"))?),
            Outcome::Hosts => self.shell_with_hosts(&command)?,
            Outcome::Asked(text) => Some(self.shell(&[], &format!("printf '%s\\n' '{text}' | {{ {command}; }}"))?),
            Outcome::Tab(expected) => return self.complete(&command, expected),
        };
        let Some(finished) = finished else { return Ok(()) };
        let said = format!("{}{}", finished.stdout, finished.stderr);
        let code = finished.code();
        let fits = match &row.outcome {
            Outcome::Done | Outcome::Terminal | Outcome::Hosts | Outcome::Asked(_) | Outcome::Partly => code == 0,
            Outcome::Exit(codes) => codes.contains(&code),
            Outcome::Refused => code == 10,
            Outcome::Pending => {
                ensure!(code != 0, "it is pending, and works: say what it does");
                return Ok(());
            }
            Outcome::Tab(_) => true,
        };
        ensure!(fits, "exit code {code}\n{said}");
        if self.stopped && row.checks.iter().any(|check| check.starts_with('/')) {
            self.cluster.start_controller()?;
        }
        row.checks.iter().try_for_each(|check| self.check(check, &said))
    }

    /// `source …` of a completion file, and whether it is in effect afterwards.
    fn sourced(&self, command: &str) -> Result<String> {
        let file = command.strip_prefix("source ").context("a source command")?;
        let own = self.home.join(file.trim_start_matches('/'));
        fs::create_dir_all(own.parent().context("a file lies in a folder")?)?;
        fs::write(&own, run_within(LIMIT, Command::new(berth()?).args(["completions", "bash"]))?.ok()?)?;
        Ok(format!("source {} && complete -p linstor", own.display()))
    }

    /// Types the words of a line, pressing the tabulator where the line says so.
    fn complete(&self, line: &str, expected: &[String]) -> Result<()> {
        let file = self.home.join("completion");
        fs::write(&file, run_within(LIMIT, Command::new(berth()?).args(["completions", "bash"]))?.ok()?)?;
        let (mut words, mut expected) = (Vec::<String>::new(), expected.iter());
        for word in line.split(' ') {
            let Some(start) = word.strip_suffix("<tab>") else {
                words.push(word.to_owned());
                continue;
            };
            let script = format!(
                "source {}; f=$(complete -p linstor | sed 's/.*-F \\([^ ]*\\).*/\\1/'); COMP_WORDS=({} '{start}'); COMP_CWORD={}; \
                 COMP_LINE='{line}'; COMP_POINT=0; $f linstor '{start}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                file.display(),
                words.join(" "),
                words.len(),
                words.last().map(String::as_str).unwrap_or_default(),
            );
            let Some(finished) = self.shell_with_hosts(&script)? else { return Ok(()) };
            let wanted = expected.next().context("as many words as tabs")?;
            let said = finished.stdout.trim();
            ensure!(said == wanted, "'{start}' becomes {said:?} instead of {wanted:?}\n{}", finished.stderr);
            words.push(wanted.clone());
        }
        Ok(())
    }

    fn check(&self, check: &str, said: &str) -> Result<()> {
        if let Some(text) = check.strip_prefix("says") {
            ensure!(said.contains(text.trim()), "does not say{text}:\n{said}");
            return Ok(());
        }
        if let Some(text) = check.strip_prefix("omits ") {
            ensure!(!said.contains(text), "says {text}:\n{said}");
            return Ok(());
        }
        let (path, wanted) = check.split_once(' ').with_context(|| format!("no check: {check}"))?;
        within(EFFECT_LIMIT, check, || {
            let reply = self.cluster.rest().get(path).map_err(|error| format!("{error:#}"))?;
            if holds(&reply, wanted) { Ok(()) } else { Err(format!("{} {}", reply.status, reply.text)) }
        })
    }
}

/// Whether a document is as a check wants it: `gone`, or `KEY gone`, or words of `KEY=VALUE`, `KEY!=VALUE` and `KEY~TEXT`.
fn holds(reply: &Reply, wanted: &str) -> bool {
    if wanted == "gone" {
        return reply.status == 404;
    }
    if reply.status != 200 {
        return false;
    }
    if let Some(key) = wanted.strip_suffix(" gone") {
        return found(&reply.json, key).is_empty();
    }
    wanted.split(' ').all(|word| {
        if let Some((key, value)) = word.split_once("!=") {
            return !found(&reply.json, key).iter().any(|text| text == value);
        }
        match (word.find('='), word.find('~')) {
            (Some(at), tilde) if tilde.is_none_or(|tilde| at < tilde) => {
                found(&reply.json, &word[..at]).iter().any(|text| *text == word[at + 1..])
            }
            (_, Some(at)) => found(&reply.json, &word[..at]).iter().any(|text| text.contains(&word[at + 1..])),
            _ => false,
        }
    })
}

/// The values at a dotted key as texts; `*` stands for every element.
fn found(document: &Value, key: &str) -> Vec<String> {
    let mut at = vec![document];
    for part in key.split('.') {
        at = at
            .into_iter()
            .flat_map(|value| match (value, part) {
                (Value::Array(items), "*") => items.iter().collect(),
                (Value::Array(items), _) => part.parse::<usize>().ok().and_then(|at| items.get(at)).into_iter().collect(),
                (other, _) => other.get(part).into_iter().collect::<Vec<_>>(),
            })
            .collect();
    }
    at.into_iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
}

#[test]
fn the_guide_s_commands_do_what_it_says() -> Result<()> {
    // `BERTH_GUIDE=C048,C049` runs only the worlds of these rows.
    let chosen: BTreeSet<String> = std::env::var("BERTH_GUIDE").map(|ids| ids.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let table = table()?;
    let lines = lines(&table)?;
    let mut worlds: Vec<&[Line<'_>]> = Vec::new();
    let mut start = 0;
    for at in 1..=lines.len() {
        if at == lines.len() || matches!(lines[at], Line::World(_)) {
            worlds.push(&lines[start..at]);
            start = at;
        }
    }
    let mut failed = Vec::new();
    for lines in worlds {
        let rows = || lines.iter().filter_map(|line| if let Line::Row(row) = line { Some(row) } else { None });
        if !chosen.is_empty() && !rows().any(|row| chosen.contains(row.id)) {
            continue;
        }
        let Some(Line::World(nodes)) = lines.first() else { bail!("the table begins with a world") };
        let Some(mut world) = World::new(nodes)? else { continue };
        for line in lines {
            match line {
                Line::World(_) => {}
                Line::Prepare(words) => {
                    if let Err(error) = world.cluster.linstor(&words.split(' ').collect::<Vec<_>>()) {
                        failed.push(format!("preparing: {error:#}"));
                    }
                }
                Line::Row(row) => {
                    if let Err(error) = world.run(row) {
                        failed.push(format!("{} {}: {error:#}", row.id, row.command));
                    }
                }
            }
        }
    }
    ensure!(failed.is_empty(), "{} rows are not as the table says:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}

#[test]
fn the_guide_s_rows_are_all_here_and_counted() -> Result<()> {
    let table = table()?;
    let lines = lines(&table)?;
    let rows: Vec<&Row<'_>> = lines.iter().filter_map(|line| if let Line::Row(row) = line { Some(row) } else { None }).collect();
    let by_id: BTreeMap<&str, &str> = rows.iter().map(|row| (row.id, row.command)).collect();
    ensure!(by_id.len() == rows.len(), "a row is there twice");
    let pending = rows.iter().filter(|row| row.outcome == Outcome::Pending).count();
    let partly = rows.iter().filter(|row| row.outcome == Outcome::Partly).count();
    let whole = rows.len() - pending - partly;
    let told =
        format!("Of its {} rows {whole} do what it says, {partly} are accepted without their effect, {pending} are pending", rows.len());
    ensure!(README.contains(&told), "the README does not say: {told}");

    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(table) = fs::read_to_string(shared.join("guide/commands.tsv")) else {
        note("the guide's own table is not on this machine: BERTH_SHARED names the folder that holds guide/commands.tsv");
        return Ok(());
    };
    let mut count = 0;
    for row in table.lines().skip(1) {
        let mut fields = row.split('\t');
        let (id, command) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        ensure!(by_id.get(id) == Some(&command), "row {id} is missing or differs: {command}");
        count += 1;
    }
    ensure!(count == rows.len(), "the guide has {count} rows, the table {}", rows.len());
    Ok(())
}
