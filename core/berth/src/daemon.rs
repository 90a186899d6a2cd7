//! Starting and ending the daemons: settings, logging, signals, `ready` lines.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use berth_model::inquiry::LogControl;
use berth_plugin_sdk::storage::Storage;
use berth_satellite::plugins::PluginKeys;
use clap::ArgMatches;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::certificates;
use crate::linstor_files::Program;
use crate::plugins;
use crate::settings::{Known, Settings};
use crate::sign_in;
use crate::words::SimulateWords;

/// Longest time from a signal to the end of the process; past it, it ends at once.
const END_WITHIN: Duration = Duration::from_secs(5);

const CONTROLLER: &[Known] = &[
    Known { name: "data", variable: "BERTH_CONTROLLER_DATA", default: Some("/var/lib/berth/controller") },
    Known { name: "listen", variable: "BERTH_CONTROLLER_LISTEN", default: Some("[::]:3370") },
    Known { name: "master_passphrase", variable: "MASTER_PASSPHRASE", default: None },
    Known { name: "log", variable: "BERTH_LOG", default: Some("info") },
    Known { name: "log_format", variable: "BERTH_LOG_FORMAT", default: Some("text") },
    Known { name: "traces", variable: "BERTH_TRACES", default: None },
    Known { name: "plugins", variable: "BERTH_CONTROLLER_PLUGINS", default: None },
    Known { name: "plugin_keys", variable: "BERTH_CONTROLLER_PLUGIN_KEYS", default: None },
];

const SATELLITE: &[Known] = &[
    Known { name: "data", variable: "BERTH_SATELLITE_DATA", default: Some("/var/lib/berth/satellite") },
    Known { name: "listen", variable: "BERTH_SATELLITE_LISTEN", default: Some("[::]:3366") },
    Known { name: "name", variable: "BERTH_SATELLITE_NAME", default: None },
    Known { name: "dev_dir", variable: "BERTH_SATELLITE_DEV_DIR", default: Some("/dev/berth") },
    Known { name: "allow_ext_files", variable: "BERTH_SATELLITE_ALLOW_EXT_FILES", default: None },
    Known { name: "plugin_cache", variable: "BERTH_SATELLITE_PLUGIN_CACHE", default: None },
    Known { name: "plugin_keys", variable: "BERTH_SATELLITE_PLUGIN_KEYS", default: None },
    Known { name: "plugins", variable: "BERTH_SATELLITE_PLUGINS", default: None },
    Known { name: "controllers", variable: "LS_CONTROLLERS", default: None },
    Known { name: "tls_cert", variable: "BERTH_SATELLITE_TLS_CERT", default: None },
    Known { name: "tls_key", variable: "BERTH_SATELLITE_TLS_KEY", default: None },
    Known { name: "tls_ca", variable: "BERTH_SATELLITE_TLS_CA", default: None },
    Known { name: "log", variable: "BERTH_LOG", default: Some("info") },
    Known { name: "log_format", variable: "BERTH_LOG_FORMAT", default: Some("text") },
    Known { name: "traces", variable: "BERTH_TRACES", default: None },
];

/// Every setting of the controller.
pub fn settings_of_controller() -> Vec<Known> {
    [CONTROLLER, &sign_in::CONTROLLER, &certificates::OF_CONTROLLER].concat()
}

/// Every setting of a satellite.
pub fn settings_of_satellite() -> Vec<Known> {
    [SATELLITE, &certificates::OF_SATELLITE].concat()
}

/// Takes as many open files as the system lets this process have: each satellite and each client is one, and what a login shell gives
/// is often 1,024. A limit that cannot be read or raised stays; whoever meets it says so.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays");
        }
    }
}

/// A runtime with so many threads.
pub fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().context("cannot start the runtime")
}

/// `berth controller`.
pub fn controller(matches: &ArgMatches) -> anyhow::Result<()> {
    let (words, settings) = resolve(matches, &settings_of_controller(), "/etc/berth/controller.toml", Program::Controller)?;
    if words.get_flag("print_config") {
        print!("{}", settings.print());
        return Ok(());
    }
    let log = start_logging(&settings, "berth-controller")?;
    tell_unused(&settings);
    let data = PathBuf::from(settings.require("data")?);
    let listen = address(&settings)?;
    let passphrase = settings.get("master_passphrase").map(|text| berth_controller::Passphrase::new(text.to_owned()));
    let mut config = berth_controller::Config::new(data, listen);
    config.log = log;
    config.passphrase = passphrase;
    sign_in::apply(&mut config, &settings)?;
    let stdin = words.get_flag("until_stdin_closes");
    let renew = config.renew.clone();
    let wanted = plugins::read(settings.get("plugins").unwrap_or_default())?;
    let keys = keys_of_plugins(&listed(&settings, "plugin_keys"))?;
    let around = plugins::Around { data: config.data.clone(), node: None, controllers: None, inside: None };
    let ended = runtime(2)?.block_on(async move {
        let stop = stop_on_signals(stdin)?;
        renew_on_signal(renew)?;
        let mut running = None;
        let started = |address: SocketAddr, controller: &berth_controller::Controller| {
            // Plugins of a controller need no network to reach it.
            let (controller, handle) = (controller.clone(), tokio::runtime::Handle::current());
            let storage = move |plugin: &str| -> Arc<dyn Storage> {
                Arc::new(berth_controller::storage(&controller, plugin, &plugins::machine_name(), handle.clone()))
            };
            let plugins = plugins::Plugins::new(plugins::Around { inside: Some(Arc::new(storage)), ..around }, keys);
            // Nobody asks a controller for them.
            let told = plugins::Told { started: oneshot::channel().0, changed: Arc::default() };
            running = Some(tokio::spawn(plugins.run(wanted, told, stop.clone())));
            ready(&format!("http://{address}"));
        };
        let ended = berth_controller::serve(config, stop.clone(), started).await.map_err(|error| {
            let text = format!("{error}. {}", error.correction());
            if error.needs_hands() { NeedsHands(text).into() } else { anyhow::Error::msg(text) }
        });
        stop.cancel();
        if let Some(plugins) = running
            && let Err(error) = plugins.await
        {
            tracing::error!(%error, "a plugin panicked at its end");
        }
        ended
    });
    crate::traces::end();
    ended
}

/// Why a daemon ended where starting it again would end the same way: its exit code tells systemd not to try.
#[derive(Debug)]
pub struct NeedsHands(String);

impl NeedsHands {
    /// `EX_CONFIG` of sysexits.h; the unit file names it.
    pub const EXIT_CODE: u8 = 78;
}

impl std::fmt::Display for NeedsHands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NeedsHands {}

/// `berth satellite`.
pub fn satellite(matches: &ArgMatches) -> anyhow::Result<()> {
    let (words, settings) = resolve(matches, &settings_of_satellite(), "/etc/berth/satellite.toml", Program::Satellite)?;
    if words.get_flag("print_config") {
        print!("{}", settings.print());
        return Ok(());
    }
    let log = start_logging(&settings, "berth-satellite")?;
    tell_unused(&settings);
    let mut config = berth_satellite::Config::new(settings.require("data")?, address(&settings)?);
    config.log = log;
    config.name = settings.get("name").map(str::to_owned);
    config.dev_dir = settings.require("dev_dir")?.into();
    config.file_folders = file_folders(settings.get("allow_ext_files"))?;
    config.plugin_cache = settings.get("plugin_cache").map(PathBuf::from);
    config.plugin_keys = listed(&settings, "plugin_keys");
    config.tls = certificates::files(&settings, &certificates::ANSWERS)?;
    let wanted = plugins::read(settings.get("plugins").unwrap_or_default())?;
    let around = plugins::Around {
        data: config.data.clone(),
        node: config.name.clone(),
        controllers: settings.get("controllers").map(str::to_owned),
        inside: None,
    };
    let plugins = plugins::Plugins::new(around, keys_of_plugins(&config.plugin_keys)?);
    config.integrations = plugins.clone();
    let stdin = words.get_flag("until_stdin_closes");
    let ended = runtime(2)?.block_on(async move {
        let stop = stop_on_signals(stdin)?;
        renew_on_signal(config.renew.clone())?;
        let (announce, announced) = oneshot::channel::<SocketAddr>();
        config.announce = Some(announce);
        tokio::spawn(async move {
            if let Ok(address) = announced.await {
                ready(&address.to_string());
            }
        });
        // Beside the satellite: volumes are served while a plugin waits for a controller.
        let (started, starting) = oneshot::channel();
        config.plugins_started = Some(starting);
        let told = plugins::Told { started, changed: Arc::clone(&config.plugins_changed) };
        let plugins = tokio::spawn(plugins.run(wanted, told, stop.clone()));
        let ended = berth_satellite::serve(config, stop.clone()).await.map_err(|error| {
            let correction = error.correction();
            anyhow::anyhow!("{:#}. {correction}", anyhow::Error::new(error))
        });
        stop.cancel();
        if let Err(error) = plugins.await {
            tracing::error!(%error, "a plugin panicked at its end");
        }
        ended
    });
    crate::traces::end();
    ended
}

/// Keys of a comma-separated list.
fn listed(settings: &Settings, name: &str) -> Vec<String> {
    let text = settings.get(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

fn keys_of_plugins(keys: &[String]) -> anyhow::Result<PluginKeys> {
    PluginKeys::parse(keys)
        .map_err(|text| anyhow::anyhow!("'plugin_keys': '{text}' is no public key; give the line of minisign that begins with RW"))
}

fn file_folders(text: Option<&str>) -> anyhow::Result<Vec<String>> {
    berth_satellite::file_folders(text.unwrap_or_default())
        .map_err(|why| anyhow::anyhow!("'allow_ext_files': {why}; write it as /etc/drbd-reactor.d,/etc/systemd/system"))
}

/// `berth simulate`.
pub fn simulate(options: &SimulateWords) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.listen.len() == options.name.len(),
        "{} addresses and {} names: give one --name for each --listen",
        options.listen.len(),
        options.name.len()
    );
    let _log = crate::logs::start("warn", "text", None)?;
    let file_folders = file_folders(options.allow_ext_files.as_deref())?;
    let mut configs = Vec::new();
    let mut addresses = Vec::new();
    for (listen, name) in options.listen.iter().zip(&options.name) {
        let (announce, announced) = oneshot::channel::<SocketAddr>();
        let mut config = berth_satellite::SimConfig::new(name.clone());
        config.listen = listen.parse().with_context(|| format!("'{listen}' is not an address; write it as 127.0.0.1:3366"))?;
        config.latency = Duration::from_millis(options.faults.latency_ms);
        config.failures_per_million = u32::from(options.faults.failures_permille) * 1000;
        config.seed = options.faults.seed;
        config.file_folders.clone_from(&file_folders);
        config.announce = Some(announce);
        configs.push(config);
        addresses.push(announced);
    }
    let (stdin, in_use) = (options.until_stdin_closes, options.in_use.clone());
    runtime(2)?.block_on(async move {
        let stop = stop_on_signals(stdin)?;
        tokio::spawn(async move {
            let mut words = Vec::new();
            for address in addresses {
                match address.await {
                    Ok(address) => words.push(address.to_string()),
                    // Not all of them listen: whoever serves them says why.
                    Err(_) => return,
                }
            }
            ready(&words.join(" "));
        });
        berth_satellite::serve_simulated(configs, in_use, stop).await?;
        Ok(())
    })
}

/// SIGHUP has certificates read again at once, as service managers and tools that renew certificates expect of a daemon.
fn renew_on_signal(renew: berth_trust::Asked) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            renew.ask();
        }
    });
    Ok(())
}

fn resolve<'m>(matches: &'m ArgMatches, known: &[Known], file: &str, program: Program) -> anyhow::Result<(&'m ArgMatches, Settings)> {
    let words = matches.subcommand().map(|(_, words)| words).context("no program is named")?;
    let settings = Settings::resolve(known, words, |name| std::env::var(name).ok(), Path::new(file), Some((program, program.place())))?;
    Ok((words, settings))
}

fn address(settings: &Settings) -> anyhow::Result<SocketAddr> {
    let text = settings.require("listen")?;
    text.parse().with_context(|| format!("'{text}' is not an address to listen on; write it as 0.0.0.0:3370 or [::]:3370"))
}

fn start_logging(settings: &Settings, service: &'static str) -> anyhow::Result<Arc<dyn LogControl>> {
    let collector = settings.get("traces").filter(|collector| !collector.is_empty());
    let tracer = collector.map(|collector| crate::traces::tracer(collector, service)).transpose()?;
    crate::logs::start(settings.require("log")?, settings.require("log_format")?, tracer)
}

fn tell_unused(settings: &Settings) {
    if let Some((file, unused)) = &settings.unused {
        tracing::warn!(file = %file.display(), unused = unused.join(", "), "settings of LINSTOR's that have no meaning here");
    }
}

/// Says on standard output, as one line, where the daemon can be reached, and tells the service manager.
fn ready(at: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "ready {at}").and_then(|()| out.flush());
    let _not_a_service = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// A token that is cancelled by SIGTERM, SIGINT or (if wanted) the end of standard input. A process that has not ended in
/// time then is ended: what matters is on disk before it is acknowledged.
fn stop_on_signals(stdin: bool) -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let (closed, stdin_closed) = oneshot::channel::<()>();
    if stdin {
        std::thread::spawn(move || {
            let mut rest = [0u8; 64];
            while std::io::stdin().read(&mut rest).is_ok_and(|read| read > 0) {}
            let _gone = closed.send(());
        });
    } else {
        // Kept for the life of the process, so that its receiver never wakes.
        std::mem::forget(closed);
    }
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = stdin_closed => {}
        }
        token.cancel();
        tokio::time::sleep(END_WITHIN).await;
        tracing::warn!("not ended in time; ending now");
        std::process::exit(0);
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_file_of_linstors_says_is_a_setting() {
        let source = include_str!("linstor_files.rs");
        let known: Vec<Known> = settings_of_controller().into_iter().chain(settings_of_satellite()).collect();
        let names = source.split("#[cfg(test)]").next().unwrap().split('"').skip(1).step_by(2);
        let named: Vec<&str> =
            names.filter(|name| ["https_", "ldap_", "tls_", "master_"].iter().any(|start| name.starts_with(start))).collect();
        assert!(named.len() > 12, "{named:?}");
        for name in named {
            assert!(known.iter().any(|one| one.name == name), "{name}");
        }
    }

    #[test]
    fn a_daemon_may_open_as_many_files_as_the_system_lets_it() {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(256), maximum: before.maximum }).unwrap();
        raise_file_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
