//! Integration plugins of a daemon: opened, started with their storage, stopped at the end. One that fails is told and left out.

mod host;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_model::plugin::{PluginFault, PluginForm, PluginSeen};
use berth_plugin_sdk::plugin::Running;
use berth_plugin_sdk::{Fault, FaultKind};
use berth_satellite::plugins::{PluginKeys, admitted, integrations};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use host::OfPlugin;
pub use host::{Around, machine_name};

/// All of them have so long to stop.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// Who is told when plugins are started.
#[derive(Debug)]
pub struct Told {
    /// Waits for it, at first.
    pub started: oneshot::Sender<()>,
    /// Looks at them when it hears of it.
    pub changed: Arc<Notify>,
}

/// A plugin to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its library.
    pub file: PathBuf,
    /// Its configuration file.
    pub config: Option<PathBuf>,
}

/// Reads `FILE[=CONFIG],…`.
///
/// # Errors
/// A path that is not absolute, or a file that is there twice.
pub fn read(text: &str) -> anyhow::Result<Vec<Wanted>> {
    let mut all: Vec<Wanted> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (file, config) = word.split_once('=').map_or((word, None), |(file, config)| (file, Some(config)));
        for path in std::iter::once(file).chain(config) {
            anyhow::ensure!(
                Path::new(path).is_absolute(),
                "'plugins': '{path}' is not an absolute path; write it as /usr/lib/berth/plugin.so=/etc/plugin.conf"
            );
        }
        anyhow::ensure!(!all.iter().any(|other| other.file == Path::new(file)), "'plugins': {file} is named twice");
        all.push(Wanted { file: file.into(), config: config.map(PathBuf::from) });
    }
    Ok(all)
}

/// A plugin that runs, or that could not be started.
struct One {
    seen: PluginSeen,
    running: Option<Arc<dyn Running>>,
}

/// Plugins of a daemon.
pub struct Plugins {
    around: Around,
    keys: PluginKeys,
    all: Mutex<Vec<One>>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("data", &self.around.data).finish_non_exhaustive()
    }
}

impl Plugins {
    /// None yet. With `keys`, only signed files are opened.
    pub fn new(around: Around, keys: PluginKeys) -> Arc<Self> {
        Arc::new(Self { around, keys, all: Mutex::default() })
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<One>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts all that can be started, one after the other; waits for them. What is installed in the data folder is started after
    /// what is `wanted` by name.
    fn start(&self, wanted: &[Wanted]) {
        for one in wanted {
            self.start_one(one, None);
        }
        for (name, found) in integrations(&self.around.data, &self.keys) {
            match found {
                Ok(one) => self.start_one(&Wanted { file: one.file, config: one.config }, Some(&name)),
                Err(error) => self.failed(PluginSeen::unknown(&name), &error.to_string(), &error.correction()),
            }
        }
    }

    /// Tells of one that does not run.
    fn failed(&self, seen: PluginSeen, message: &str, correction: &str) {
        tracing::error!(plugin = %seen.name, file = %seen.file, correction, "plugin not started: {message}");
        let fault = PluginFault { message: message.to_owned(), correction: correction.to_owned() };
        self.all().push(One { seen: PluginSeen { fault: Some(fault), ..seen }, running: None });
    }

    /// Starts one; `installed`: under this name.
    fn start_one(&self, wanted: &Wanted, installed: Option<&str>) {
        // Until it says what it is called, it is called as its file is.
        let called = || wanted.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut seen =
            PluginSeen { file: wanted.file.display().to_string(), ..PluginSeen::unknown(&installed.map_or_else(called, str::to_owned)) };
        seen.sha256 = match admitted(&wanted.file, &self.keys) {
            Ok(sum) => sum,
            Err(error) => return self.failed(seen, &error.to_string(), &error.correction()),
        };
        if let Err(error) = crate::plugin::survives(&wanted.file) {
            return self.failed(seen, &error.to_string(), "Install it again, from where it was built");
        }
        let (library, manifest) = match berth_loader::open_plugin(&wanted.file) {
            Ok(opened) => opened,
            Err(error) => return self.failed(seen, &error.to_string(), &error.correction()),
        };
        let asked = std::mem::replace(&mut seen.name, manifest.name);
        (seen.version, seen.contract, seen.serves) = (manifest.version, manifest.contract, manifest.serves);
        seen.form = Some(PluginForm::Library);
        if installed.is_some() && asked != seen.name {
            let message = format!("the file calls itself '{}', and is installed as '{asked}'", seen.name);
            return self.failed(seen, &message, "Install it under its own name: 'berth plugin install FILE'");
        }
        if self.all().iter().any(|other| other.running.is_some() && other.seen.name == seen.name) {
            let message = format!("plugin '{}' runs already, from another file", seen.name);
            return self.failed(seen, &message, "Name one file of it, or remove what is installed: 'berth plugin remove NAME'");
        }
        let host = OfPlugin::new(&seen.name, wanted.config.as_deref(), &self.around);
        match host.and_then(|host| library.start(Arc::new(host))) {
            Ok(running) => {
                tracing::info!(plugin = %seen.name, version = %seen.version, serves = %seen.serves, "plugin started");
                self.all().push(One { seen, running: Some(Arc::from(running)) });
            }
            Err(fault) => {
                let message = if fault.cause.is_empty() { fault.message } else { format!("{}: {}", fault.message, fault.cause) };
                self.failed(seen, &message, &fault.correction);
            }
        }
    }

    /// Starts them beside whatever the daemon does, tells when they are started, and stops them at `stop`. Ends when they are stopped.
    pub async fn run(self: Arc<Self>, wanted: Vec<Wanted>, told: Told, stop: CancellationToken) {
        let starting = tokio::task::spawn_blocking({
            let plugins = Arc::clone(&self);
            move || plugins.start(&wanted)
        });
        if let Err(error) = starting.await {
            tracing::error!(%error, "a plugin panicked at its start");
        }
        // Whoever does not wait any more is asked to look.
        let _ = told.started.send(());
        if !self.all().is_empty() {
            told.changed.notify_one();
        }
        stop.cancelled().await;
        self.stop().await;
    }

    /// Stops all of them at once, within their time.
    async fn stop(&self) {
        let all = std::mem::take(&mut *self.all());
        let running = all.into_iter().filter_map(|one| one.running);
        let stops: Vec<_> = running.map(|running| tokio::task::spawn_blocking(move || running.stop())).collect();
        if tokio::time::timeout(STOP_WITHIN, futures_util::future::join_all(stops)).await.is_err() {
            tracing::warn!("a plugin did not stop in time");
        }
    }
}

impl berth_satellite::Integrations for Plugins {
    fn call(&self, plugin: &str, operation: &str, input: &str) -> Result<String, Fault> {
        let all = self.all();
        let runs = || all.iter().filter_map(|one| Some((one.seen.name.as_str(), one.running.as_ref()?)));
        let found = runs().find(|(name, _)| *name == plugin).map(|(_, running)| Arc::clone(running));
        let known = runs().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
        drop(all);
        match found {
            Some(running) => running.call(operation, input),
            None => Err(Fault::new(FaultKind::Lost, format!("No plugin '{plugin}' runs here"))
                .cause(if known.is_empty() { "none does".to_owned() } else { format!("these do: {known}") })
                .correction("Look with 'berth plugin list --local' why it was not started")),
        }
    }

    fn seen(&self) -> Vec<PluginSeen> {
        let mut seen: Vec<PluginSeen> = self.all().iter().map(|one| one.seen.clone()).collect();
        for (name, found) in integrations(&self.around.data, &self.keys) {
            let (file, fault) = match found {
                Ok(one) => {
                    let (message, correction) = ("it was installed after the satellite was started".into(), "Restart the satellite".into());
                    (one.file.display().to_string(), PluginFault { message, correction })
                }
                Err(error) => (String::new(), PluginFault { message: error.to_string(), correction: error.correction() }),
            };
            if seen.iter().any(|one| one.name == name && (one.file == file || one.fault.is_some())) {
                continue;
            }
            let fault = Some(fault);
            seen.push(PluginSeen { form: Some(PluginForm::Library), file, fault, ..PluginSeen::unknown(&name) });
        }
        seen.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.file.cmp(&b.file)));
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_named_with_their_configuration() {
        let all = read("/a.so, /b.so=/b.conf,").unwrap();
        let expected = [("/a.so", None), ("/b.so", Some("/b.conf"))];
        assert_eq!(all, expected.map(|(file, config)| Wanted { file: file.into(), config: config.map(PathBuf::from) }));
        assert!(read("").unwrap().is_empty());
        for (text, word) in [("a.so", "absolute"), ("/a.so=b.conf", "absolute"), ("/a.so,/a.so=/x", "twice")] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
