//! `explain`: what a property is for, where it may be set, what it may hold, and what holds for an object.
//!
//! The table of keys is the model's own, so it is told without a controller. For an object its levels are read and the nearest value is marked,
//! by the same order of inheritance that the controller follows.

use berth_client::Call;
use berth_model::props::{self, Effect, Owner, PropInfo, Source};
use serde_json::Value;

use crate::drbd;
use crate::plan::Plan;
use crate::table::Table;
use crate::value;
use crate::words::BadUsage;

/// Commands that set properties: the object's word and what follows `set-property`.
const SETTERS: [(Owner, &str); 13] = [
    (Owner::Controller, "controller set-property"),
    (Owner::Node, "node set-property NODE"),
    (Owner::StorPoolDfn, "storage-pool-definition set-property POOL"),
    (Owner::StorPool, "storage-pool set-property NODE POOL"),
    (Owner::ResourceGroup, "resource-group set-property GROUP"),
    (Owner::VolumeGroup, "volume-group set-property GROUP NR"),
    (Owner::ResourceDefinition, "resource-definition set-property RESOURCE"),
    (Owner::VolumeDefinition, "volume-definition set-property RESOURCE NR"),
    (Owner::Resource, "resource set-property NODE RESOURCE"),
    (Owner::Volume, "volume set-property NODE RESOURCE NR"),
    (Owner::NodeConnection, "node-connection set-property NODE_A NODE_B"),
    (Owner::ResourceConnection, "resource-connection set-property NODE_A NODE_B RESOURCE"),
    (Owner::Snapshot, "snapshot set-property RESOURCE SNAPSHOT"),
];

/// The kind of object that a command word stands for.
pub fn owner_of(object: &str) -> Option<Owner> {
    SETTERS.iter().find(|(_, setter)| setter.split(' ').next() == Some(object)).map(|(owner, _)| *owner)
}

/// What `set-property --help` says of the keys that an object takes; empty where it takes only the user's own.
pub fn keys_help(owner: Owner) -> String {
    let mut out = String::new();
    for info in props::infos(owner) {
        out.push_str(&format!("  {}", info.key));
        let mut about = Vec::new();
        about.extend(values_of(info));
        about.extend(info.dflt.map(|text| format!("default {text}")));
        if !about.is_empty() {
            out.push_str(&format!(" [{}]", about.join("; ")));
        }
        if let Some(text) = meaning(info) {
            out.push_str(&format!("\n      {text}"));
        }
        out.push('\n');
    }
    if out.is_empty() { out } else { format!("Keys, besides Aux/… of your own:\n{out}\nlinstor explain KEY tells more of one.") }
}

/// Keys that an object takes.
pub fn keys(owner: Owner) -> Vec<&'static str> {
    props::infos(owner).map(|info| info.key).collect()
}

/// The text of `explain KEY`.
///
/// # Errors
/// A key that no object takes; the message names those that are alike.
pub fn text(typed: &str) -> Result<String, BadUsage> {
    let key = find(typed)?;
    let holders: Vec<(Owner, &PropInfo)> =
        Owner::ALL.into_iter().filter_map(|owner| props::infos(owner).find(|info| info.key == key).map(|info| (owner, info))).collect();
    let Some((_, info)) = holders.first() else { return Err(unknown(typed)) };
    let mut out = format!("{key}\n");
    let mut line = |heading: &str, text: String| out.push_str(&format!("  {heading:<10} {text}\n"));
    if let Some(text) = meaning(info) {
        line("What", text.to_owned());
    }
    if let Some(text) = values_of(info) {
        line("Values", text);
    }
    if let Some(text) = info.unit {
        line("Unit", text.to_owned());
    }
    line("Unset", info.dflt.map_or_else(|| "nothing holds, or what the layer below does by itself".to_owned(), str::to_owned));
    line("Set on", holders.iter().map(|(owner, _)| owner.label()).collect::<Vec<_>>().join(", "));
    let order: Vec<&str> =
        props::order(key).iter().filter(|source| holds(&holders, **source)).map(|source| source_label(*source)).collect();
    if order.len() > 1 {
        line("Nearest", format!("{} (the first that sets it)", order.join(", then ")));
    }
    let effect = match effect(key, holders.iter().map(|(owner, _)| *owner)) {
        Effect::Applied => "yes",
        Effect::NotYet => "no: it is kept and listed, but this version does nothing with it",
    };
    line("In effect", effect.to_owned());
    let mut heading = "Set it";
    for (owner, _) in &holders {
        if let Some((_, setter)) = SETTERS.iter().find(|(of, _)| of == owner) {
            line(heading, format!("linstor {setter} {key} VALUE"));
            heading = "";
        }
    }
    Ok(out)
}

/// The plan of `explain KEY` with an object: its levels are read.
///
/// # Errors
/// A key that no object takes.
pub fn plan(typed: &str, resource: Option<&str>, node: Option<&str>) -> Result<Plan, BadUsage> {
    let key = find(typed)?.to_owned();
    let about = text(&key)?;
    let mut calls = vec![(Source::Controller, Call::get(&["controller", "properties"]))];
    if let Some(node) = node {
        calls.push((Source::Node, Call::get(&["nodes", node])));
    }
    if let Some(resource) = resource {
        calls.push((Source::ResourceDefinition, Call::get(&["resource-definitions", resource])));
        if let Some(node) = node {
            calls.push((Source::Resource, Call::get(&["resource-definitions", resource, "resources", node])));
        }
    }
    Ok(Plan::Explain { key, about, calls })
}

/// One level that was read: where, its name, the document.
pub type Level = (Source, String, Value);

/// The call that reads the group of a definition.
pub fn group_call(definition: &Value) -> Option<(String, Call)> {
    let group = value::text(definition, "resource_group_name");
    (!group.is_empty()).then(|| (group.to_owned(), Call::get(&["resource-groups", group])))
}

/// The levels that have a value, nearest first; the first one is what holds.
pub fn levels(key: &str, read: &[Level]) -> Table {
    let mut table = Table::new(["Where", "Value", "Holds"]);
    for source in props::order(key) {
        for (_, name, document) in read.iter().filter(|(of, _, _)| of == source) {
            let found = match source {
                Source::Controller => value::text(document, key),
                _ => value::prop(document, key),
            };
            if !found.is_empty() {
                let place = format!("{} {name}", source_label(*source));
                let holds = if table.rows.is_empty() { "yes" } else { "" };
                table.rows.push(vec![place.trim_end().into(), found.into(), holds.into()]);
            }
        }
    }
    table
}

/// The key that was meant: as typed, in another case, or its last part where only one key ends so.
fn find(typed: &str) -> Result<&'static str, BadUsage> {
    let all = all_keys();
    let wanted = typed.trim_matches('/');
    if let Some(key) = all.iter().find(|key| key.eq_ignore_ascii_case(wanted)) {
        return Ok(key);
    }
    let lower = wanted.to_ascii_lowercase();
    let mut ends = all.iter().filter(|key| key.to_ascii_lowercase().ends_with(&format!("/{lower}")));
    match (ends.next(), ends.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(unknown(typed)),
    }
}

/// All keys that some object takes, in their order.
pub fn all_keys() -> Vec<&'static str> {
    let mut all: Vec<&'static str> = Owner::ALL.into_iter().flat_map(keys).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn unknown(typed: &str) -> BadUsage {
    const SHOWN: usize = 12;
    let lower = typed.to_ascii_lowercase();
    let last = lower.rsplit('/').next().unwrap_or_default();
    let alike: Vec<&str> =
        all_keys().into_iter().filter(|key| !last.is_empty() && key.to_ascii_lowercase().contains(last)).take(SHOWN).collect();
    if alike.is_empty() {
        BadUsage::new(format!(
            "no object takes a property '{typed}'; keys of your own begin with Aux/. controller set-property --help lists all"
        ))
    } else {
        BadUsage::new(format!("no object takes a property '{typed}'; alike are {}", alike.join(", ")))
    }
}

fn meaning(info: &'static PropInfo) -> Option<&'static str> {
    info.info.or_else(|| drbd::options(drbd::Scope::All).find(|option| option.key() == info.key).map(|option| option.help))
}

fn values_of(info: &PropInfo) -> Option<String> {
    match (info.prop_type, info.value.as_deref()) {
        ("boolean" | "boolean_true_false", _) => Some("true, false".to_owned()),
        ("string", None) => None,
        ("long", None) => Some("a whole number".to_owned()),
        (_, Some(form)) => Some(form.to_owned()),
        (kind, None) => Some(kind.to_owned()),
    }
}

fn effect(key: &str, mut owners: impl Iterator<Item = Owner>) -> Effect {
    if owners.any(|owner| props::effect(owner, key) == Some(Effect::Applied)) { Effect::Applied } else { Effect::NotYet }
}

fn holds(holders: &[(Owner, &PropInfo)], source: Source) -> bool {
    holders.iter().any(|(owner, _)| match source {
        Source::Controller => *owner == Owner::Controller,
        Source::Node => *owner == Owner::Node,
        Source::StorPoolDfn => *owner == Owner::StorPoolDfn,
        Source::StorPool => *owner == Owner::StorPool,
        Source::ResourceGroup => *owner == Owner::ResourceGroup,
        Source::VolumeGroup => *owner == Owner::VolumeGroup,
        Source::ResourceDefinition => *owner == Owner::ResourceDefinition,
        Source::VolumeDefinition => *owner == Owner::VolumeDefinition,
        Source::Resource => *owner == Owner::Resource,
        Source::Volume => *owner == Owner::Volume,
        Source::NodeConnection => *owner == Owner::NodeConnection,
        Source::ResourceConnection => *owner == Owner::ResourceConnection,
    })
}

fn source_label(source: Source) -> &'static str {
    match source {
        Source::Controller => Owner::Controller.label(),
        Source::Node => Owner::Node.label(),
        Source::StorPoolDfn => Owner::StorPoolDfn.label(),
        Source::StorPool => Owner::StorPool.label(),
        Source::ResourceGroup => Owner::ResourceGroup.label(),
        Source::VolumeGroup => Owner::VolumeGroup.label(),
        Source::ResourceDefinition => Owner::ResourceDefinition.label(),
        Source::VolumeDefinition => Owner::VolumeDefinition.label(),
        Source::Resource => Owner::Resource.label(),
        Source::Volume => Owner::Volume.label(),
        Source::NodeConnection => Owner::NodeConnection.label(),
        Source::ResourceConnection => Owner::ResourceConnection.label(),
    }
}

#[cfg(test)]
mod tests {
    use berth_model::props::{Owner, Source};
    use serde_json::json;

    use super::{all_keys, keys_help, levels, owner_of, text};

    #[test]
    fn every_key_is_explained() {
        for key in all_keys() {
            let said = text(key).expect("a key of the table");
            assert!(said.starts_with(key) && said.contains("Set on"), "{said}");
        }
        let protocol = text("protocol").expect("only one key ends so");
        assert!(protocol.contains("When a write counts as done") && protocol.contains("resource-definition set-property"), "{protocol}");
    }

    #[test]
    fn an_unknown_key_names_those_that_are_alike() {
        let said = text("DrbdOptions/Net/protocl").expect_err("misspelt").to_string();
        assert!(said.contains("no object takes"), "{said}");
        let said = text("weights").expect_err("a namespace").to_string();
        assert!(said.contains("Autoplacer/Weights/MaxFreeSpace"), "{said}");
    }

    #[test]
    fn set_property_s_help_lists_the_keys() {
        let said = keys_help(owner_of("controller").expect("an object"));
        assert!(said.contains("Autoplacer/Weights/MaxFreeSpace") && said.contains("DrbdOptions/Net/protocol"), "{said}");
        assert!(keys_help(Owner::Snapshot).is_empty());
    }

    #[test]
    fn the_nearest_value_holds() {
        let read = [
            (Source::Controller, String::new(), json!({"DrbdOptions/Net/protocol": "A"})),
            (Source::ResourceGroup, "web".to_owned(), json!({"props": {"DrbdOptions/Net/protocol": "B"}})),
            (Source::ResourceDefinition, "r".to_owned(), json!({"props": {}})),
        ];
        let table = levels("DrbdOptions/Net/protocol", &read);
        let cells: Vec<Vec<&str>> = table.rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect();
        assert_eq!(cells, [["resource group web", "B", "yes"], ["controller", "A", ""]]);
    }
}
