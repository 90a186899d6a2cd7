//! Volume definitions: made, changed, resized.

use std::collections::BTreeSet;

use berth_model::change::Object;
use berth_model::codes::Code;
use berth_model::flags::{DefinitionFlag, VolumeDefinitionFlag, VolumeDefinitionFlags};
use berth_model::ids::{Id, kind};
use berth_model::layers::LayerKind;
use berth_model::names::VolumeNumber;
use berth_model::objects::{ResourceDefinition, VolumeDefinition};
use berth_model::props::{EXACT_SIZE, Owner, PropChange, Props};
use berth_model::reply::Reply;
use berth_model::size::Kib;

use crate::change_props;
use crate::command::VolumeDefinitionInput;
use crate::draft::{Draft, Refused};
use crate::{lookup, numbers, vault};

/// Property of a volume definition: DRBD's generation id with which all of its first replicas begin.
const CURRENT_GENERATION: &str = "DrbdCurrentGi";

/// Takes a size of a volume definition, 4 KiB to 2^40 KiB.
///
/// # Errors
/// 206.
pub fn check_size(kib: i64) -> Result<Kib, Refused> {
    let size = u64::try_from(kib).ok().map(Kib).filter(|size| (Kib::VOLUME_MIN..=Kib::VOLUME_MAX).contains(size));
    size.ok_or_else(|| {
        Reply::new(Code::FAIL_INVLD_VLM_SIZE, format!("{kib} KiB is no size of a volume."))
            .cause(format!("Volumes have {} to {}.", Kib::VOLUME_MIN, Kib::VOLUME_MAX))
            .correction("Choose a size in this range.")
            .into()
    })
}

/// A new volume definition: with a minor where the stack may have DRBD, and with the generation id of its data's beginning.
///
/// # Errors
/// 207 and 801 for the minor.
pub fn new_volume(
    draft: &mut Draft<'_>,
    layers: &[LayerKind],
    size_kib: Kib,
    flags: VolumeDefinitionFlags,
    mut props: Props,
    wanted_minor: Option<i64>,
) -> Result<VolumeDefinition, Refused> {
    let id: Id<kind::VolumeDefinition> = draft.context.ids.next();
    let mut minor = None;
    if super::may_have_drbd(layers) {
        let (taken, claim) = numbers::minor(&draft.cluster, wanted_minor, id.uuid())?;
        draft.put(Object::Number(claim));
        minor = Some(taken);
    }
    props.insert_internal(CURRENT_GENERATION, day_zero(draft));
    Ok(VolumeDefinition { id, size_kib, flags, minor, props, passphrase: None })
}

/// 64 bits in hexadecimal, the lowest one clear (DRBD's mark of a primary).
fn day_zero(draft: &mut Draft<'_>) -> String {
    let id: Id<kind::Content> = draft.context.ids.next();
    let (high, low) = id.uuid().as_u64_pair();
    format!("{:016X}", (high.rotate_left(32) ^ low) & !1)
}

fn lowest_free(draft: &Draft<'_>, definition: &ResourceDefinition) -> Result<VolumeNumber, Refused> {
    let snapped = draft.cluster.snapshots_of(&definition.name).flat_map(|snapshot| snapshot.volumes.keys());
    let taken: BTreeSet<VolumeNumber> = definition.volumes.keys().chain(snapped).copied().collect();
    (0..=VolumeNumber::MAX).filter_map(|number| VolumeNumber::new(i64::from(number))).find(|number| !taken.contains(number)).ok_or_else(
        || {
            Reply::new(Code::FAIL_POOL_EXHAUSTED_VLM_NR, format!("'{}' has every volume number.", definition.name))
                .correction("Delete a volume definition first.")
                .into()
        },
    )
}

/// Changes flags by words; a leading `-` removes. `changing`: of a definition that is there, whose encryption is settled.
fn apply_flags(flags: &mut VolumeDefinitionFlags, words: &[String], changing: bool) -> Result<(), Refused> {
    for word in words {
        let (name, on) = word.strip_prefix('-').map_or((word.as_str(), true), |name| (name, false));
        match VolumeDefinitionFlag::parse(name) {
            Some(VolumeDefinitionFlag::GrossSize) if on => flags.set(VolumeDefinitionFlag::GrossSize),
            Some(VolumeDefinitionFlag::GrossSize) => flags.clear(VolumeDefinitionFlag::GrossSize),
            Some(VolumeDefinitionFlag::Encrypted) if !changing && on => {
                flags.set(VolumeDefinitionFlag::Encrypted);
            }
            Some(
                VolumeDefinitionFlag::Encrypted
                | VolumeDefinitionFlag::Delete
                | VolumeDefinitionFlag::Resize
                | VolumeDefinitionFlag::ResizeShrink
                | VolumeDefinitionFlag::DrbdInitialized,
            )
            | None => {
                return Err(Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{word}' is no flag that can be set on a volume definition."))
                    .cause("Its encryption is settled when it is created; the other flags are the controller's.")
                    .correction("Use GROSS_SIZE, or -GROSS_SIZE to take it back.")
                    .into());
            }
        }
    }
    Ok(())
}

pub(super) fn create(draft: &mut Draft<'_>, text: &str, input: &VolumeDefinitionInput) -> Result<(), Refused> {
    let mut definition = (**lookup::definition(&draft.cluster, text)?).clone();
    if definition.flags.has(DefinitionFlag::Delete) {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("'{}' is being deleted.", definition.name))
            .correction("Wait until it is gone, then create it again.")
            .into());
    }
    let number = match input.volume_number {
        Some(number) => lookup::volume_number(number)?,
        None => lowest_free(draft, &definition)?,
    };
    let mut flags = VolumeDefinitionFlags::default();
    apply_flags(&mut flags, &input.flags, false)?;
    if flags.has(VolumeDefinitionFlag::Encrypted) {
        vault::may_encrypt(&draft.cluster)?;
    }
    let passphrase = vault::sealed(&draft.cluster, &input.passphrase)?;
    let name = definition.name.clone();
    let with_props = change_props::first(Owner::VolumeDefinition, &input.props)?;
    // From here on entries name the volume, too; those about properties came first and do not.
    let props = with_props.naming(&[("RscDfn", text)]).told(draft);
    draft.refer("VlmNr", number);
    if definition.volumes.contains_key(&number) {
        return Err(Reply::new(Code::FAIL_EXISTS_VLM_DFN, format!("'{name}' has a volume definition {number} already."))
            .correction("Choose another number, or leave it out to get the lowest free one.")
            .into());
    }
    let size_kib = check_size(input.size_kib)?;
    let mut volume = new_volume(draft, &definition.layers, size_kib, flags, props, input.drbd_minor_number)?;
    volume.passphrase = passphrase;
    vault::tell_unused(draft, &definition.layers, &volume);
    let (id, minor) = (volume.id, volume.minor);
    definition.volumes.insert(number, volume);
    draft.put(Object::ResourceDefinition(definition));
    let mut reply =
        Reply::new(Code::CREATED, format!("New volume definition {number} of '{name}' created.")).details(format!("UUID: {id}"));
    if let Some(minor) = minor {
        reply = reply.details(format!("UUID: {id}\nDRBD minor: {minor}"));
    }
    draft.reply(reply);
    crate::resources::add_volume(draft, &name, number)
}

pub(super) fn modify(
    draft: &mut Draft<'_>,
    text: &str,
    number: i64,
    size_kib: Option<i64>,
    words: &[String],
    change: &PropChange,
) -> Result<(), Refused> {
    let mut definition = (**lookup::definition(&draft.cluster, text)?).clone();
    let (number, volume) = lookup::volume_definition(&definition, number)?;
    let mut volume = volume.clone();
    let name = definition.name.clone();
    let size = size_kib.map(check_size).transpose()?;
    let deployed = draft.cluster.replicas(&name).next().is_some();
    if let Some(size) = size.filter(|size| *size != volume.size_kib) {
        may_resize(&definition, number, volume.size_kib, size, deployed)?;
    }
    let before = volume.clone();
    apply_flags(&mut volume.flags, words, true)?;
    volume.props = changed_props(draft, &volume.props, change)?;
    if size == Some(before.size_kib) {
        draft.reply(
            Reply::new(
                Code::WARN_VLMDFN_RESIZE_SAME_SIZE,
                format!("Volume definition {number} of '{name}' has {} already.", before.size_kib),
            )
            .cause("The size that was asked for is the size that it has.")
            .correction("Ask for another size if it shall change."),
        );
    }
    let wanted = size.unwrap_or(before.size_kib);
    let id = volume.id;
    let reflagged = volume.flags != before.flags;
    if !deployed {
        volume.size_kib = wanted;
    }
    definition.volumes.insert(number, volume);
    draft.put(Object::ResourceDefinition(definition));
    let text = format!("Volume definition {number} of '{name}' modified.");
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    // What GROSS_SIZE means is a matter of size, too.
    if deployed && (wanted != before.size_kib || reflagged) {
        crate::resources::resize(draft, &name, number, wanted)?;
    }
    Ok(())
}

fn changed_props(draft: &mut Draft<'_>, props: &Props, change: &PropChange) -> Result<Props, Refused> {
    change_props::changed(draft, Owner::VolumeDefinition, props, change)
}

/// Whether a volume definition may get another size. Errors 206 (smaller), 213 (exact size).
fn may_resize(definition: &ResourceDefinition, number: VolumeNumber, from: Kib, to: Kib, deployed: bool) -> Result<(), Refused> {
    if definition.props.get_bool(EXACT_SIZE) == Some(true) {
        return Err(Reply::new(Code::FAIL_INVLD_PROP, format!("Volume definition {number} of '{}' keeps its size.", definition.name))
            .cause(format!("'{EXACT_SIZE}' is set on the resource definition."))
            .correction(format!("Remove it first: 'linstor resource-definition set-property {} {EXACT_SIZE}'.", definition.name))
            .into());
    }
    if to < from && deployed {
        return Err(Reply::new(
            Code::FAIL_INVLD_VLM_SIZE,
            format!("Volume definition {number} of '{}' cannot shrink from {from} to {to}.", definition.name),
        )
        .cause("Its volumes hold data, and the end of it would be cut off.")
        .correction("Create a smaller volume and copy the data.")
        .into());
    }
    Ok(())
}
