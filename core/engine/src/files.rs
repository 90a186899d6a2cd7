//! External files: kept for nodes, and deployed with definitions.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_model::change::{Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::files::{CONTENT_MAX, DEPLOYED, ExternalFile, SUFFIX_MAX, SUFFIXES_MAX, property};
use berth_model::flags::ResourceFlag;
use berth_model::names::{FilePath, NodeName, ResourceName};
use berth_model::objects::{Resource, ResourceDefinition};
use berth_model::observed::Observed;
use berth_model::reply::Reply;

use crate::command::Command;
use crate::draft::{AwaitedFile, Draft, Refused};
use crate::resources::misdirected;
use crate::{jobs, lookup, stack};

/// Commands on external files.
///
/// # Errors
/// As the operations of REST API v1 on `files`.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::PutFile { path, content, alt_suffixes } => {
            draft.about(Operation::Modify, ObjectMask::ExternalFile, &[("ExtFile", path)]);
            put(draft, path, content.as_deref(), alt_suffixes.as_deref())
        }
        Command::DeleteFile { path } => {
            draft.about(Operation::Modify, ObjectMask::ExternalFile, &[("ExtFile", path)]);
            delete(draft, path)
        }
        Command::DeployFile { resource, path, deployed } => {
            draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("RscDfn", resource)]);
            deploy(draft, resource, path, *deployed)
        }
        other => Err(misdirected(other)),
    }
}

/// Takes the path of an external file. Error 235.
///
/// # Errors
/// 235.
pub fn path(text: &str) -> Result<FilePath, Refused> {
    FilePath::parse(text).map_err(|error| {
        Reply::new(Code::FAIL_INVLD_EXT_FILE_NAME, format!("{error}."))
            .cause("An external file has an absolute path of 2 to 1024 printable ASCII characters, without '//', '/./' and '/../'.")
            .correction("Give the path as it shall be on the nodes, e.g. /etc/multipath.conf.")
            .into()
    })
}

/// Finds an external file.
///
/// # Errors
/// 235, 320.
pub fn file<'c>(cluster: &'c Cluster, text: &str) -> Result<&'c Arc<ExternalFile>, Refused> {
    let path = path(text)?;
    cluster.files.get(&path).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_EXT_FILE, format!("External file '{path}' does not exist."))
            .cause("No file of this path is kept.")
            .correction("List the files with 'linstor file list', or create this one first: 'linstor file modify'.")
            .into()
    })
}

fn put(draft: &mut Draft<'_>, text: &str, content: Option<&str>, suffixes: Option<&[String]>) -> Result<(), Refused> {
    let path = path(text)?;
    lookup::unreserved(&draft.cluster, &Key::ExternalFile(path.clone()))?;
    let old = draft.cluster.files.get(&path).cloned();
    let id = old.as_ref().map_or_else(|| draft.context.ids.next(), |old| old.id);
    let new = ExternalFile { id, path: path.clone(), content: String::new(), alt_suffixes: Vec::new(), changed: draft.context.now };
    let mut file = old.as_ref().map_or(new, |old| ExternalFile { changed: draft.context.now, ..(**old).clone() });
    if let Some(content) = content {
        content.clone_into(&mut file.content);
        checked_content(content)?;
    }
    if let Some(suffixes) = suffixes {
        checked_suffixes(suffixes)?;
        file.alt_suffixes = suffixes.to_vec();
    }
    draft.put(Object::ExternalFile(file));
    let done = if old.is_some() { "changed" } else { "kept" };
    draft.say(Code::MODIFIED, format!("External file '{path}' {done}."));
    Ok(())
}

fn checked_content(content: &str) -> Result<(), Refused> {
    let bad = |why: String, correction: &str| -> Result<(), Refused> {
        Err(Reply::new(Code::FAIL_INVLD_REQUEST, "The content of the file cannot be taken.").cause(why).correction(correction).into())
    };
    match STANDARD.decode(content) {
        Err(error) => bad(format!("It is no base64: {error}."), "Send the content in base64, with padding."),
        Ok(bytes) if bytes.len() > CONTENT_MAX => {
            bad(format!("It has {} bytes; {CONTENT_MAX} are the most.", bytes.len()), "Deploy large files by other means.")
        }
        Ok(_) => Ok(()),
    }
}

fn checked_suffixes(suffixes: &[String]) -> Result<(), Refused> {
    let fits = |suffix: &String| (1..=SUFFIX_MAX).contains(&suffix.len()) && suffix.chars().all(|c| c.is_ascii_graphic() && c != '/');
    if suffixes.len() <= SUFFIXES_MAX && suffixes.iter().all(fits) {
        return Ok(());
    }
    Err(Reply::new(Code::FAIL_INVLD_REQUEST, "These alternative suffixes cannot be taken.")
        .cause(format!("At most {SUFFIXES_MAX} of 1 to {SUFFIX_MAX} printable ASCII characters without '/' can be given."))
        .correction("Give suffixes such as .disabled.")
        .into())
}

fn delete(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let path = path(text)?;
    if !draft.cluster.files.contains_key(&path) {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("External file '{path}' not found."))
                .cause("It does not exist, or was deleted already."),
        );
        return Ok(());
    }
    let deploying: Vec<_> = draft.cluster.deploying(&path).cloned().collect();
    for definition in &deploying {
        let mut without = (**definition).clone();
        take_off(&mut without, &path);
        draft.put(Object::ResourceDefinition(without));
    }
    draft.delete(Key::ExternalFile(path.clone()));
    draft.reply(
        Reply::new(Code::DELETED, format!("External file '{path}' is not deployed any more."))
            .details(format!("{} resource definitions deployed it.", deploying.len())),
    );
    draft.reply(Reply::new(Code::DELETED, format!("External file '{path}' deleted.")).details("Its content is gone."));
    Ok(())
}

/// Takes the property off that deploys a file, in whatever case its path stands there.
fn take_off(definition: &mut ResourceDefinition, path: &FilePath) -> bool {
    let wanted = property(path);
    let keys: Vec<String> =
        definition.props.iter().map(|(key, _)| key).filter(|key| key.eq_ignore_ascii_case(&wanted)).map(str::to_owned).collect();
    keys.iter().for_each(|key| drop(definition.props.remove(key)));
    !keys.is_empty()
}

fn deploy(draft: &mut Draft<'_>, resource: &str, text: &str, deployed: bool) -> Result<(), Refused> {
    let mut definition = (**lookup::definition(&draft.cluster, resource)?).clone();
    let path = file(&draft.cluster, text)?.path.clone();
    let name = definition.name.clone();
    let was = take_off(&mut definition, &path);
    if deployed {
        definition.props.insert_internal(property(&path), DEPLOYED);
    }
    if was != deployed {
        draft.put(Object::ResourceDefinition(definition));
    }
    if deployed {
        await_writing(draft, &name, path);
    }
    Ok(())
}

/// Says which nodes do not write a file that is deployed there, and has the answer wait for the others.
fn await_writing(draft: &mut Draft<'_>, name: &ResourceName, path: FilePath) {
    let stays = |replica: &&Arc<Resource>| !replica.flags.has(ResourceFlag::Delete);
    let nodes: Vec<_> = draft.cluster.replicas(name).filter(stays).map(|replica| replica.node.clone()).collect();
    let may = |node: &NodeName| stack::capabilities(draft.context.observed, node).is_none_or(|able| able.allows_file(&path));
    let (asked, refusing): (Vec<_>, Vec<_>) = nodes.into_iter().partition(may);
    if !refusing.is_empty() {
        let refusing: Vec<String> = refusing.iter().map(ToString::to_string).collect();
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, format!("External file '{path}' is not written on: {}.", refusing.join(", ")))
                .cause("The operators of these nodes do not let external files be written there.")
                .correction("Name its folder in 'allow_ext_files' of /etc/berth/satellite.toml on these nodes, and restart the satellite."),
        );
    }
    if !asked.is_empty() {
        draft.applied.await_file = Some(AwaitedFile { path, nodes: asked });
    }
}

/// What an answer says of a file that is deployed, by what satellites have seen; `None`: it waits on. Nothing: it is written everywhere.
#[must_use]
pub fn written(observed: &Observed, file: &AwaitedFile) -> Option<Vec<Reply>> {
    let mut replies = Vec::new();
    for node in &file.nodes {
        if !observed.online(node) {
            replies.extend(jobs::not_connected([node], "it writes the file when it is back"));
            continue;
        }
        let seen = observed.file(node, &file.path)?;
        if let Some(fault) = &seen.fault {
            replies.push(
                Reply::new(Code::WARN_NO_EFFECT, format!("{} (node '{node}').", fault.message))
                    .cause(&fault.cause)
                    .correction(&fault.correction)
                    .refer("Node", node),
            );
        }
    }
    Some(replies)
}

#[cfg(test)]
mod tests;
