//! Volume groups: templates of volume definitions inside a resource group.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::codes::Code;
use berth_model::flags::{VolumeDefinitionFlag, VolumeDefinitionFlags};
use berth_model::names::VolumeNumber;
use berth_model::objects::{ResourceGroup, VolumeGroup};
use berth_model::props::{Owner, PropChange};
use berth_model::reply::Reply;

use crate::change_props;
use crate::draft::{Draft, Refused};
use crate::lookup;

/// Changes `flags` by words; a leading `-` removes.
fn apply_flags(flags: &mut VolumeDefinitionFlags, words: &[String]) -> Result<(), Refused> {
    for word in words {
        let (name, on) = word.strip_prefix('-').map_or((word.as_str(), true), |name| (name, false));
        if VolumeDefinitionFlag::parse(name) != Some(VolumeDefinitionFlag::GrossSize) {
            return Err(Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("'{word}' is no flag of a volume group."))
                .cause("A volume group takes GROSS_SIZE only.")
                .correction("Use GROSS_SIZE, or -GROSS_SIZE to take it back.")
                .alone()
                .into());
        }
        if on {
            flags.set(VolumeDefinitionFlag::GrossSize);
        } else {
            flags.clear(VolumeDefinitionFlag::GrossSize);
        }
    }
    Ok(())
}

fn missing(group: &ResourceGroup, number: VolumeNumber) -> Refused {
    Reply::new(Code::FAIL_NOT_FOUND_VLM_GRP, format!("Resource group '{}' has no volume group {number}.", group.name))
        .correction(format!("List them with 'linstor volume-group list {}'.", group.name))
        .into()
}

pub(super) fn create(
    draft: &mut Draft<'_>,
    text: &str,
    number: Option<i64>,
    words: &[String],
    props: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let mut group = (**lookup::group(&draft.cluster, text)?).clone();
    let number = match number {
        Some(number) => lookup::volume_number(number)?,
        None => (0..=VolumeNumber::MAX)
            .filter_map(|number| VolumeNumber::new(i64::from(number)))
            .find(|number| !group.volume_groups.contains_key(number))
            .ok_or_else(|| {
                Reply::new(Code::FAIL_POOL_EXHAUSTED_VLM_NR, format!("Resource group '{}' has every volume number.", group.name))
                    .correction("Delete a volume group first.")
            })?,
    };
    if group.volume_groups.contains_key(&number) {
        return Err(Reply::new(Code::FAIL_EXISTS_VLM_GRP, format!("Resource group '{}' has a volume group {number} already.", group.name))
            .correction("Choose another number, or leave it out to get the lowest free one.")
            .into());
    }
    if draft.cluster.definitions_of(&group.name).next().is_some() {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("Resource group '{}' has resource definitions.", group.name))
            .cause("They were made after the volume groups that it has now, and would not fit a further one.")
            .correction("Create a new resource group for the new layout.")
            .into());
    }
    let mut flags = VolumeDefinitionFlags::default();
    apply_flags(&mut flags, words)?;
    let props = change_props::first(Owner::VolumeGroup, props)?.naming(&[]).told(draft);
    let id = draft.context.ids.next();
    group.volume_groups.insert(number, VolumeGroup { id, flags, props });
    let name = group.name.clone();
    draft.put(Object::ResourceGroup(group));
    draft.reply(
        Reply::new(Code::CREATED, format!("New volume group {number} of resource group '{name}' created."))
            .details(format!("UUID: {id}"))
            .refer("RscGrp", text)
            .refer("VlmNr", number),
    );
    Ok(())
}

pub(super) fn modify(draft: &mut Draft<'_>, text: &str, number: i64, words: &[String], change: &PropChange) -> Result<(), Refused> {
    let mut group = (**lookup::group(&draft.cluster, text)?).clone();
    let number = lookup::volume_number(number)?;
    let Some(mut volume) = group.volume_groups.get(&number).cloned() else { return Err(missing(&group, number)) };
    apply_flags(&mut volume.flags, words)?;
    let written = change_props::write(Owner::VolumeGroup, &volume.props, change)?;
    volume.props = written.naming(&[("VlmNr", &number.to_string()), ("RscGrp", text)]).told(draft);
    let (id, name) = (volume.id, group.name.clone());
    group.volume_groups.insert(number, volume);
    draft.put(Object::ResourceGroup(group));
    let text = format!("Volume group {number} of resource group '{name}' modified.");
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

pub(super) fn delete(draft: &mut Draft<'_>, text: &str, number: i64) -> Result<(), Refused> {
    let mut group = (**lookup::group(&draft.cluster, text)?).clone();
    let number = lookup::volume_number(number)?;
    let Some(volume) = group.volume_groups.remove(&number) else { return Err(missing(&group, number)) };
    let name = group.name.clone();
    draft.put(Object::ResourceGroup(group));
    let text = format!("Volume group {number} of resource group '{name}' deleted.");
    draft.reply(Reply::new(Code::DELETED, text).details(format!("UUID: {}", volume.id)).refer("UUID", volume.id));
    Ok(())
}
