//! Whether replicas of one definition may lie in pools of different kinds (contract, mixing of pools).

use std::collections::BTreeSet;

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::names::NodeName;
use berth_model::objects::{Resource, ResourceDefinition, ResourceGroup, VolumeDefinition};
use berth_model::observed::Observed;
use berth_model::props::{Chain, Source};
use berth_model::reply::Reply;

use crate::draft::Refused;

/// Whether kinds may be mixed that need a DRBD which copes with it (definition, group, controller).
pub const ALLOW_MIXING: &str = "AllowMixingStoragePoolDriver";

/// A kind of pool on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The pool's provider.
    pub provider: ProviderKind,
    /// Whether the node's DRBD copes with peers of another kind, and that is allowed.
    copes: bool,
}

impl Kind {
    /// Whether replicas of one definition may lie in pools of these kinds.
    #[must_use]
    pub fn mixes(self, other: Self) -> bool {
        use ProviderKind::{Diskless, EbsInit, EbsTarget, File, FileThin, Lvm, LvmThin, StorageSpaces, StorageSpacesThin, Zfs, ZfsThin};
        let volumes = |kind| matches!(kind, Lvm | LvmThin | Zfs | ZfsThin);
        let spaces = |kind| matches!(kind, StorageSpaces | StorageSpacesThin);
        let (a, b) = (self.provider, other.provider);
        match (a, b) {
            _ if a == b => true,
            (Diskless, _) | (_, Diskless) => true,
            (File, FileThin) | (FileThin, File) => true,
            (Zfs, ZfsThin) | (ZfsThin, Zfs) => true,
            (EbsInit, EbsTarget) | (EbsTarget, EbsInit) => true,
            (StorageSpaces, StorageSpacesThin) | (StorageSpacesThin, StorageSpaces) => true,
            _ if volumes(a) && volumes(b) => self.copes && other.copes,
            _ => (volumes(a) && spaces(b)) || (spaces(a) && volumes(b)),
        }
    }
}

/// What decides about mixing for one definition.
#[derive(Debug, Clone, Copy)]
pub struct Mixing<'c> {
    observed: &'c Observed,
    allowed: bool,
}

impl<'c> Mixing<'c> {
    /// For a definition, or for what would be one in a group.
    #[must_use]
    pub fn of(cluster: &Cluster, observed: &'c Observed, definition: Option<&ResourceDefinition>, group: Option<&ResourceGroup>) -> Self {
        let own = definition.and_then(|definition| cluster.groups.get(&definition.group)).map(AsRef::as_ref);
        let allowed = |volume: Option<&VolumeDefinition>| {
            let chain = Chain::new()
                .with_some(Source::VolumeDefinition, volume.map(|volume| &volume.props))
                .with_some(Source::ResourceDefinition, definition.map(|definition| &definition.props))
                .with_some(Source::ResourceGroup, group.or(own).map(|group| &group.props))
                .with(Source::Controller, &cluster.controller.props);
            chain.get_bool(ALLOW_MIXING) == Some(true)
        };
        // One pool holds all volumes of a replica that is placed: it must be allowed for each of them.
        let allowed = match definition.filter(|definition| !definition.volumes.is_empty()) {
            Some(definition) => definition.volumes.values().map(Some).all(allowed),
            None => allowed(None),
        };
        Self { observed, allowed }
    }

    /// The kind of a pool with this provider on a node.
    #[must_use]
    pub fn kind(&self, node: &NodeName, provider: ProviderKind) -> Kind {
        let copes = || {
            let capabilities = self.observed.nodes.get(node).and_then(|seen| seen.capabilities.as_ref());
            capabilities.is_some_and(|capabilities| copes(&capabilities.drbd))
        };
        Kind { provider, copes: self.allowed && copes() }
    }
}

/// Refuses a replica whose pools do not mix with those of the others.
///
/// # Errors
/// 972.
pub(crate) fn check(cluster: &Cluster, observed: &Observed, replica: &Resource) -> Result<(), Refused> {
    let Some(definition) = cluster.definitions.get(&replica.name) else { return Ok(()) };
    let mixing = Mixing::of(cluster, observed, Some(definition), None);
    let kinds = |one: &Resource| -> BTreeSet<Kind> { one.volumes.values().map(|volume| mixing.kind(&one.node, volume.provider)).collect() };
    let own = kinds(replica);
    for other in super::diskful(cluster, definition).filter(|other| other.id != replica.id) {
        let theirs = kinds(other);
        let Some((a, b)) = own.iter().find_map(|a| Some((a, theirs.iter().find(|b| !a.mixes(**b))?))) else { continue };
        let (name, node) = (&replica.name, &replica.node);
        let text = format!(
            "'{name}' on node '{node}' would lie in a pool of kind {}, and on '{}' in one of kind {}.",
            a.provider, other.node, b.provider
        );
        return Err(Reply::new(Code::FAIL_SP_MIXING_NOT_ALLOWED, text)
            .cause(format!("These kinds do not mix, unless {ALLOW_MIXING} is on and DRBD on both nodes copes (9.1.18 or later of 9.1, or from 9.2.7 on)."))
            .correction(format!(
                "Choose a pool of the same kind; or, with such a DRBD: 'linstor resource-definition set-property {name} {ALLOW_MIXING} true'."
            ))
            .into());
    }
    Ok(())
}

/// Whether this version of DRBD copes with disks of different granularity: 9.1.18 and later ones of 9.1, or from 9.2.7 on.
fn copes(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '~']).map_while(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    version >= (9, 2, 7) || ((9, 1, 18)..(9, 2, 0)).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, FilterRequest, ResourceInput};
    use crate::testkit::{World, told};

    fn spawn(name: &str, definitions_only: bool) -> Command {
        Command::SpawnResource {
            group: "two".into(),
            name: Some(name.into()),
            external_name: None,
            volume_sizes: vec![65536],
            partial: false,
            definitions_only,
            filter: FilterRequest::default(),
            props: Default::default(),
            peer_slots: None,
            passphrases: Vec::new(),
        }
    }

    fn replica(resource: &str, node: &str, pool: &str) -> Command {
        let props = [("StorPoolName".to_owned(), pool.to_owned())].into();
        Command::CreateResources {
            resource: resource.into(),
            replicas: vec![ResourceInput { node: node.into(), props, ..ResourceInput::default() }],
        }
    }

    #[test]
    fn kinds_mix_as_the_contract_says() {
        let kind = |provider, copes| Kind { provider, copes };
        use ProviderKind::{FileThin, Lvm, LvmThin, StorageSpaces, Zfs, ZfsThin};
        for (a, b, always, with) in [
            (Lvm, Lvm, true, true),
            (Lvm, LvmThin, false, true),
            (LvmThin, ZfsThin, false, true),
            (Zfs, ZfsThin, true, true),
            (Lvm, StorageSpaces, true, true),
            (Lvm, FileThin, false, false),
        ] {
            assert_eq!(kind(a, false).mixes(kind(b, false)), always, "{a} {b}");
            assert_eq!(kind(a, true).mixes(kind(b, true)), with, "{a} {b}");
            assert_eq!(kind(a, true).mixes(kind(b, false)), always, "{a} {b}: both must cope");
        }
    }

    #[test]
    fn placement_and_choice_mix_where_it_is_allowed_and_drbd_copes() {
        let text = |version: &str| {
            format!(
                "node alpha +DRBD drbd-9.2.12; node bravo +DRBD {version}; pool thin on alpha LVM_THIN 10G; pool zfs on bravo ZFS 10G; \
                 group two DRBD,STORAGE 2"
            )
        };
        for (version, allowed, wanted) in [("drbd-9.2.12", "True", true), ("drbd-9.2.6", "True", false), ("drbd-9.2.12", "False", false)] {
            let mut world = World::of(&text(version));
            world.set_controller(ALLOW_MIXING, allowed);
            let spawned = world.give(&spawn("web", false));
            assert_eq!(spawned.result.is_ok(), wanted, "{version} {allowed}: {:?}", told(&spawned));
            assert!(world.give(&spawn("own", true)).result.is_ok());
            assert!(world.give(&replica("own", "alpha", "thin")).result.is_ok());
            let second = world.give(&replica("own", "bravo", "zfs"));
            assert_eq!(second.result.is_ok(), wanted, "{version} {allowed}: {:?}", told(&second));
            if let Err(refused) = second.result {
                assert!(refused.replies.iter().any(|reply| reply.code == Code::FAIL_SP_MIXING_NOT_ALLOWED), "{:?}", refused.replies);
            }
        }
    }

    #[test]
    fn drbd_copes_from_a_version_on() {
        for (version, wanted) in
            [("9.1.17", false), ("9.1.18", true), ("9.2.0", false), ("9.2.6", false), ("9.2.7", true), ("9.3.0-rc.1", true), ("", false)]
        {
            assert_eq!(copes(version), wanted, "{version}");
        }
    }
}
