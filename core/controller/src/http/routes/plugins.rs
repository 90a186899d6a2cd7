//! The plugins of the nodes, as their satellites told them when they connected.

use std::collections::BTreeSet;

use berth_api::plugins::{Plugin, PluginProp, PluginTrouble, Plugins};
use berth_engine::lookup;
use berth_model::names::NodeName;
use berth_model::plugin::PluginSeen;

use crate::http::answer::document;
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::routes::explain::only;
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Plugins").get(
        "/v1/berth/plugins",
        list,
        Op::answers::<Plugins>("Lists the plugins of the nodes, and what they may do.")
            .texts("node", "Only these nodes; several may stand in one value, parted by commas.")
            .may_miss(),
    )
}

async fn list(call: Call) -> Answered {
    only(&call, &["node"])?;
    let view = call.view();
    let texts = call.query.all("node");
    let mut nodes: BTreeSet<NodeName> = BTreeSet::new();
    for text in texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
        nodes.insert(lookup::node(&view.cluster, text).map_err(refused)?.name.clone());
    }
    let wanted = |name: &NodeName| nodes.is_empty() || nodes.contains(name);
    let mut plugins = Vec::new();
    for node in view.cluster.nodes.values().filter(|node| wanted(&node.name)) {
        let able = view.observed.nodes.get(&node.name).and_then(|seen| seen.capabilities.as_ref());
        plugins.extend(able.into_iter().flat_map(|able| &able.plugins).map(|seen| plugin(node.name.as_str(), seen)));
    }
    Ok(document(&Plugins { plugins }))
}

fn plugin(node: &str, seen: &PluginSeen) -> Plugin {
    let prop =
        |one: &berth_model::plugin::PluginProperty| PluginProp { key: one.key.clone(), help: one.help.clone(), takes: one.rule.takes() };
    Plugin {
        node_name: node.to_owned(),
        name: seen.name.clone(),
        version: seen.version.clone(),
        contract: seen.contract.clone(),
        form: seen.form.map(berth_model::plugin::PluginForm::word),
        kinds: seen.kinds.clone(),
        serves: seen.serves.clone(),
        file: seen.file.clone(),
        sha256: seen.sha256.clone(),
        commands: seen.commands.clone(),
        withheld: seen.withheld.clone(),
        files: seen.files,
        devices: seen.devices.clone(),
        paths: seen.paths.clone(),
        memory_mib: seen.memory_mib,
        seconds: seen.seconds,
        props: seen.props.iter().map(prop).collect(),
        fault: seen.fault.as_ref().map(|fault| PluginTrouble { message: fault.message.clone(), correction: fault.correction.clone() }),
    }
}
