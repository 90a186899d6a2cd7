//! A small integration plugin, which is kept as a file that was built once: today's hosts must open and call it as long as its contract
//! stands. It makes, tells and removes volumes of the storage that it is handed.

#![deny(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_plugin_sdk::plugin::{Host, Level, Plugin, PluginManifest, Running, no_operation};
use berth_plugin_sdk::storage::{NewVolume, Storage};
use berth_plugin_sdk::{Fault, FaultKind, Kib};
use serde_json::{Value, json};

/// The plugin.
#[derive(Debug, Default, Clone, Copy)]
pub struct Keeper;

impl Plugin for Keeper {
    fn manifest(&self) -> PluginManifest {
        let operations = [("make", "Makes volume 'name' of 'size_kib'."), ("list", "Names of all volumes."), ("remove", "Removes 'name'.")];
        PluginManifest {
            operations: operations.map(|(name, help)| (name.to_owned(), help.to_owned())).to_vec(),
            ..PluginManifest::new("keeper", "1.0.0", "Makes, tells and removes volumes.")
        }
    }

    fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
        host.log(Level::Info, &format!("started with '{}'", host.settings().config));
        Ok(Box::new(Keeping { storage: host.storage()?, host }))
    }
}

/// It runs.
struct Keeping {
    storage: Arc<dyn Storage>,
    host: Arc<dyn Host>,
}

fn unclear(why: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Unsupported, "The input is not understood").cause(why.to_string()).correction("Send a JSON object")
}

impl Running for Keeping {
    fn call(&self, operation: &str, input: &str) -> Result<String, Fault> {
        let input: Value = if input.is_empty() { Value::Null } else { serde_json::from_str(input).map_err(unclear)? };
        let name = || input["name"].as_str().ok_or_else(|| unclear("it has no 'name'"));
        match operation {
            "make" => {
                let size = input["size_kib"].as_u64().ok_or_else(|| unclear("it has no 'size_kib'"))?;
                let made = self.storage.create(&NewVolume { name: name()?.to_owned(), size: Kib(size), ..NewVolume::default() })?;
                Ok(json!({"name": made.name, "size_kib": made.size.0}).to_string())
            }
            "list" => {
                let all = self.storage.list(&BTreeMap::new())?;
                Ok(json!(all.into_iter().map(|volume| volume.name).collect::<Vec<_>>()).to_string())
            }
            "remove" => self.storage.delete(name()?, false).map(|()| "{}".to_owned()),
            other => Err(no_operation(&Keeper.manifest(), other)),
        }
    }

    fn stop(&self) {
        self.host.log(Level::Info, "stopped");
    }
}

berth_plugin_sdk::export_plugin!(Keeper);
