//! The master passphrase, and passphrases of volumes. The shell seals and opens; here is decided what is kept.

use berth_model::change::{Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::VolumeDefinitionFlag;
use berth_model::layers::LayerKind;
use berth_model::objects::{ResourceDefinition, VolumeDefinition};
use berth_model::reply::Reply;
use berth_model::vault::{MasterKey, Sealed};

use crate::command::{Command, Given};
use crate::draft::{Draft, Refused};
use crate::lookup;
use crate::resources::misdirected;

/// Longest passphrase, bytes: a bound for the work of one request.
const PASSPHRASE_MAX: usize = 1024;

/// Commands on secrets.
///
/// # Errors
/// As the operations of REST API v1 on `encryption/passphrase` and `encryption-passphrase` of volume definitions.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateMasterPassphrase { key } => {
            draft.about(Operation::Create, ObjectMask::Controller, &[]);
            create(draft, key)
        }
        Command::ModifyMasterPassphrase { key } => {
            draft.about(Operation::Modify, ObjectMask::Controller, &[]);
            modify(draft, key.as_ref())
        }
        Command::EnterMasterPassphrase { right } => {
            draft.about(Operation::Modify, ObjectMask::Controller, &[]);
            enter(draft, *right)
        }
        Command::ModifyVolumePassphrase { resource, number, passphrase } => {
            let refs = [("RscDfn", resource.as_str()), ("VlmNr", &number.to_string())];
            draft.about(Operation::Modify, ObjectMask::VolumeDefinition, &refs);
            modify_volume(draft, resource, *number, passphrase)
        }
        other => Err(misdirected(other)),
    }
}

/// Whether a text can be a passphrase: 1 to 1024 bytes. Its text is in no answer.
///
/// # Errors
/// 216.
pub fn check(passphrase: &str) -> Result<(), Refused> {
    let why = match passphrase.len() {
        1..=PASSPHRASE_MAX => return Ok(()),
        0 => "An empty text protects nothing.".to_owned(),
        length => format!("It has {length} bytes; {PASSPHRASE_MAX} are the most."),
    };
    Err(Reply::new(Code::FAIL_INVLD_CRYPT_PASSPHRASE, "This is no passphrase.")
        .cause(why)
        .correction(format!("Choose a passphrase of 1 to {PASSPHRASE_MAX} bytes."))
        .into())
}

/// There is a master passphrase already. Error 512.
#[must_use]
pub fn exists() -> Refused {
    Reply::new(Code::FAIL_EXISTS_CRYPT_PASSPHRASE, "There is a master passphrase already.")
        .cause("It is set once, and changed by whoever knows it.")
        .correction("Change it with 'linstor encryption modify-passphrase', giving the old one, too.")
        .into()
}

fn wrong() -> Refused {
    Reply::new(Code::FAIL_MISSING_PROPS, "The passphrase is wrong.")
        .cause("The master key cannot be opened with it.")
        .correction("Try again; the passphrase is told apart by each letter and its case.")
        .into()
}

fn create(draft: &mut Draft<'_>, key: &MasterKey) -> Result<(), Refused> {
    lookup::unreserved(&draft.cluster, &Key::MasterKey)?;
    if draft.cluster.master_key.is_some() {
        return Err(exists());
    }
    let now = draft.context.now;
    let key = MasterKey { id: draft.context.ids.next(), created: now, changed: now, ..key.clone() };
    draft.put(Object::MasterKey(key));
    draft.say(Code::CREATED, "Master passphrase set.");
    Ok(())
}

fn modify(draft: &mut Draft<'_>, key: Option<&MasterKey>) -> Result<(), Refused> {
    lookup::unreserved(&draft.cluster, &Key::MasterKey)?;
    let Some(old) = draft.cluster.master_key.clone() else {
        return Err(Reply::new(Code::FAIL_EXISTS_CRYPT_PASSPHRASE, "There is no master passphrase to change.")
            .cause("None was ever set.")
            .correction("Set one with 'linstor encryption create-passphrase'.")
            .into());
    };
    let key = key.ok_or_else(wrong)?;
    let key = MasterKey { id: old.id, created: old.created, changed: draft.context.now, ..key.clone() };
    draft.put(Object::MasterKey(key));
    draft.say(Code::MODIFIED, "Master passphrase changed.");
    Ok(())
}

fn enter(draft: &mut Draft<'_>, right: bool) -> Result<(), Refused> {
    lookup::unreserved(&draft.cluster, &Key::MasterKey)?;
    if draft.cluster.master_key.is_none() {
        return Err(Reply::new(Code::FAIL_MISSING_PROPS, "There is no master passphrase to enter.")
            .cause("None was ever set.")
            .correction("Set one with 'linstor encryption create-passphrase'.")
            .into());
    }
    if !right {
        return Err(wrong());
    }
    draft.say(Code::PASSPHRASE_ACCEPTED, "Master passphrase accepted.");
    Ok(())
}

/// What a request gave as the passphrase of a volume.
///
/// # Errors
/// 312 if the master key is not there to seal it.
pub fn sealed(cluster: &Cluster, given: &Given) -> Result<Option<Sealed>, Refused> {
    match given {
        Given::Nothing => Ok(None),
        Given::Sealed(sealed) => Ok(Some(sealed.clone())),
        Given::Locked => Err(no_key(cluster, "A passphrase for a volume cannot be kept")),
    }
}

/// The master key is missing for what is asked. Error 312.
fn no_key(cluster: &Cluster, what: &str) -> Refused {
    let reply = if cluster.master_key.is_some() {
        Reply::new(Code::FAIL_NOT_FOUND_CRYPT_KEY, format!("{what}: the master passphrase was not entered since the controller started."))
            .correction("Enter it with 'linstor encryption enter-passphrase', then try again.")
    } else {
        Reply::new(Code::FAIL_NOT_FOUND_CRYPT_KEY, format!("{what}: there is no master passphrase."))
            .correction("Set one with 'linstor encryption create-passphrase', then try again.")
    };
    reply.cause("Keys of volumes are kept under a key that the master passphrase opens.").into()
}

/// Where fresh keys for volumes come from: the shell draws and seals them, and nothing of them is in clear here.
pub trait Keys: std::fmt::Debug + Sync {
    /// A new key, sealed; `Locked` while the master key is not there.
    fn fresh(&self) -> Given;
}

/// The master key is not there, or nothing is to be made that needs one.
#[derive(Debug)]
pub struct NoKeys;

impl Keys for NoKeys {
    fn fresh(&self) -> Given {
        Given::Locked
    }
}

/// Keys of what is decided on paper: the master key is there, and opens nothing.
#[derive(Debug)]
pub struct PaperKeys;

impl Keys for PaperKeys {
    fn fresh(&self) -> Given {
        Given::Sealed(Sealed::new(berth_model::secrets::HIDDEN))
    }
}

/// Gives each volume of a definition a key of its own that has none and is now made with LUKS in its layers.
///
/// # Errors
/// 312 while the master key is not there to seal it.
pub(crate) fn give_keys(draft: &mut Draft<'_>, definition: &ResourceDefinition, layers: &[LayerKind]) -> Result<(), Refused> {
    let lacks = |definition: &ResourceDefinition| definition.volumes.values().any(|volume| volume.passphrase.is_none());
    let Some(current) = draft.cluster.definitions.get(&definition.name).filter(|current| lacks(current)).cloned() else { return Ok(()) };
    if !layers.contains(&LayerKind::Luks) {
        return Ok(());
    }
    let mut keyed = (*current).clone();
    for (number, volume) in keyed.volumes.iter_mut().filter(|(_, volume)| volume.passphrase.is_none()) {
        match draft.context.keys.fresh() {
            Given::Sealed(key) => volume.passphrase = Some(key),
            Given::Nothing | Given::Locked => {
                return Err(no_key(&draft.cluster, &format!("Volume {number} of '{}' cannot be encrypted", current.name)));
            }
        }
    }
    draft.put(Object::ResourceDefinition(keyed));
    Ok(())
}

/// Whether a volume may be marked as encrypted.
///
/// # Errors
/// 312: there never was a master key.
pub fn may_encrypt(cluster: &Cluster) -> Result<(), Refused> {
    match cluster.master_key {
        Some(_) => Ok(()),
        None => Err(no_key(cluster, "The volume cannot be encrypted")),
    }
}

/// Whether a volume with this flag or in this stack is, or will be, encrypted.
fn is_encrypted(layers: &[LayerKind], volume: &VolumeDefinition) -> bool {
    layers.contains(&LayerKind::Luks) || volume.flags.has(VolumeDefinitionFlag::Encrypted)
}

/// Tells of a passphrase that nothing uses: neither the stack nor the volume is encrypted.
pub fn tell_unused(draft: &mut Draft<'_>, layers: &[LayerKind], volume: &VolumeDefinition) {
    if volume.passphrase.is_some() && !is_encrypted(layers, volume) {
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, "The passphrase is kept, but nothing is encrypted with it.")
                .cause("The layers have no LUKS, and the volume is not marked as encrypted.")
                .correction("Choose layers with LUKS, e.g. --layer-list luks,storage."),
        );
    }
}

/// Refuses a stack without LUKS for a definition that has volumes which shall be encrypted: nothing pretends to be.
///
/// # Errors
/// 225.
pub fn keeps_promise(definition: &ResourceDefinition, layers: &[LayerKind]) -> Result<(), Refused> {
    let promised = definition.volumes.iter().find(|(_, volume)| volume.flags.has(VolumeDefinitionFlag::Encrypted));
    match promised {
        Some((number, _)) if !layers.contains(&LayerKind::Luks) => Err(Reply::new(
            Code::FAIL_INVLD_LAYER_STACK,
            format!("Volume {number} of '{}' shall be encrypted, and these layers do not encrypt.", definition.name),
        )
        .cause("The volume definition is marked ENCRYPTED, and the layers have no LUKS.")
        .correction(format!(
            "Choose layers with LUKS: 'linstor resource-definition modify {} --layer-list luks,storage'; or make the volume without --encrypt.",
            definition.name
        ))
        .into()),
        Some(_) | None => Ok(()),
    }
}

fn modify_volume(draft: &mut Draft<'_>, resource: &str, number: i64, given: &Given) -> Result<(), Refused> {
    let mut definition = (**lookup::definition(&draft.cluster, resource)?).clone();
    let (number, volume) = lookup::volume_definition(&definition, number)?;
    let mut volume = volume.clone();
    let Some(passphrase) = sealed(&draft.cluster, given)? else {
        return Err(Reply::new(Code::FAIL_INVLD_CRYPT_PASSPHRASE, "The request has no new passphrase.")
            .correction("Send {\"new_passphrase\": …}.")
            .into());
    };
    if let Some(replica) = draft.cluster.replicas(&definition.name).find(|replica| replica.layers.contains(&LayerKind::Luks)) {
        return Err(Reply::new(
            Code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
            format!("The passphrase of volume {number} of '{}' cannot be changed on '{}'.", definition.name, replica.node),
        )
        .cause("It is in the LUKS header there, and satellites of this version do not write that.")
        .correction("Delete the resources first; the passphrase is taken when they are made.")
        .into());
    }
    volume.passphrase = Some(passphrase);
    let id = volume.id;
    let name = definition.name.clone();
    definition.volumes.insert(number, volume);
    draft.put(Object::ResourceDefinition(definition));
    draft.reply(
        Reply::new(Code::WARN_NOT_FOUND, format!("No volume of '{name}' {number} is encrypted on a node now."))
            .cause("It has no resource with LUKS in its layers.")
            .correction("Nothing is to be done: the passphrase is kept, and taken when one is made."),
    );
    let text = format!("Passphrase of volume definition {number} of '{name}' changed.");
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

#[cfg(test)]
mod tests;
