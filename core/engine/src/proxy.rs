//! DRBD Proxy: its options are kept; it itself is a product of its own that satellites of this version do not drive.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::props::{Owner, PropChange};
use berth_model::reply::Reply;

use crate::change_props;
use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::lookup;
use crate::resources::misdirected;

/// Property of a definition: how the proxy compresses.
const COMPRESSION: &str = "DrbdProxy/CompressionType";
/// Namespace of the options of a compression.
const COMPRESSION_OPTIONS: &str = "DrbdOptions/ProxyCompression";

/// Commands on DRBD Proxy.
///
/// # Errors
/// As the operations of REST API v1 on `drbd-proxy`.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::ModifyDrbdProxy { resource, props, compression_type, compression_props } => {
            draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("RscDfn", resource)]);
            modify(draft, resource, props, compression_type.as_deref(), compression_props)
        }
        Command::SwitchDrbdProxy { resource, node_a, node_b, on } => {
            let refs = [("RscDfn", resource.as_str()), ("FirstNode", node_a), ("SecondNode", node_b)];
            draft.about(Operation::Modify, ObjectMask::ResourceConnection, &refs);
            switch(draft, resource, node_a, node_b, *on)
        }
        other => Err(misdirected(other)),
    }
}

/// What a compression's options are checked against; `None`: it has none.
fn owner_of(compression: &str) -> Option<Owner> {
    match compression {
        "zlib" => Some(Owner::DrbdProxyZlib),
        "lzma" => Some(Owner::DrbdProxyLzma),
        "zstd" => Some(Owner::DrbdProxyZstd),
        _ => None,
    }
}

fn modify(
    draft: &mut Draft<'_>,
    resource: &str,
    change: &PropChange,
    compression: Option<&str>,
    options: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    const KNOWN: [&str; 5] = ["none", "zlib", "lzma", "lz4", "zstd"];
    let mut definition = (**lookup::definition(&draft.cluster, resource)?).clone();
    let written = change_props::write(Owner::DrbdProxy, &definition.props, change)?;
    let mut replies = written.replies;
    definition.props = written.props;
    if let Some(word) = compression {
        let Some(known) = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(word)) else {
            return Err(Reply::new(Code::FAIL_INVLD_DRBD_PROXY_COMPRESSION_TYPE, format!("'{word}' is no compression of DRBD Proxy."))
                .correction("Choose from none, zlib, lzma, lz4 and zstd.")
                .into());
        };
        // The options of another compression mean nothing to this one.
        let old: Vec<String> = definition.props.below(COMPRESSION_OPTIONS).map(|(key, _)| key.to_owned()).collect();
        old.iter().for_each(|key| drop(definition.props.remove(key)));
        if *known == "none" {
            definition.props.remove(COMPRESSION);
        } else {
            definition.props.insert_internal(COMPRESSION, *known);
            replies.push(change_props::without_effect(&[COMPRESSION.to_owned()]));
        }
    }
    if !options.is_empty() {
        let current = definition.props.get(COMPRESSION).unwrap_or("none").to_owned();
        let Some(owner) = owner_of(&current) else {
            return Err(Reply::new(Code::FAIL_INVLD_PROP, format!("The compression '{current}' has no options."))
                .correction("Choose zlib, lzma or zstd, or leave out the options.")
                .into());
        };
        let full = |key: &String| if key.contains('/') { key.clone() } else { format!("{COMPRESSION_OPTIONS}/{key}") };
        let set = options.iter().map(|(key, value)| (full(key), value.clone())).collect();
        let written = change_props::write(owner, &definition.props, &PropChange::set(set))?;
        replies.extend(written.replies);
        definition.props = written.props;
    }
    // As recorded: what is said of the properties names no object.
    for reply in replies.iter_mut().filter(|reply| reply.operation.is_some()) {
        reply.object = None;
        reply.alone = true;
    }
    draft.applied.replies.extend(replies);
    let (id, name) = (definition.id, definition.name.clone());
    draft.put(Object::ResourceDefinition(definition));
    let text = format!("Options of DRBD Proxy on '{name}' modified.");
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn switch(draft: &mut Draft<'_>, resource: &str, one: &str, other: &str, on: bool) -> Result<(), Refused> {
    let name = lookup::resource(&draft.cluster, resource, one)?.name.clone();
    lookup::resource(&draft.cluster, resource, other)?;
    if on {
        return Err(Reply::new(Code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER, format!("DRBD Proxy cannot be used for '{name}'."))
            .cause("DRBD Proxy is a product of its own, which satellites of this version do not drive.")
            .correction("Connect the nodes directly; protocol A and larger send buffers help over long distances.")
            .into());
    }
    draft.reply(
        Reply::new(Code::INFO_NOOP, format!("The connection of '{name}' uses no DRBD Proxy."))
            .cause("It was never switched on.")
            .details("Nothing was changed."),
    );
    Ok(())
}
