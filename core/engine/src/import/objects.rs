//! What a cluster consists of, out of the rows of an export: nodes, pools, groups, key-value stores; see `volumes` for the rest.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::change::{Key, NumberClaim, NumberKey, Object};
use berth_model::flags::{NodeFlag, VolumeDefinitionFlag};
use berth_model::ids::{Id, IdSource, kind};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{KvsName, NetIfName, NodeName, ResourceGroupName, SharedSpaceName, StorPoolName, VolumeNumber};
use berth_model::objects::{
    ControllerObject, Encryption, KeyValueStore, NetIf, Node, NodeType, Resource, ResourceDefinition, ResourceGroup, SatellitePort,
    SelectFilter, StorPool, StorPoolDfn, VolumeGroup,
};
use berth_model::props::{Owner, Props};
use berth_model::time::Timestamp;
use uuid::Uuid;

use super::props::Instances;
use super::tables::{Row, Tables};
use super::volumes::Index;
use super::{Imported, Left};

/// Key of a replica or of a snapshot's copy in the export: node, resource, snapshot (empty: the replica).
pub(super) type Place = (String, String, String);

/// What is being built.
pub(super) struct Build<'t> {
    pub(super) tables: &'t Tables,
    pub(super) props: Instances,
    pub(super) now: Timestamp,
    pub(super) ids: IdSource,
    pub(super) left: Vec<Left>,
    objects: Vec<Object>,
    keys: BTreeSet<Key>,
    uuids: BTreeSet<Uuid>,
    pub(super) counts: BTreeMap<&'static str, usize>,
    first_refused_node: Option<String>,
    pub(super) nodes: BTreeMap<String, NodeName>,
    pub(super) pools: BTreeMap<(String, String), StorPool>,
    pub(super) groups: BTreeMap<String, ResourceGroupName>,
    pub(super) definitions: BTreeMap<String, ResourceDefinition>,
    pub(super) resources: BTreeMap<(String, String), Resource>,
    numbers: BTreeSet<NumberKey>,
    /// Layers from top to bottom, and the pool of each volume at the bottom.
    pub(super) stacks: BTreeMap<Place, (Vec<LayerKind>, i64)>,
    pub(super) storage: BTreeMap<(i64, i64), (String, String)>,
    pub(super) drbd: BTreeMap<i64, &'t Row>,
    pub(super) tops: BTreeMap<Place, i64>,
    pub(super) index: Index<'t>,
}

impl<'t> Build<'t> {
    pub(super) fn new(tables: &'t Tables, props: Instances, now: Timestamp, ids: IdSource, left: Vec<Left>) -> Self {
        let storage = tables.rows("LAYER_STORAGE_VOLUMES").iter().filter_map(|row| {
            let key = (row.number("layer_resource_id")?, row.number("vlm_nr")?);
            Some((key, (row.text("node_name").to_owned(), row.text("stor_pool_name").to_owned())))
        });
        let drbd = tables.rows("LAYER_DRBD_RESOURCES").iter().filter_map(|row| Some((row.number("layer_resource_id")?, row)));
        let mut build = Self {
            tables,
            props,
            now,
            ids,
            left,
            objects: Vec::new(),
            keys: BTreeSet::new(),
            uuids: BTreeSet::new(),
            counts: BTreeMap::new(),
            first_refused_node: None,
            nodes: BTreeMap::new(),
            pools: BTreeMap::new(),
            groups: BTreeMap::new(),
            definitions: BTreeMap::new(),
            resources: BTreeMap::new(),
            numbers: BTreeSet::new(),
            stacks: BTreeMap::new(),
            storage: storage.collect(),
            drbd: drbd.collect(),
            tops: BTreeMap::new(),
            index: Index::new(tables),
        };
        build.read_stacks();
        build
    }

    /// Follows each tree of layers along its data path: the child without a suffix.
    fn read_stacks(&mut self) {
        let mut below: BTreeMap<i64, &Row> = BTreeMap::new();
        let mut tops: Vec<&Row> = Vec::new();
        for row in self.tables.rows("LAYER_RESOURCE_IDS").iter().filter(|row| row.text("layer_resource_suffix").is_empty()) {
            match row.number("layer_resource_parent_id") {
                Some(parent) => drop(below.insert(parent, row)),
                None => tops.push(row),
            }
        }
        for top in tops {
            let place = (top.text("node_name").to_owned(), top.text("resource_name").to_owned(), top.text("snapshot_name").to_owned());
            let (mut layers, mut at, mut last) = (Vec::new(), Some(top), -1);
            // A stack has at most one layer of each kind; what goes on is a circle.
            for _ in 0..LayerKind::ALL.len() {
                let Some(row) = at else { break };
                layers.extend(LayerKind::parse(row.text("layer_resource_kind")));
                last = row.bits("layer_resource_id");
                at = below.get(&last).copied();
            }
            self.tops.insert(place.clone(), top.bits("layer_resource_id"));
            self.stacks.insert(place, (layers, last));
        }
    }

    pub(super) fn leave(&mut self, what: String, why: impl Into<String>) {
        self.left.push(Left { what, why: why.into() });
    }

    pub(super) fn put(&mut self, kind: &'static str, object: Object) {
        let key = object.key();
        if self.keys.insert(key.clone()) {
            *self.counts.entry(kind).or_default() += 1;
            self.objects.push(object);
        } else {
            self.leave(format!("{kind} {}", key.text()), "It stands in the export twice; the first one is taken.");
        }
    }

    /// A uuid of the export as an id of ours; a new one where there is none, or another object has it.
    pub(super) fn id<T>(&mut self, uuid: Option<Uuid>) -> Id<T> {
        match uuid.filter(|uuid| self.uuids.insert(*uuid)) {
            Some(uuid) => Id::from_uuid(uuid),
            None => self.ids.next(),
        }
    }

    /// Claims a number; `false`: another object of the export has it.
    pub(super) fn claim(&mut self, key: NumberKey, holder: Uuid) -> bool {
        let free = self.numbers.insert(key.clone());
        if free {
            self.objects.push(Object::Number(NumberClaim { key, holder }));
        }
        free
    }

    pub(super) fn first_refused_node(&self) -> Option<String> {
        self.first_refused_node.clone()
    }

    pub(super) fn has_nodes(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// The cluster's own properties: those of the controller and those that it sends to satellites.
    pub(super) fn controller(&mut self, cluster: Id<kind::Cluster>) {
        let mut props = Props::default();
        for object in crate::settings::first_objects(cluster, &mut self.ids) {
            if let Object::Controller(first) = object {
                props = first.props;
            }
        }
        for path in ["/CTRL", "/STLT"] {
            let taken = self.props.take(path, Owner::Controller, &mut self.left);
            taken.iter().for_each(|(key, value)| drop(props.insert_internal(key, value)));
        }
        self.objects.push(Object::Controller(ControllerObject { props }));
    }

    pub(super) fn nodes(&mut self) {
        let mut interfaces: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in self.tables.rows("NODE_NET_INTERFACES") {
            interfaces.entry(row.text("node_name")).or_default().push(row);
        }
        for row in self.tables.rows("NODES") {
            let (key, text) = (row.text("node_name"), row.name("node_dsp_name", "node_name"));
            let node_type = match row.number("node_type") {
                Some(1) => NodeType::Controller,
                Some(2) => NodeType::Satellite,
                Some(3) => NodeType::Combined,
                Some(4) => NodeType::Auxiliary,
                other => {
                    let why = format!("Its type {} stands for a special satellite, which is not built.", other.unwrap_or_default());
                    self.refuse_node(text, why);
                    continue;
                }
            };
            let name = match NodeName::parse(text) {
                Ok(name) => name,
                Err(error) => {
                    self.refuse_node(text, format!("{error}."));
                    continue;
                }
            };
            let of_node = interfaces.get(key).map_or(&[][..], Vec::as_slice);
            let net_interfaces: Vec<NetIf> = of_node.iter().filter_map(|row| self.interface(text, row)).collect();
            if net_interfaces.is_empty() {
                self.refuse_node(text, "None of its net interfaces can be taken.".to_owned());
                continue;
            }
            let path = format!("/NODES/{key}");
            let chosen = self.props.get(&path, "CurStltConnName").and_then(|name| NetIfName::parse(name).ok());
            let carries = |name: &NetIfName| net_interfaces.iter().any(|one| one.name == *name && one.satellite.is_some());
            let active =
                chosen.filter(carries).or_else(|| net_interfaces.iter().find(|one| one.satellite.is_some()).map(|one| one.name.clone()));
            let bits = row.bits("node_flags");
            // EVICTED (3) contains DELETE (1).
            let flags = [(NodeFlag::Evicted, bits & 3 == 3), (NodeFlag::Evacuate, bits & 4 == 4)];
            if bits & 3 == 1 {
                self.leave(format!("deletion of node {name}"), "It was being deleted and is kept here: delete it again.");
            }
            let node = Node {
                id: self.id(row.uuid()),
                name: name.clone(),
                node_type,
                flags: flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).collect(),
                net_interfaces,
                active,
                props: self.props.take(&path, Owner::Node, &mut self.left),
                created: self.now,
                absence: None,
            };
            self.nodes.insert(key.to_owned(), name);
            self.put("node", Object::Node(node));
        }
    }

    fn refuse_node(&mut self, name: &str, why: String) {
        self.first_refused_node.get_or_insert_with(|| format!("{name}: {why}"));
        self.leave(format!("node {name}"), why);
    }

    fn interface(&mut self, node: &str, row: &Row) -> Option<NetIf> {
        let text = row.name("node_net_dsp_name", "node_net_name");
        let what = format!("net interface {text} of node {node}");
        let Ok(name) = NetIfName::parse(text) else {
            self.leave(what, "Its name is none here.");
            return None;
        };
        let Ok(address) = row.text("inet_address").parse() else {
            self.leave(what, format!("'{}' is no IP address.", row.text("inet_address")));
            return None;
        };
        let port = row.number("stlt_conn_port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        let encryption = Encryption::parse(row.text("stlt_conn_encr_type")).unwrap_or(Encryption::Plain);
        Some(NetIf { id: self.id(row.uuid()), name, address, satellite: port.map(|port| SatellitePort { port, encryption }) })
    }

    pub(super) fn pools(&mut self) {
        let mut known = BTreeSet::new();
        for row in self.tables.rows("STOR_POOL_DEFINITIONS") {
            let (key, text) = (row.text("pool_name"), row.name("pool_dsp_name", "pool_name"));
            match StorPoolName::parse(text) {
                Ok(name) => {
                    known.insert(name.clone());
                    let props = self.props.take(&format!("/STOR_POOL_DFNS/{key}"), Owner::StorPoolDfn, &mut self.left);
                    let made = StorPoolDfn { id: self.id(row.uuid()), name, props };
                    self.put("storage-pool-definition", Object::StorPoolDfn(made));
                }
                Err(error) => self.leave(format!("storage pool definition {text}"), format!("{error}.")),
            }
        }
        for object in crate::settings::first_objects(Id::from_uuid(Uuid::nil()), &mut self.ids) {
            if let Object::StorPoolDfn(dfn) = &object
                && !known.contains(&dfn.name)
            {
                self.objects.push(object);
            }
        }
        let shown: BTreeMap<&str, &str> = self
            .tables
            .rows("STOR_POOL_DEFINITIONS")
            .iter()
            .map(|row| (row.text("pool_name"), row.name("pool_dsp_name", "pool_name")))
            .collect();
        for row in self.tables.rows("NODE_STOR_POOL") {
            let (node_key, key) = (row.text("node_name"), row.text("pool_name"));
            let what = format!("storage pool {key} of node {node_key}");
            let name = shown.get(key).and_then(|text| StorPoolName::parse(text).ok());
            let (Some(node), Some(name)) = (self.nodes.get(node_key).cloned(), name) else {
                self.leave(what, "Its node or its definition was not taken.");
                continue;
            };
            let Some(provider) = ProviderKind::parse(row.text("driver_name")) else {
                self.leave(what, format!("The provider {} is not known here.", row.text("driver_name")));
                continue;
            };
            let manager = row.name("free_space_mgr_dsp_name", "free_space_mgr_name");
            let shared_space = match SharedSpaceName::parse(manager) {
                _ if manager.contains(';') || manager.is_empty() => None,
                Ok(name) => Some(name),
                Err(error) => {
                    self.leave(what.clone(), format!("{error}; it is taken as a pool of its own."));
                    None
                }
            };
            let pool = StorPool {
                id: self.id(row.uuid()),
                node,
                name,
                provider,
                shared_space,
                external_locking: row.truth("external_locking").unwrap_or(false),
                props: self.props.take(&format!("/STOR_POOLS/{node_key}/{key}"), Owner::StorPool, &mut self.left),
            };
            self.pools.insert((node_key.to_owned(), key.to_owned()), pool.clone());
            self.put("storage-pool", Object::StorPool(pool));
        }
    }

    pub(super) fn groups(&mut self) {
        for row in self.tables.rows("RESOURCE_GROUPS") {
            let (key, text) = (row.text("resource_group_name"), row.name("resource_group_dsp_name", "resource_group_name"));
            let name = match ResourceGroupName::parse(text) {
                Ok(name) => name,
                Err(error) => {
                    self.leave(format!("resource group {text}"), format!("{error}."));
                    continue;
                }
            };
            let mut volume_groups = BTreeMap::new();
            for row in self.tables.rows("VOLUME_GROUPS").iter().filter(|row| row.text("resource_group_name") == key) {
                let Some(number) = row.number("vlm_nr").and_then(VolumeNumber::new) else { continue };
                let props = self.props.take(&format!("/VLM_GRPS/{key}/{number}"), Owner::VolumeGroup, &mut self.left);
                let gross = (row.bits("flags") & 1 == 1).then_some(VolumeDefinitionFlag::GrossSize);
                let group = VolumeGroup { id: self.id(row.uuid()), flags: gross.into_iter().collect(), props };
                volume_groups.insert(number, group);
            }
            let kinds = |list: Option<Vec<String>>| list.map(|words| words.iter().filter_map(|word| ProviderKind::parse(word)).collect());
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let filter = SelectFilter {
                place_count: row.number("replica_count").and_then(|count| i32::try_from(count).ok()),
                node_name_list: row.list("node_name_list"),
                storage_pool_list: row.list("pool_name"),
                storage_pool_diskless_list: row.list("pool_name_diskless"),
                not_place_with_rsc: row.list("do_not_place_with_rsc_list"),
                not_place_with_rsc_regex: some(row.text("do_not_place_with_rsc_regex")),
                replicas_on_same: row.list("replicas_on_same"),
                replicas_on_different: row.list("replicas_on_different"),
                x_replicas_on_different_map: row.map("x_replicas_on_different"),
                layer_stack: row.list("layer_stack").map(|words| layers(&words)),
                provider_list: kinds(row.list("allowed_provider_list")),
                diskless_on_remaining: row.truth("diskless_on_remaining"),
                ..SelectFilter::default()
            };
            let group = ResourceGroup {
                id: self.id(row.uuid()),
                name: name.clone(),
                description: row.text("description").to_owned(),
                filter,
                peer_slots: row.number("peer_slots").and_then(|slots| u8::try_from(slots).ok()).filter(|slots| (1..=31).contains(slots)),
                volume_groups: volume_groups.into_iter().collect(),
                props: self.props.take(&format!("/RSC_GRPS/{key}"), Owner::ResourceGroup, &mut self.left),
                tenant: None,
            };
            self.groups.insert(key.to_owned(), name);
            self.put("resource-group", Object::ResourceGroup(group));
        }
        if !self.groups.values().any(|name| name.as_str().eq_ignore_ascii_case(berth_model::names::DEFAULT_GROUP)) {
            let group = crate::groups::default_group(self.ids.next());
            self.groups.insert(group.name.as_str().to_ascii_uppercase(), group.name.clone());
            self.objects.push(Object::ResourceGroup(group));
        }
    }

    pub(super) fn stores(&mut self) {
        for row in self.tables.rows("KEY_VALUE_STORE") {
            let (key, text) = (row.text("kvs_name"), row.name("kvs_dsp_name", "kvs_name"));
            match KvsName::parse(text) {
                Ok(name) => {
                    let props = self.props.take_raw(&format!("/KVS/{key}"));
                    if !props.is_empty() {
                        self.put("key-value-store", Object::KeyValueStore(name, KeyValueStore { props, tenant: None }));
                    }
                }
                Err(error) => self.leave(format!("key-value store {text}"), format!("{error}.")),
            }
        }
    }

    /// Tells what was not looked at: kinds of objects that are not built, and properties of objects that were not taken.
    pub(super) fn what_has_no_place(&mut self) {
        const READ: [&str; 18] = [
            "NODES",
            "NODE_NET_INTERFACES",
            "STOR_POOL_DEFINITIONS",
            "NODE_STOR_POOL",
            "RESOURCE_GROUPS",
            "VOLUME_GROUPS",
            "RESOURCE_DEFINITIONS",
            "VOLUME_DEFINITIONS",
            "RESOURCES",
            "VOLUMES",
            "LAYER_RESOURCE_IDS",
            "LAYER_STORAGE_VOLUMES",
            "LAYER_DRBD_RESOURCE_DEFINITIONS",
            "LAYER_DRBD_VOLUME_DEFINITIONS",
            "LAYER_DRBD_RESOURCES",
            "NODE_CONNECTIONS",
            "RESOURCE_CONNECTIONS",
            "FILES",
        ];
        for (table, rows) in self.tables.all() {
            if rows.is_empty() || READ.contains(&table) || matches!(table, "PROPS_CONTAINERS" | "KEY_VALUE_STORE") {
                continue;
            }
            let why = match table {
                _ if table.starts_with("SEC_") => "Access control of an older design, which no client uses.",
                "LINSTOR_REMOTES" | "S3_REMOTES" | "EBS_REMOTES" | "SCHEDULES" => "Backups are not built: create it again when they are.",
                "VOLUME_CONNECTIONS" => "Connections of single volumes have no settings: set those of the resource's connection.",
                "LAYER_LUKS_VOLUMES" => super::props::VOLUME_KEY_LEFT,
                "AUTH_TOKENS" => "Tokens are not taken over: make new ones.",
                _ => "There is nothing like it here.",
            };
            let name = |row: &Row| match row.name("dsp_name", "name") {
                "" => row.text("path").to_owned(),
                text => text.to_owned(),
            };
            let names: Vec<String> = rows.iter().map(name).filter(|name| !name.is_empty()).take(10).collect();
            let listed = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
            self.left.push(Left { what: format!("{} of table {table}{listed}", plural(rows.len(), "row")), why: why.to_owned() });
        }
        let rest: Vec<(String, usize)> = self.props.rest().map(|(path, count)| (path.to_owned(), count)).collect();
        for (path, count) in rest {
            self.leave(format!("{} of {path}", plural(count, "property")), "Its object was not taken.");
        }
    }

    pub(super) fn done(self, cluster: Id<kind::Cluster>) -> Imported {
        let Self { objects, counts, left, tables, .. } = self;
        Imported { cluster, objects, counts, left, release: tables.release.clone() }
    }
}

pub(super) fn up(text: &str) -> String {
    text.to_ascii_uppercase()
}

fn plural(count: usize, what: &str) -> String {
    match (count, what) {
        (1, _) => format!("1 {what}"),
        (_, "property") => format!("{count} properties"),
        _ => format!("{count} {what}s"),
    }
}

pub(super) fn layers(words: &[String]) -> Vec<LayerKind> {
    words.iter().filter_map(|word| LayerKind::parse(word)).collect()
}
