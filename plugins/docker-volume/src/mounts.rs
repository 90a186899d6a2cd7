//! Which mounts are there for whom: a set of ids for each volume, kept in a file that a reboot empties. A set and no counter: Docker repeats ids after
//! it was killed, and ends some twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A volume that is mounted on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mounted {
    /// Docker's name of it.
    pub docker: String,
    /// Device that is mounted.
    pub device: String,
    /// The folder that is handed out.
    pub path: String,
    /// A diskless client was made for it, or taken over.
    pub client: bool,
    /// It is mounted read-only.
    pub readonly: bool,
    /// Who has it: Docker's ids.
    pub ids: BTreeSet<String>,
}

/// All of them, by the resource's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mounts {
    /// Of which start of the machine this is.
    pub boot_id: String,
    /// By the resource's name.
    pub volumes: BTreeMap<String, Mounted>,
}

/// What the end of one use leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Others have it, or nobody has.
    Nothing,
    /// That was the last one: it is to be unmounted.
    Last(Mounted),
}

impl Mounts {
    /// What is true of what was written, given what is mounted: another start of the machine, a text that cannot be read and volumes that are not
    /// mounted any more leave nothing.
    #[must_use]
    pub fn restore(text: Option<&str>, boot_id: &str, is_mounted: impl Fn(&str) -> bool) -> Self {
        let read: Option<Self> = text.and_then(|text| serde_json::from_str(text).ok());
        let mut mounts = read.filter(|mounts| mounts.boot_id == boot_id).unwrap_or_default();
        boot_id.clone_into(&mut mounts.boot_id);
        mounts.volumes.retain(|resource, mounted| is_mounted(resource) && !mounted.ids.is_empty());
        mounts
    }

    /// Text to be kept.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Notes that `id` has the volume.
    pub fn add(&mut self, resource: &str, id: &str, mounted: Mounted) {
        self.volumes.entry(resource.to_owned()).or_insert(mounted).ids.insert(id.to_owned());
    }

    /// What would be left without `id`.
    #[must_use]
    pub fn without(&self, resource: &str, id: &str) -> Left {
        match self.volumes.get(resource) {
            Some(mounted) if mounted.ids.contains(id) && mounted.ids.len() == 1 => Left::Last(mounted.clone()),
            _ => Left::Nothing,
        }
    }

    /// Notes that `id` has the volume no more.
    pub fn remove(&mut self, resource: &str, id: &str) {
        if let Some(mounted) = self.volumes.get_mut(resource) {
            mounted.ids.remove(id);
            if mounted.ids.is_empty() {
                self.volumes.remove(resource);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mounted() -> Mounted {
        Mounted { docker: "v".into(), ..Mounted::default() }
    }

    #[test]
    fn ids_are_a_set() {
        let mut mounts = Mounts { boot_id: "b".into(), ..Mounts::default() };
        mounts.add("v", "1", mounted());
        mounts.add("v", "1", mounted());
        mounts.add("v", "2", mounted());
        assert_eq!(mounts.without("v", "3"), Left::Nothing, "unknown");
        assert_eq!(mounts.without("v", "1"), Left::Nothing, "another has it");
        mounts.remove("v", "1");
        assert!(matches!(mounts.without("v", "2"), Left::Last(_)));
        mounts.remove("v", "2");
        mounts.remove("v", "2");
        assert!(mounts.volumes.is_empty());
    }

    #[test]
    fn what_was_written_holds_for_this_start_of_the_machine_only() {
        let mut mounts = Mounts { boot_id: "b".into(), ..Mounts::default() };
        mounts.add("v", "1", mounted());
        mounts.add("w", "2", mounted());
        let text = mounts.text();
        assert_eq!(Mounts::restore(Some(&text), "b", |_| true), mounts);
        assert_eq!(Mounts::restore(Some(&text), "b", |resource| resource == "w").volumes.len(), 1);
        for (text, boot) in [(Some(text.as_str()), "c"), (Some("{"), "b"), (None, "b")] {
            assert_eq!(Mounts::restore(text, boot, |_| true), Mounts { boot_id: boot.into(), ..Mounts::default() });
        }
    }

    proptest! {
        #[test]
        fn it_is_unmounted_exactly_when_the_last_id_goes(steps in proptest::collection::vec((any::<bool>(), 0..4_u8), 0..60)) {
            let (mut mounts, mut model) = (Mounts::default(), BTreeSet::new());
            for (begin, id) in steps {
                let id = id.to_string();
                if begin {
                    mounts.add("v", &id, mounted());
                    model.insert(id);
                } else {
                    let last = matches!(mounts.without("v", &id), Left::Last(_));
                    prop_assert_eq!(last, model.len() == 1 && model.contains(&id));
                    mounts.remove("v", &id);
                    model.remove(&id);
                }
                prop_assert_eq!(mounts.volumes.get("v").map(|mounted| mounted.ids.clone()).unwrap_or_default(), model.clone());
            }
        }
    }
}
