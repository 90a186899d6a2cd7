//! External names: any text that a platform has for a volume, and the resource name that is made of it.

use berth_model::change::Key;
use berth_model::codes::Code;
use berth_model::ids::{Id, kind};
use berth_model::names::ResourceName;
use berth_model::reply::Reply;
use uuid::Uuid;

use crate::draft::{Draft, Refused};
use crate::lookup;

/// Longest external name in bytes (REST API v1).
const EXTERNAL_MAX: usize = 256;
/// Longest resource name.
const NAME_MAX: usize = 48;

/// The name of a new definition and its external name, from what the request says: a name, an external name, or both.
/// A name that was given may still be taken; a generated one is free.
///
/// # Errors
/// 202, 226, 517 if another definition has the external name, 606 if there is neither.
pub fn name_for(draft: &mut Draft<'_>, name: Option<&str>, external: Option<&str>) -> Result<(ResourceName, Option<String>), Refused> {
    let name = name.filter(|text| !text.is_empty());
    let external = external.filter(|text| !text.is_empty());
    if let Some(text) = external {
        check(draft, text)?;
    }
    match (name, external) {
        (Some(name), _) => Ok((lookup::resource_name(name)?, external.map(str::to_owned))),
        (None, Some(text)) => Ok((generated(draft, text), Some(text.to_owned()))),
        (None, None) => Err(Reply::new(Code::FAIL_MISSING_EXT_NAME, "The resource definition has no name.")
            .cause("Neither a name nor an external name was given.")
            .correction("Give one of them.")
            .into()),
    }
}

fn check(draft: &Draft<'_>, text: &str) -> Result<(), Refused> {
    if text.len() > EXTERNAL_MAX {
        return Err(Reply::new(Code::FAIL_INVLD_EXT_NAME, format!("The external name has {} bytes.", text.len()))
            .cause(format!("At most {EXTERNAL_MAX} are allowed."))
            .correction("Choose a shorter name.")
            .into());
    }
    match draft.cluster.by_external_name(text) {
        None => Ok(()),
        Some(owner) => {
            Err(Reply::new(Code::FAIL_EXISTS_EXT_NAME, format!("Resource definition '{owner}' has the external name '{text}' already."))
                .cause("An external name belongs to one definition.")
                .correction("Choose another external name, or use the definition that is there.")
                .into())
        }
    }
}

fn generated(draft: &mut Draft<'_>, text: &str) -> ResourceName {
    let wished = match Uuid::try_parse(text) {
        Ok(uuid) if text.len() == uuid::fmt::Hyphenated::LENGTH => tagged(uuid),
        Ok(_) | Err(_) => ResourceName::parse(&spelled(text)).ok(),
    };
    let free = |name: &ResourceName| {
        !draft.cluster.definitions.contains_key(name) && draft.cluster.reserved(&Key::ResourceDefinition(name.clone())).is_none()
    };
    if let Some(name) = wished.filter(free) {
        return name;
    }
    let id: Id<kind::ResourceDefinition> = draft.context.ids.next();
    tagged(id.uuid()).expect("LS_ and a uuid are a name of 39 characters")
}

fn tagged(uuid: Uuid) -> Option<ResourceName> {
    ResourceName::parse(&format!("LS_{}", uuid.hyphenated()).to_ascii_uppercase()).ok()
}

/// What the text becomes with the characters of names: others are `_`, bytes beyond ASCII are letters (observed behaviour of the API),
/// a first character that only goes on a name gets `_` before it.
fn spelled(text: &str) -> String {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let letter = |byte: u8| {
        let place = usize::from(byte.cast_signed().unsigned_abs()) % LETTERS.len();
        LETTERS.get(place).map_or('_', |letter| char::from(*letter))
    };
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte),
        0..=0x7f => '_',
        0x80..=0xff => letter(byte),
    };
    let first = text.bytes().next().filter(|byte| byte.is_ascii_digit() || *byte == b'-').map(|_| '_');
    first.into_iter().chain(text.bytes().map(one)).take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_texts_become_names() {
        for (text, name) in [
            ("disk: über #7", "disk__JQber__7"),
            ("gl ext/ümläut", "gl_ext_JQmlJout"),
            ("df_ext_plain", "df_ext_plain"),
            ("7th disk", "_7th_disk"),
            ("-x", "_-x"),
        ] {
            assert_eq!(spelled(text), name);
        }
        assert_eq!(spelled(&"x".repeat(300)).len(), NAME_MAX);
    }
}
