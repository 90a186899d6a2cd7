//! Which provider makes the volumes of a pool, and the settings that only it knows.

use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::objects::Node;
use berth_model::plugin::PluginSeen;
use berth_model::props::{PROVIDER, Props, is_of_provider};
use berth_model::reply::Reply;

use crate::draft::{Draft, Refused};
use crate::stack;

/// Checks what `props` of a pool say beyond those of `before`: the provider that they name is on the node and serves the kind, a pool of
/// kind `PLUGIN` names one, and settings of a provider are such that it takes. What a node that was never connected has is not known; it
/// is left to the satellite then. Errors 213, 600, 989.
pub(super) fn check(draft: &Draft<'_>, node: &Node, kind: ProviderKind, props: &Props, before: &Props) -> Result<(), Refused> {
    let named = props.get(PROVIDER);
    if kind == ProviderKind::Plugin && named.is_none() {
        return Err(Reply::new(Code::FAIL_MISSING_PROPS, "A pool of kind PLUGIN names its provider.")
            .cause(format!("'{PROVIDER}' is not set."))
            .correction(
                "Name it: 'linstor storage-pool create plugin NODE POOL PLACE --provider NAME'; 'berth plugin list' shows which there are.",
            )
            .into());
    }
    let Some(able) = stack::capabilities(draft.context.observed, &node.name) else { return Ok(()) };
    let serving = |plugin: &&PluginSeen| plugin.serves(kind.word());
    if let Some(name) = named.filter(|name| before.get(PROVIDER) != Some(name))
        && !able.plugins.iter().filter(serving).any(|plugin| plugin.name == *name)
    {
        let others: Vec<&str> = able.plugins.iter().filter(serving).map(|plugin| plugin.name.as_str()).collect();
        let there = able.plugins.iter().find(|plugin| plugin.name == *name);
        let cause = match there.map(|plugin| plugin.fault.as_ref()) {
            None => "It has no provider of this name.".to_owned(),
            Some(Some(fault)) => format!("The provider cannot be used there: {}.", fault.message),
            Some(None) => "The provider does not serve this kind.".to_owned(),
        };
        let text = format!("Node '{}' has no provider '{name}' for pools of kind {kind}.", node.name);
        return Err(Reply::new(Code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER, text)
            .cause(cause)
            .correction(if others.is_empty() {
                format!("Install one: 'berth plugin install FILE' on '{}'.", node.name)
            } else {
                format!("Choose from {}, or install it: 'berth plugin install FILE' on '{}'.", others.join(", "), node.name)
            })
            .into());
    }
    for (key, value) in props.iter().filter(|(key, value)| is_of_provider(key) && before.get(key) != Some(value)) {
        let plugins = able.plugins.iter().filter(serving).filter(|plugin| named.is_none_or(|name| plugin.name == *name));
        let Some(property) = plugins.flat_map(|plugin| &plugin.props).find(|property| property.key == *key) else {
            return Err(Reply::new(Code::FAIL_INVLD_PROP, format!("The property '{key}' is not known for storage pools of kind {kind}."))
                .cause(format!("No provider on node '{}' that serves this kind has it.", node.name))
                .correction("Look with 'berth plugin list' which properties its providers add.")
                .into());
        };
        if let Some(allowed) = property.rule.refuses(value) {
            return Err(Reply::new(Code::FAIL_INVLD_PROP, format!("'{value}' is not valid for the property '{key}'."))
                .cause(format!("The provider takes {allowed}."))
                .correction("Set it to such a value.")
                .into());
        }
    }
    Ok(())
}
