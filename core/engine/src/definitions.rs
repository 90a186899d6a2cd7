//! Resource definitions. Volume definitions are in `definitions/volumes.rs`, external names in `definitions/external.rs`.

mod external;
pub(crate) mod volumes;

use std::collections::BTreeMap;

use berth_model::change::{Key, NumberKey, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::flags::DefinitionFlags;
use berth_model::layers::LayerKind;
use berth_model::names::{DEFAULT_GROUP, ResourceName};
use berth_model::objects::{DrbdDefinition, ResourceDefinition};
use berth_model::props::{EXACT_SIZE, Owner, PropChange};
use berth_model::reply::Reply;
use berth_model::secrets::Secret;

use crate::change_props;
use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::resources::misdirected;
use crate::{groups, lookup, numbers, stack};

pub use external::name_for;
pub use volumes::{check_size, new_volume};

/// Longest shared secret of DRBD, in bytes (drbd.conf(5), `shared-secret`).
const SHARED_SECRET_MAX: usize = 64;

/// Commands that make and change resource definitions and volume definitions.
///
/// # Errors
/// As the operations of REST API v1 on definitions.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateResourceDefinition {
            name,
            external_name,
            group,
            layers,
            props,
            drbd_port,
            drbd_secret,
            drbd_transport_type,
            drbd_peer_slots,
        } => {
            draft.about(Operation::Create, ObjectMask::ResourceDefinition, &[("RscDfn", name.as_deref().unwrap_or_default())]);
            let drbd = DrbdRequest {
                port: *drbd_port,
                secret: drbd_secret.as_ref(),
                transport: drbd_transport_type.as_deref(),
                peer_slots: *drbd_peer_slots,
            };
            let request =
                Request { name: name.as_deref(), external_name: external_name.as_deref(), group: group.as_deref(), layers, props, drbd };
            create(draft, &request)
        }
        Command::ModifyResourceDefinition { name, props, drbd_port, drbd_peer_slots, layers, group } => {
            draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("RscDfn", name)]);
            let drbd = DrbdRequest { port: *drbd_port, secret: None, transport: None, peer_slots: *drbd_peer_slots };
            let request = Modification { props, drbd, layers: layers.as_deref(), group: group.as_deref() };
            modify(draft, name, &request)
        }
        Command::CreateVolumeDefinition { resource, volume } => {
            draft.about(Operation::Create, ObjectMask::VolumeDefinition, &[("RscDfn", resource)]);
            volumes::create(draft, resource, volume)
        }
        Command::ModifyVolumeDefinition { resource, number, size_kib, flags, props } => {
            let refs = [("RscDfn", resource.as_str()), ("VlmNr", &number.to_string())];
            draft.about(Operation::Modify, ObjectMask::VolumeDefinition, &refs);
            volumes::modify(draft, resource, *number, *size_kib, flags, props)
        }
        other => Err(misdirected(other)),
    }
}

struct DrbdRequest<'a> {
    port: Option<i64>,
    secret: Option<&'a Secret>,
    transport: Option<&'a str>,
    peer_slots: Option<i64>,
}

struct Request<'a> {
    name: Option<&'a str>,
    external_name: Option<&'a str>,
    group: Option<&'a str>,
    layers: &'a [String],
    props: &'a BTreeMap<String, String>,
    drbd: DrbdRequest<'a>,
}

struct Modification<'a> {
    props: &'a PropChange,
    drbd: DrbdRequest<'a>,
    layers: Option<&'a [String]>,
    group: Option<&'a str>,
}

/// Whether replicas of a definition with this stack may have DRBD, so that its volumes need minors.
fn may_have_drbd(layers: &[LayerKind]) -> bool {
    layers.is_empty() || layers.contains(&LayerKind::Drbd)
}

fn fixed_port(wanted: Option<i64>) -> Result<Option<u16>, Refused> {
    let Some(number) = wanted else { return Ok(None) };
    u16::try_from(number).ok().filter(|port| *port != 0).map(Some).ok_or_else(|| {
        Reply::new(Code::FAIL_INVLD_TCP_PORT, format!("{number} is no TCP port."))
            .cause("Ports go from 1 to 65535.")
            .correction("Choose a port in this range, or leave it out to give each replica a free one.")
            .into()
    })
}

/// The secret that DRBD's peers know each other by (drbd.conf(5), `shared-secret`): at most 64 bytes, on one line.
fn shared_secret(wanted: Option<&Secret>) -> Result<Option<String>, Refused> {
    let Some(text) = wanted.map(Secret::reveal).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() <= SHARED_SECRET_MAX && !text.chars().any(char::is_control) {
        return Ok(Some(text.to_owned()));
    }
    Err(Reply::new(Code::FAIL_INVLD_PROP, "This is no shared secret of DRBD.")
        .cause(format!("It has at most {SHARED_SECRET_MAX} bytes and no control characters."))
        .correction("Choose a shorter one on one line, or leave it out to have a random one made.")
        .into())
}

fn transport(word: Option<&str>) -> Result<Option<String>, Refused> {
    const KNOWN: [&str; 3] = ["IP", "RDMA", "LB_TCP"];
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Ok(None) };
    KNOWN.iter().find(|known| known.eq_ignore_ascii_case(word)).map(|known| Some((*known).to_owned())).ok_or_else(|| {
        Reply::new(Code::FAIL_INVLD_TRANSPORT_TYPE, format!("'{word}' is no transport of DRBD."))
            .correction(format!("Choose from {}.", KNOWN.join(", ")))
            .into()
    })
}

fn create(draft: &mut Draft<'_>, request: &Request<'_>) -> Result<(), Refused> {
    let (name, external_name) = name_for(draft, request.name, request.external_name)?;
    lookup::unreserved(&draft.cluster, &Key::ResourceDefinition(name.clone()))?;
    free_name(draft, &name)?;
    let group = lookup::group(&draft.cluster, request.group.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_GROUP))?.name.clone();
    let layers = stack::parse(draft, request.layers)?;
    for warning in draft.applied.replies.iter_mut().filter(|reply| reply.code == Code::WARN_STORAGE_KIND_ADDED) {
        warning.alone = true;
    }
    if layers.contains(&LayerKind::Luks) && draft.cluster.master_key.is_none() {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND_CRYPT_KEY, "There is no master passphrase yet.")
                .cause("Volumes below LUKS have keys of their own, which it seals.")
                .correction("Create it before the first resource: 'linstor encryption create-passphrase'.")
                .alone(),
        );
    }
    let drbd = DrbdDefinition {
        port: fixed_port(request.drbd.port)?,
        secret: shared_secret(request.drbd.secret)?.unwrap_or_else(|| draft.context.secret.clone()),
        transport: transport(request.drbd.transport)?,
        peer_slots: groups::peer_slots(request.drbd.peer_slots)?,
        used_node_ids: 0,
    };
    let props = change_props::first(Owner::ResourceDefinition, request.props)?.naming(&[]).told(draft);
    let id = draft.context.ids.next();
    draft.put(Object::ResourceDefinition(ResourceDefinition {
        id,
        name: name.clone(),
        external_name,
        group,
        layers,
        drbd,
        flags: DefinitionFlags::default(),
        props,
        volumes: Few::new(),
        created: draft.context.now,
    }));
    draft.reply(
        Reply::new(Code::CREATED, format!("New resource definition '{name}' created."))
            .details(format!("UUID: {id}"))
            .refer("UUID", id)
            .refer("RscDfn", &name),
    );
    Ok(())
}

/// Refuses a name that a definition has. Error 501.
///
/// # Errors
/// 501.
pub fn free_name(draft: &Draft<'_>, name: &ResourceName) -> Result<(), Refused> {
    match draft.cluster.definitions.get(name) {
        None => Ok(()),
        Some(old) if old.flags.has(berth_model::flags::DefinitionFlag::Delete) => {
            Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("Resource definition '{}' is being deleted.", old.name))
                .cause("Something of it still lies on its nodes.")
                .correction("Wait until it is gone, or choose another name.")
                .into())
        }
        Some(old) => Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("Resource definition '{}' exists already.", old.name))
            .cause("Names are compared without regard to case.")
            .correction("Choose another name, or change the definition that is there.")
            .into()),
    }
}

fn modify(draft: &mut Draft<'_>, text: &str, request: &Modification<'_>) -> Result<(), Refused> {
    let before = lookup::definition(&draft.cluster, text)?.clone();
    let mut definition = (*before).clone();
    let name = definition.name.clone();
    let deployed = draft.cluster.replicas(&name).next().is_some();
    if let Some(port) = fixed_port(request.drbd.port)? {
        definition.drbd.port = Some(port);
    }
    if let Some(slots) = groups::peer_slots(request.drbd.peer_slots)? {
        definition.drbd.peer_slots = Some(slots);
    }
    if let Some(words) = request.layers {
        if deployed {
            return Err(Reply::new(Code::FAIL_EXISTS_RSC, format!("The layers of '{name}' cannot be changed: it has resources."))
                .cause("The layers have written into the data of its volumes.")
                .correction("Delete its resources first, or create another definition and move the data.")
                .into());
        }
        definition.layers = stack::parse(draft, words)?;
        fit_minors(draft, &mut definition)?;
    }
    let group = request.group.map(|text| lookup::group(&draft.cluster, text).map(|group| group.name.clone())).transpose()?;
    let moved = group.as_ref().is_some_and(|group| *group != definition.group);
    if let Some(group) = group {
        definition.group = group;
    }
    definition.props = change_props::changed(draft, Owner::ResourceDefinition, &definition.props, request.props)?;
    if deployed && definition.props.get_bool(EXACT_SIZE) == Some(true) && before.props.get_bool(EXACT_SIZE) != Some(true) {
        return Err(Reply::new(Code::FAIL_INVLD_PROP, format!("'{EXACT_SIZE}' cannot be set to true on '{name}': it has resources."))
            .cause("Its volumes may be larger than asked for already.")
            .correction("Set it before the first resource is created.")
            .into());
    }
    let id = definition.id;
    let kept_port = deployed && definition.drbd.port != before.drbd.port;
    draft.put(Object::ResourceDefinition(definition));
    let mut reply = Reply::new(Code::MODIFIED, format!("Resource definition '{name}' modified.")).details(format!("UUID: {id}"));
    if kept_port {
        reply = reply.details(format!("UUID: {id}\nResources that exist keep their ports; new ones take the fixed one."));
    }
    draft.reply(reply.refer("UUID", id));
    // Where the new group's rule cannot be kept the move stands all the same; the error tells of it.
    if moved && let Err(reply) = crate::spawn::place_missing(draft, &name) {
        draft.reply(reply);
    }
    Ok(())
}

/// Takes or gives back minors, as the new stack may have DRBD or not.
fn fit_minors(draft: &mut Draft<'_>, definition: &mut ResourceDefinition) -> Result<(), Refused> {
    let wanted = may_have_drbd(&definition.layers);
    for volume in definition.volumes.values_mut() {
        if wanted && volume.minor.is_none() {
            let (minor, claim) = numbers::minor(&draft.cluster, None, volume.id.uuid())?;
            draft.put(Object::Number(claim));
            volume.minor = Some(minor);
        } else if !wanted && let Some(minor) = volume.minor.take() {
            for change in crate::jobs::release(&draft.cluster, volume.id.uuid(), [NumberKey::Minor { minor }]) {
                draft.change(change);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
