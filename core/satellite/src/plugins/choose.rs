//! Which provider makes the volumes of a pool.

use std::sync::Arc;

use berth_model::plugin::PluginForm;
use berth_plugin_sdk::{Fault, FaultKind};

use super::Loaded;

/// Of the providers of a machine the one for a pool of kind `kind`: that which the pool names, or the only one that serves the kind, or
/// of several the one that is part of the satellite.
///
/// # Errors
/// `Unsupported`: none serves the kind, the named one does not, or several could be meant.
pub fn choose(all: &[Arc<Loaded>], kind: &str, named: Option<&str>) -> Result<Arc<Loaded>, Fault> {
    let serving: Vec<&Arc<Loaded>> = all.iter().filter(|loaded| loaded.manifest().kinds.iter().any(|word| word == kind)).collect();
    let refuse = |message: String| Fault::new(FaultKind::Unsupported, message);
    if let Some(name) = named {
        return serving.iter().find(|loaded| loaded.manifest().name == name).map(|loaded| Arc::clone(loaded)).ok_or_else(|| {
            refuse(format!("There is no provider '{name}' for storage pools of kind {kind} on this node"))
                .cause("It is not installed, cannot be used, or does not serve this kind")
                .correction("Look with 'berth plugin list', and install it on the node with 'berth plugin install FILE'")
        });
    }
    match serving.as_slice() {
        [] => Err(refuse(format!("This node cannot do storage pools of kind {kind}"))
            .cause("No provider for this kind is installed on it")
            .correction("Install one with 'berth plugin install FILE', or choose another kind of pool")),
        [only] => Ok(Arc::clone(only)),
        several => several.iter().find(|loaded| loaded.form == PluginForm::Embedded).map(|loaded| Arc::clone(loaded)).ok_or_else(|| {
            let names = several.iter().map(|loaded| loaded.manifest().name.as_str()).collect::<Vec<_>>().join(", ");
            refuse(format!("It is not said which provider makes the volumes of this storage pool of kind {kind}"))
                .cause(format!("{names} serve it"))
                .correction("Name one: 'linstor storage-pool set-property NODE POOL StorDriver/Provider NAME'")
        }),
    }
}

#[cfg(test)]
mod tests {
    use berth_plugin_sdk::Manifest;
    use berth_provider_file::FileProvider;

    use super::*;

    fn of(name: &str, kinds: &[&str], form: PluginForm) -> Arc<Loaded> {
        let Ok(loaded) = Arc::try_unwrap(Loaded::linked(FileProvider)) else { panic!("nobody else has it") };
        Arc::new(Loaded { manifest: Manifest::new(name, "1", kinds), form, ..loaded })
    }

    #[test]
    fn a_pool_gets_the_provider_that_it_names_or_the_only_one_or_ours() {
        let ours = of("file", &["FILE", "FILE_THIN"], PluginForm::Embedded);
        let all = [ours, of("a", &["FILE", "LVM"], PluginForm::Component), of("b", &["LVM", "ZFS"], PluginForm::Library)];
        let name = |kind: &str, named: Option<&str>| choose(&all, kind, named).map(|loaded| loaded.manifest().name.clone());
        assert_eq!(name("FILE", None).as_deref(), Ok("file"));
        assert_eq!(name("FILE", Some("a")).as_deref(), Ok("a"));
        assert_eq!(name("ZFS", None).as_deref(), Ok("b"));
        for (kind, named, word) in [("LVM", None, "a, b"), ("SPDK", None, "No provider"), ("ZFS", Some("a"), "does not serve")] {
            let fault = name(kind, named).unwrap_err();
            assert!(fault.kind == FaultKind::Unsupported && fault.cause.contains(word) && !fault.correction.is_empty(), "{fault:?}");
        }
    }
}
