//! Records that cannot be used: their names and numbers stay taken, and what they belong to stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Cluster, Quarantined};
use crate::change::{Key, NumberKey, RecordKind};

impl Cluster {
    /// Sets the records that cannot be used; their names and numbers are taken from then on. Replaces what was set before.
    pub fn set_aside(&mut self, quarantined: Vec<Quarantined>) {
        for number in std::mem::take(&mut self.reserved_numbers)
            .iter()
            .filter(|number| !self.numbers.contains_key(*number))
            .cloned()
            .collect::<Vec<_>>()
        {
            match number {
                NumberKey::Minor { minor } => self.minors.remove(minor),
                NumberKey::Port { node, port } => self.free_port(&node, port),
                NumberKey::NodeId { .. } => {}
            }
        }
        let numbers = quarantined.iter().filter(|record| RecordKind::parse(&record.kind) == Some(RecordKind::Number));
        let numbers: BTreeSet<NumberKey> = numbers.filter_map(|record| NumberKey::parse(&record.key)).collect();
        for number in &numbers {
            match number {
                NumberKey::Minor { minor } => self.minors.insert(*minor),
                NumberKey::Port { node, port } => self.ports.entry(node.clone()).or_default().insert(u32::from(*port)),
                NumberKey::NodeId { .. } => {}
            }
        }
        self.reserved_numbers = Arc::new(numbers);
        self.quarantined = Arc::new(quarantined);
    }

    /// Whether somebody holds the number, or its record is quarantined.
    #[must_use]
    pub fn is_taken(&self, number: &NumberKey) -> bool {
        self.numbers.contains_key(number) || self.reserved_numbers.contains(number)
    }

    /// The quarantined record that reserves the name of `key`.
    #[must_use]
    pub fn reserved(&self, key: &Key) -> Option<&Quarantined> {
        if self.quarantined.is_empty() {
            return None;
        }
        let (kind, text) = (key.kind(), key.text());
        self.quarantined.iter().find(|record| RecordKind::parse(&record.kind) == Some(kind) && record.key == text)
    }

    /// A quarantined record of something that belongs to `key`: while it cannot be read, what it belongs to must not be deleted,
    /// or it would be mended into nothing.
    #[must_use]
    pub fn broken_part(&self, key: &Key) -> Option<&Quarantined> {
        if self.quarantined.is_empty() {
            return None;
        }
        let text = key.text();
        self.quarantined.iter().find(|record| {
            let Some(kind) = RecordKind::parse(&record.kind) else { return false };
            let mut parts = record.key.split('/');
            let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            match key {
                Key::Node(_) => match kind {
                    RecordKind::StorPool => first == text,
                    RecordKind::Resource => second == text,
                    RecordKind::Number => first == "port" && second == text,
                    RecordKind::NodeConnection => first == text || second == text,
                    RecordKind::ResourceConnection => second == text || parts.next() == Some(text.as_str()),
                    RecordKind::Controller
                    | RecordKind::Node
                    | RecordKind::StorPoolDfn
                    | RecordKind::ResourceGroup
                    | RecordKind::ResourceDefinition
                    | RecordKind::Snapshot
                    | RecordKind::KeyValueStore
                    | RecordKind::Token
                    | RecordKind::Job
                    | RecordKind::Tombstone
                    | RecordKind::MasterKey
                    | RecordKind::ExternalFile => false,
                },
                Key::ResourceDefinition(_) => match kind {
                    RecordKind::Resource | RecordKind::Snapshot | RecordKind::ResourceConnection => first == text,
                    RecordKind::Number => first == "node-id" && second == text,
                    RecordKind::Controller
                    | RecordKind::Node
                    | RecordKind::StorPoolDfn
                    | RecordKind::StorPool
                    | RecordKind::ResourceGroup
                    | RecordKind::ResourceDefinition
                    | RecordKind::KeyValueStore
                    | RecordKind::Token
                    | RecordKind::Job
                    | RecordKind::Tombstone
                    | RecordKind::MasterKey
                    | RecordKind::NodeConnection
                    | RecordKind::ExternalFile => false,
                },
                Key::StorPoolDfn(_) => kind == RecordKind::StorPool && second == text,
                Key::Controller
                | Key::StorPool(..)
                | Key::ResourceGroup(_)
                | Key::Resource(..)
                | Key::Snapshot(..)
                | Key::KeyValueStore(_)
                | Key::Token(_)
                | Key::Job(_)
                | Key::Tombstone(_)
                | Key::Number(_)
                | Key::MasterKey
                | Key::NodeConnection(_)
                | Key::ResourceConnection(..)
                | Key::ExternalFile(_) => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, NumberClaim, Object};
    use crate::ids::Id;
    use crate::names::{NodeName, ResourceName};
    use uuid::Uuid;

    #[test]
    fn what_is_set_aside_keeps_its_name_and_its_number() {
        let mut cluster = Cluster::empty(Id::from_uuid(Uuid::nil()));
        let minor = |minor| NumberKey::Minor { minor };
        let claim = |minor| Change::Put(Object::Number(NumberClaim { key: NumberKey::Minor { minor }, holder: Uuid::nil() }));
        cluster.fold([&claim(1000), &claim(1002)]);
        let broken = |kind: &str, key: &str| Quarantined { kind: kind.into(), key: key.into(), why: "x".into() };
        let node = NodeName::parse("alpha").unwrap();
        let name = ResourceName::parse("data").unwrap();
        cluster.set_aside(vec![
            broken("number", "minor/1001"),
            broken("number", "port/ALPHA/7000"),
            broken("number", "node-id/DATA/3"),
            broken("number", "nonsense"),
            broken("resource", "DATA/BRAVO"),
            broken("resource_connection", "LOGS/DELTA/ECHO"),
            broken("node_connection", "FOXTROT/GOLF"),
        ]);
        assert_eq!(cluster.lowest_free_minor(1000, 2000), Some(1003));
        assert!(cluster.is_taken(&minor(1001)) && cluster.is_taken(&minor(1000)) && !cluster.is_taken(&minor(1003)));
        // A fold of the same number, which no transaction can make, does not free it.
        cluster.fold([&Change::Delete(Key::Number(minor(1001))), &Change::Delete(Key::Number(minor(1002)))]);
        assert_eq!(cluster.lowest_free_minor(1001, 2000), Some(1002));
        assert_eq!(cluster.lowest_free_port(&node, 7000, 7001), Some(7001));
        assert_eq!(cluster.node_ids_of(&name), [3].into());
        let bravo = NodeName::parse("bravo").unwrap();
        for (key, part) in [
            (Key::ResourceDefinition(name.clone()), Some("node-id/DATA/3")),
            (Key::Node(node), Some("port/ALPHA/7000")),
            (Key::Node(bravo.clone()), Some("DATA/BRAVO")),
            (Key::Node(NodeName::parse("charlie").unwrap()), None),
            (Key::Node(NodeName::parse("echo").unwrap()), Some("LOGS/DELTA/ECHO")),
            (Key::ResourceDefinition(ResourceName::parse("logs").unwrap()), Some("LOGS/DELTA/ECHO")),
            (Key::Node(NodeName::parse("golf").unwrap()), Some("FOXTROT/GOLF")),
            (Key::Resource(name, bravo), None),
        ] {
            assert_eq!(cluster.broken_part(&key).map(|record| record.key.as_str()), part, "{key:?}");
        }
        let freed = Change::Delete(Key::Number(NumberKey::Port { node: NodeName::parse("alpha").unwrap(), port: 7000 }));
        cluster.fold([&freed]);
        assert_eq!(cluster.lowest_free_port(&NodeName::parse("alpha").unwrap(), 7000, 7000), None);
        cluster.set_aside(Vec::new());
        assert_eq!(cluster.lowest_free_port(&NodeName::parse("alpha").unwrap(), 7000, 7000), Some(7000));
        assert_eq!(cluster.lowest_free_minor(1001, 2000), Some(1001));
    }

    #[test]
    fn number_keys_are_read_as_they_are_written() {
        let node = NodeName::parse("Alpha.x-1").unwrap();
        let resource = ResourceName::parse("Data_1").unwrap();
        for key in [NumberKey::Minor { minor: 7 }, NumberKey::Port { node, port: 9 }, NumberKey::NodeId { resource, node_id: 31 }] {
            assert_eq!(NumberKey::parse(&Key::Number(key.clone()).text()), Some(key));
        }
        for text in ["", "minor", "minor/x", "minor/1/2", "port/alpha", "port/alpha/70000", "node-id/data/256", "other/1"] {
            assert_eq!(NumberKey::parse(text), None, "{text}");
        }
    }
}
