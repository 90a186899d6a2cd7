//! Definitions, replicas and snapshots out of the rows of an export.

use std::collections::BTreeMap;

use base64::Engine as _;
use berth_model::change::{NumberKey, Object};
use berth_model::few::Few;
use berth_model::flags::{DefinitionFlag, ResourceFlag, SnapshotFlag, VolumeDefinitionFlag, VolumeDefinitionFlags};
use berth_model::ids::{Id, kind};
use berth_model::layers::LayerKind;
use berth_model::names::{NodeName, ResourceName, SnapshotName, VolumeNumber};
use berth_model::objects::{DrbdDefinition, DrbdResource, Resource, ResourceDefinition, StorPool, Volume, VolumeDefinition};
use berth_model::plan::{Content, ContentSource};
use berth_model::props::Owner;
use berth_model::size::Kib;
use berth_model::snapshot::{CopyState, NodeSnapshot, Snapshot, SnapshotVolume, SnapshotVolumeDefinition};
use berth_model::time::Timestamp;
use uuid::Uuid;

use super::objects::{Build, Place, layers, up};
use super::tables::{Row, Tables};
use crate::sizes::{DrbdGeometry, backing_size};

/// Rows by what they belong to, so that each is looked at once.
pub(super) struct Index<'t> {
    /// Volume definitions by resource and snapshot (empty: none).
    volumes: BTreeMap<(&'t str, &'t str), Vec<&'t Row>>,
    /// Copies of snapshots.
    copies: BTreeMap<(&'t str, &'t str), Vec<&'t Row>>,
    /// DRBD's part of definitions.
    drbd: BTreeMap<&'t str, &'t Row>,
    minors: BTreeMap<(&'t str, i64), u32>,
    /// Ids of volumes by node, resource and number.
    volume_ids: BTreeMap<(&'t str, &'t str, i64), Uuid>,
}

impl<'t> Index<'t> {
    pub(super) fn new(tables: &'t Tables) -> Self {
        let mut volumes: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
        for row in tables.rows("VOLUME_DEFINITIONS") {
            volumes.entry((row.text("resource_name"), row.text("snapshot_name"))).or_default().push(row);
        }
        let mut copies: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
        for row in tables.rows("RESOURCES").iter().filter(|row| !row.text("snapshot_name").is_empty()) {
            copies.entry((row.text("resource_name"), row.text("snapshot_name"))).or_default().push(row);
        }
        let plain = |row: &&Row| row.text("snapshot_name").is_empty() && row.text("resource_name_suffix").is_empty();
        let drbd = tables.rows("LAYER_DRBD_RESOURCE_DEFINITIONS").iter().filter(plain).map(|row| (row.text("resource_name"), row));
        let minors = tables.rows("LAYER_DRBD_VOLUME_DEFINITIONS").iter().filter(plain).filter_map(|row| {
            let minor = u32::try_from(row.number("vlm_minor_nr")?).ok()?;
            Some(((row.text("resource_name"), row.number("vlm_nr")?), minor))
        });
        let ids = tables.rows("VOLUMES").iter().filter(|row| row.text("snapshot_name").is_empty());
        let ids = ids.filter_map(|row| Some(((row.text("node_name"), row.text("resource_name"), row.number("vlm_nr")?), row.uuid()?)));
        Self { drbd: drbd.collect(), minors: minors.collect(), volume_ids: ids.collect(), volumes, copies }
    }

    fn volumes(&self, resource: &str, snapshot: &str) -> Vec<&'t Row> {
        self.volumes.get(&(resource, snapshot)).cloned().unwrap_or_default()
    }
}

impl Build<'_> {
    pub(super) fn definitions(&mut self) {
        let is_definition = |row: &&Row| row.text("snapshot_name").is_empty();
        for row in self.tables.rows("RESOURCE_DEFINITIONS").iter().filter(is_definition) {
            let (key, text) = (row.text("resource_name"), row.name("resource_dsp_name", "resource_name"));
            let what = format!("resource definition {text}");
            let name = match ResourceName::parse(text) {
                Ok(name) => name,
                Err(error) => {
                    self.leave(what, format!("{error}."));
                    continue;
                }
            };
            let Some(group) = self.groups.get(row.text("resource_group_name")).cloned() else {
                self.leave(what, format!("Its group {} was not taken.", row.text("resource_group_name")));
                continue;
            };
            let external_name = match row.text("resource_external_name") {
                "" => None,
                coded => base64::engine::general_purpose::STANDARD.decode(coded).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
            };
            let bits = row.bits("resource_flags");
            for (bit, doing) in [(1, "deleted"), (2, "restored"), (4, "cloned")] {
                if bits & bit == bit {
                    self.leave(format!("work on {what}"), format!("It was being {doing}; begin that anew, or delete it."));
                }
            }
            let failed = (bits & 8 == 8).then_some(DefinitionFlag::Failed);
            let drbd = self.index.drbd.get(key).copied();
            let number = |column: &str| drbd.and_then(|row| row.number(column));
            let words = |column: &str| drbd.map_or("", |row| row.text(column)).to_owned();
            let secret = match words("secret") {
                text if text.is_empty() => self.ids.next::<kind::Content>().uuid().simple().to_string(),
                text => text,
            };
            let mut definition = ResourceDefinition {
                id: self.id(row.uuid()),
                name,
                external_name,
                group,
                layers: layers(&row.list("layer_stack").unwrap_or_default()),
                drbd: DrbdDefinition {
                    port: number("tcp_port").and_then(|port| u16::try_from(port).ok()),
                    secret,
                    transport: Some(words("transport_type")).filter(|text| !text.is_empty() && text != "IP"),
                    peer_slots: number("peer_slots").and_then(|slots| u8::try_from(slots).ok()).filter(|slots| (1..=31).contains(slots)),
                    used_node_ids: 0,
                },
                flags: failed.into_iter().collect(),
                props: self.props.take(&format!("/RSC_DFNS/{key}"), Owner::ResourceDefinition, &mut self.left),
                volumes: Few::default(),
                created: self.now,
            };
            self.volume_definitions(key, &mut definition);
            self.definitions.insert(key.to_owned(), definition.clone());
            self.put("resource-definition", Object::ResourceDefinition(definition));
        }
    }

    fn volume_definitions(&mut self, key: &str, definition: &mut ResourceDefinition) {
        for row in self.index.volumes(key, "") {
            let size = row.number("vlm_size").and_then(|size| u64::try_from(size).ok()).map(Kib);
            let sound = size.filter(|size| (Kib::VOLUME_MIN..=Kib::VOLUME_MAX).contains(size));
            let (Some(number), Some(size_kib)) = (row.number("vlm_nr").and_then(VolumeNumber::new), sound) else {
                self.leave(format!("volume definition of {key}"), "Its number or its size makes no sense.");
                continue;
            };
            let own_id: Id<kind::VolumeDefinition> = self.id(row.uuid());
            let mut minor = self.index.minors.get(&(key, i64::from(number.get()))).copied();
            if let Some(taken) = minor.filter(|minor| !self.claim(NumberKey::Minor { minor: *minor }, own_id.uuid())) {
                self.leave(format!("minor {taken} of {key}/{number}"), "Another volume has it.");
                minor = None;
            }
            let props = self.props.take(&format!("/VLM_DFNS/{key}/{number}"), Owner::VolumeDefinition, &mut self.left);
            let flags = volume_flags(row.bits("vlm_flags"));
            *self.counts.entry("volume-definition").or_default() += 1;
            definition.volumes.insert(number, VolumeDefinition { id: own_id, size_kib, flags, minor, props, passphrase: None });
        }
    }

    pub(super) fn resources(&mut self) {
        for row in self.tables.rows("RESOURCES").iter().filter(|row| row.text("snapshot_name").is_empty()) {
            let (node_key, key) = (row.text("node_name"), row.text("resource_name"));
            let what = format!("resource {key} on node {node_key}");
            let (Some(node), Some(definition)) = (self.nodes.get(node_key).cloned(), self.definitions.get(key).cloned()) else {
                self.leave(what, "Its node or its definition was not taken.");
                continue;
            };
            let place = (node_key.to_owned(), key.to_owned(), String::new());
            let Some((stack, storage_id)) = self.stacks.get(&place).cloned().filter(|(stack, _)| stack.last() == Some(&LayerKind::Storage))
            else {
                self.leave(what, "Its layers do not end with STORAGE.");
                continue;
            };
            let own_id: Id<kind::Resource> = self.id(row.uuid());
            let bits = row.bits("resource_flags");
            let flags: Vec<ResourceFlag> = [
                (4, ResourceFlag::Diskless),
                (260, ResourceFlag::DrbdDiskless),
                (388, ResourceFlag::TieBreaker),
                (516, ResourceFlag::NvmeInitiator),
                (1024, ResourceFlag::Inactive),
            ]
            .into_iter()
            .filter(|(mask, _)| bits & mask == *mask)
            .map(|(_, flag)| flag)
            .collect();
            if bits & (2 | 8 | 16 | 32 | 64) != 0 {
                self.leave(format!("work on {what}"), "A deletion or a change of its disk was under way; begin that anew.");
            }
            let drbd = self.drbd_of(&place, &node, &definition, own_id.uuid(), &what);
            let mut resource = Resource {
                id: own_id,
                definition: definition.id,
                name: definition.name.clone(),
                node,
                layers: stack,
                flags: flags.into_iter().collect(),
                drbd,
                volumes: Few::default(),
                props: self.props.take(&format!("/RSCS/{node_key}/{key}"), Owner::Resource, &mut self.left),
                created: row.number("create_timestamp").map_or(self.now, Timestamp),
            };
            for (number, volume) in &definition.volumes {
                let at = i64::from(number.get());
                let pool =
                    self.storage.get(&(storage_id, at)).and_then(|(node, pool)| self.pools.get(&(node.clone(), pool.clone()))).cloned();
                let Some(pool) = pool else {
                    self.leave(format!("volume {number} of {what}"), "Its storage pool was not taken.");
                    continue;
                };
                let uuid = self.index.volume_ids.get(&(node_key, key, at)).copied();
                let made = self.volume(uuid, &resource, *number, volume, &pool);
                *self.counts.entry("volume").or_default() += 1;
                resource.volumes.insert(*number, made);
            }
            self.resources.insert((key.to_owned(), node_key.to_owned()), resource.clone());
            self.put("resource", Object::Resource(resource));
        }
    }

    fn drbd_of(
        &mut self,
        place: &Place,
        node: &NodeName,
        definition: &ResourceDefinition,
        holder: Uuid,
        what: &str,
    ) -> Option<DrbdResource> {
        let row = *self.drbd.get(self.tops.get(place)?)?;
        let node_id = row.number("node_id").and_then(|id| u8::try_from(id).ok()).filter(|id| *id <= 31);
        let Some(node_id) = node_id else {
            self.leave(format!("DRBD's part of {what}"), "It has no node id.");
            return None;
        };
        if !self.claim(NumberKey::NodeId { resource: definition.name.clone(), node_id }, holder) {
            self.leave(format!("node id {node_id} of {what}"), "Another replica has it.");
        }
        let listed: Vec<u16> = serde_json::from_str(row.text("tcp_port_list")).unwrap_or_default();
        let ports: Vec<u16> = if listed.is_empty() { definition.drbd.port.into_iter().collect() } else { listed };
        for port in &ports {
            if !self.claim(NumberKey::Port { node: node.clone(), port: *port }, holder) {
                self.leave(format!("port {port} of {what}"), "Another replica on the node has it.");
            }
        }
        let peer_slots = row.number("peer_slots").and_then(|slots| u8::try_from(slots).ok()).filter(|slots| (1..=31).contains(slots));
        Some(DrbdResource { node_id, ports, peer_slots: peer_slots.unwrap_or(crate::sizes::DEFAULT_PEERS) })
    }

    fn volume(
        &mut self,
        uuid: Option<Uuid>,
        resource: &Resource,
        number: VolumeNumber,
        defined: &VolumeDefinition,
        pool: &StorPool,
    ) -> Volume {
        // What is there was made by the other system: if it is missing it is lost, and nothing is made in its place.
        let content = Content { id: self.ids.next(), source: ContentSource::Kept };
        let diskless = !pool.provider.has_storage();
        let geometry = DrbdGeometry::with_peers(resource.drbd.as_ref().map_or(crate::sizes::DEFAULT_PEERS, |drbd| drbd.peer_slots));
        let gross = defined.flags.has(VolumeDefinitionFlag::GrossSize);
        let extent = Kib(pool.provider.default_extent_kib());
        let sizes = backing_size(defined.size_kib, gross, &resource.layers, extent, geometry);
        Volume {
            id: self.id(uuid),
            pool: pool.name.clone(),
            provider: pool.provider,
            backing: if diskless { String::new() } else { format!("{}_{:05}", resource.name, number.get()) },
            backing_kib: if diskless { Kib(0) } else { sizes.map_or(defined.size_kib, |sizes| sizes.backing) },
            content,
            flags: Default::default(),
            props: self.props.take(
                &format!("/VLMS/{}/{}/{number}", up(resource.node.as_str()), up(resource.name.as_str())),
                Owner::Volume,
                &mut self.left,
            ),
        }
    }

    pub(super) fn snapshots(&mut self) {
        for row in self.tables.rows("RESOURCE_DEFINITIONS").iter().filter(|row| !row.text("snapshot_name").is_empty()) {
            let (key, snapshot_key) = (row.text("resource_name"), row.text("snapshot_name"));
            let text = row.name("snapshot_dsp_name", "snapshot_name");
            let what = format!("snapshot {text} of {key}");
            let Some(definition) = self.definitions.get(key).cloned() else {
                self.leave(what, "Its resource definition was not taken.");
                continue;
            };
            let name = match SnapshotName::parse(text) {
                Ok(name) => name,
                Err(error) => {
                    self.leave(what, format!("{error}."));
                    continue;
                }
            };
            let bits = row.bits("resource_flags");
            if bits & 1 == 0 || bits & 8 == 8 {
                self.leave(what, "It was not finished, or was being deleted; what is left of it on the nodes is to be removed there.");
                continue;
            }
            let suffix = format!("{key}/{snapshot_key}");
            let volumes = self.snapshot_volumes(key, snapshot_key);
            let copies = self.copies(key, snapshot_key, &name, &definition);
            let layers = copies.iter().find_map(|(node, _)| {
                let place = (up(node.as_str()), key.to_owned(), snapshot_key.to_owned());
                self.stacks.get(&place).map(|(stack, _)| stack.clone())
            });
            let flags = [(1, SnapshotFlag::Successful), (256, SnapshotFlag::AutoSnapshot), (8192, SnapshotFlag::SafetySnapshot)];
            let created = copies.values().filter_map(|copy| copy.created).min().unwrap_or(self.now);
            let snapshot = Snapshot {
                id: self.id(row.uuid()),
                name,
                resource: definition.name.clone(),
                definition: definition.id,
                layers: layers.unwrap_or_else(|| definition.layers.clone()),
                flags: flags.into_iter().filter(|(bit, _)| bits & bit == *bit).map(|(_, flag)| flag).collect(),
                props: self.props.take(&format!("/SNAP_DFNS/{suffix}"), Owner::Snapshot, &mut self.left),
                definition_props: self.props.take(&format!("/SNAP_DFNS_RSC_DFN/{suffix}"), Owner::ResourceDefinition, &mut self.left),
                volumes: volumes.into_iter().collect(),
                copies,
                created,
            };
            self.put("snapshot", Object::Snapshot(snapshot));
        }
    }

    fn snapshot_volumes(&mut self, key: &str, snapshot: &str) -> BTreeMap<VolumeNumber, SnapshotVolumeDefinition> {
        let mut volumes = BTreeMap::new();
        for row in self.index.volumes(key, snapshot) {
            let size = row.number("vlm_size").and_then(|size| u64::try_from(size).ok());
            let (Some(number), Some(size)) = (row.number("vlm_nr").and_then(VolumeNumber::new), size) else { continue };
            // The bits of a snapshot's volume are others than those of a volume definition.
            let bits = row.bits("vlm_flags");
            let flags = [(1, VolumeDefinitionFlag::Encrypted), (2, VolumeDefinitionFlag::GrossSize)];
            let suffix = format!("{key}/{snapshot}/{number}");
            let volume = SnapshotVolumeDefinition {
                size_kib: Kib(size),
                flags: flags.into_iter().filter(|(bit, _)| bits & bit == *bit).map(|(_, flag)| flag).collect(),
                definition_props: self.props.take(&format!("/SNAP_VLM_DFNS_VLM_DFN/{suffix}"), Owner::VolumeDefinition, &mut self.left),
                props: self.props.take(&format!("/SNAP_VLM_DFNS/{suffix}"), Owner::Snapshot, &mut self.left),
                passphrase: None,
            };
            volumes.insert(number, volume);
        }
        volumes
    }

    fn copies(
        &mut self,
        key: &str,
        snapshot: &str,
        name: &SnapshotName,
        definition: &ResourceDefinition,
    ) -> BTreeMap<NodeName, NodeSnapshot> {
        let mut copies = BTreeMap::new();
        for row in self.index.copies.get(&(key, snapshot)).cloned().unwrap_or_default() {
            let node_key = row.text("node_name");
            let Some(node) = self.nodes.get(node_key).cloned() else {
                self.leave(format!("copy of snapshot {name} of {key} on node {node_key}"), "Its node was not taken.");
                continue;
            };
            let place = (node_key.to_owned(), key.to_owned(), snapshot.to_owned());
            let storage_id = self.stacks.get(&place).map_or(-1, |(_, storage)| *storage);
            let mut volumes = BTreeMap::new();
            for number in definition.volumes.keys() {
                let pool = self.storage.get(&(storage_id, i64::from(number.get())));
                let Some(pool) = pool.and_then(|(node, pool)| self.pools.get(&(node.clone(), pool.clone()))).cloned() else { continue };
                let source = self.resources.get(&(key.to_owned(), node_key.to_owned())).and_then(|resource| resource.volumes.get(number));
                let backing = format!("{}_{:05}", definition.name, number.get());
                let source_backing = source.map_or_else(|| backing.clone(), |volume| volume.backing.clone());
                let (backing_kib, source) = source.map_or((Kib(0), None), |volume| (volume.backing_kib, Some(volume.id)));
                let volume = SnapshotVolume {
                    id: self.ids.next(),
                    pool: pool.name.clone(),
                    provider: pool.provider,
                    backing: format!("{backing}_{name}"),
                    backing_kib,
                    source: source.unwrap_or_else(|| self.ids.next()),
                    source_backing,
                };
                volumes.insert(*number, volume);
            }
            let copy = NodeSnapshot {
                id: self.id(row.uuid()),
                state: CopyState::Taken,
                created: row.number("create_timestamp").map(Timestamp),
                resource_props: self.props.take(&format!("/SNAPS_RSC/{node_key}/{key}/{snapshot}"), Owner::Resource, &mut self.left),
                volumes: volumes.into_iter().collect(),
            };
            copies.insert(node, copy);
        }
        copies
    }
}

/// Bits of a volume definition; changes of size that were under way are over.
fn volume_flags(bits: i64) -> VolumeDefinitionFlags {
    let flags = [(2, VolumeDefinitionFlag::Encrypted), (8, VolumeDefinitionFlag::GrossSize), (32, VolumeDefinitionFlag::DrbdInitialized)];
    flags.into_iter().filter(|(bit, _)| bits & bit == *bit).map(|(_, flag)| flag).collect()
}
