//! A plugin for Berth: it tells where the data of a volume lies.
//!
//! It is complete; change it piece by piece, and run `cargo test` after each.
//! What the calls promise is said at the traits [`Plugin`], [`Host`] and [`Storage`].

use std::sync::Arc;

use berth_plugin_sdk::plugin::{Host, Level, Plugin, PluginManifest, Running, no_operation};
use berth_plugin_sdk::storage::Storage;
use berth_plugin_sdk::{Fault, FaultKind};
use serde_json::{Value, json};

/// The plugin. What lives as long as it serves is in [`Serving`].
#[derive(Debug, Default, Clone, Copy)]
pub struct ExamplePlugin;

impl Plugin for ExamplePlugin {
    fn manifest(&self) -> PluginManifest {
        let mut manifest = PluginManifest::new("example-plugin", env!("CARGO_PKG_VERSION"), "Tells where the data of volumes lies.");
        manifest.operations = vec![("where".to_owned(), "Nodes with the data of a volume: {\"volume\": NAME}.".to_owned())];
        manifest
    }

    fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
        let storage = host.storage()?;
        // Sockets and threads of your platform's protocol begin here.
        host.log(Level::Info, "ready to tell where volumes lie");
        Ok(Box::new(Serving { storage }))
    }
}

/// The plugin while it serves.
struct Serving {
    storage: Arc<dyn Storage>,
}

impl Serving {
    fn holders(&self, input: &str) -> Result<Value, Fault> {
        let input: Value = serde_json::from_str(input)
            .map_err(|error| Fault::new(FaultKind::Unsupported, "The input is no JSON").cause(error.to_string()))?;
        let name = input["volume"].as_str().filter(|name| !name.is_empty()).ok_or_else(|| {
            Fault::new(FaultKind::Unsupported, "The input has no 'volume'").correction("Give it as {\"volume\": \"NAME\"}")
        })?;
        let volume = self.storage.get(name)?.ok_or_else(|| {
            Fault::new(FaultKind::Lost, format!("There is no volume '{name}'")).correction("List the volumes with 'linstor volume list'")
        })?;
        Ok(volume.replicas.iter().filter(|replica| !replica.diskless).map(|replica| json!(replica.node)).collect())
    }
}

impl Running for Serving {
    fn call(&self, operation: &str, input: &str) -> Result<String, Fault> {
        match operation {
            "where" => self.holders(input).map(|nodes| nodes.to_string()),
            other => Err(no_operation(&ExamplePlugin.manifest(), other)),
        }
    }

    fn stop(&self) {
        // Sockets are given up and threads ended here; what users have in use stays.
    }
}

berth_plugin_sdk::export_plugin!(ExamplePlugin);

#[cfg(test)]
mod tests {
    use berth_plugin_sdk::Kib;
    use berth_plugin_sdk::storage::NewVolume;
    use berth_plugin_sdk::storage::memory::MemoryStorage;

    use super::*;

    /// A cluster of two nodes that exists in memory.
    fn serving() -> Serving {
        let storage = MemoryStorage::new(&["alpha", "bravo"]);
        let new = NewVolume { name: "web".into(), size: Kib(8192), nodes: vec!["bravo".into()], ..NewVolume::default() };
        storage.create(&new).expect("there is room in memory");
        Serving { storage: Arc::new(storage) }
    }

    #[test]
    fn it_tells_where_the_data_is() {
        assert_eq!(serving().call("where", r#"{"volume": "web"}"#).expect("it is there"), r#"["bravo"]"#);
    }

    #[test]
    fn what_cannot_be_answered_is_told() {
        for (operation, input, word) in [
            ("where", "{", "no JSON"),
            ("where", "{}", "no 'volume'"),
            ("where", r#"{"volume": "none"}"#, "no volume 'none'"),
            ("sing", "{}", "no operation 'sing'"),
        ] {
            let fault = serving().call(operation, input).expect_err(input);
            assert!(fault.message.contains(word), "{fault:?}");
        }
    }
}
