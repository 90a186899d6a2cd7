//! Connections of nodes and external files, out of the rows of an export.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_model::change::Object;
use berth_model::connections::{NodeConnection, Pair, ResourceConnection};
use berth_model::files::{CONTENT_MAX, ExternalFile};
use berth_model::names::FilePath;
use berth_model::props::{Owner, Props};

use super::objects::Build;

impl Build<'_> {
    /// Those that have properties and whose nodes were taken.
    pub(super) fn connections(&mut self) {
        for row in self.tables.rows("NODE_CONNECTIONS") {
            let (from, to) = (row.text("node_name_src"), row.text("node_name_dst"));
            let props = self.props.take(&format!("/NODE_CONNS/{from}/{to}"), Owner::NodeConnection, &mut self.left);
            let ends = self.nodes.get(from).cloned().zip(self.nodes.get(to).cloned());
            match ends.and_then(|(one, other)| Pair::new(one, other)) {
                Some(nodes) if !props.is_empty() => {
                    let id = self.id(row.uuid());
                    self.put("node-connection", Object::NodeConnection(NodeConnection { id, nodes, props }));
                }
                Some(_) => {}
                None => self.leave(format!("connection of nodes {from} and {to}"), "It has no two nodes that were taken."),
            }
        }
    }

    /// Those of replicas that were taken, with their properties; the ports that two replicas had agreed on are drawn anew.
    pub(super) fn resource_connections(&mut self) {
        for row in self.tables.rows("RESOURCE_CONNECTIONS").iter().filter(|row| row.text("snapshot_name").is_empty()) {
            let (from, to, of) = (row.text("node_name_src"), row.text("node_name_dst"), row.text("resource_name"));
            let what = format!("connection of resource {of} between nodes {from} and {to}");
            let path = self.props.of_connection(of, (from, to));
            let props = match path {
                Some(path) => self.props.take(&path, Owner::ResourceConnection, &mut self.left),
                None => Props::default(),
            };
            if row.number("tcp_port_src").or(row.number("tcp_port_dst")).is_some_and(|port| port > 0) {
                self.leave(format!("ports of the {what}"), "Ports belong to replicas here, and each has its own.");
            }
            let replica = |node: &str| self.resources.get(&(of.to_owned(), node.to_owned()));
            let ends = replica(from).zip(replica(to)).map(|(one, other)| (one.name.clone(), one.node.clone(), other.node.clone()));
            match ends.and_then(|(name, one, other)| Some((name, Pair::new(one, other)?))) {
                Some((resource, nodes)) if !props.is_empty() => {
                    let id = self.id(row.uuid());
                    self.put("resource-connection", Object::ResourceConnection(ResourceConnection { id, resource, nodes, props }));
                }
                Some(_) => {}
                None => self.leave(what, "It has no two replicas that were taken."),
            }
        }
    }

    /// Files with their contents; which definitions deploy them is a property of these.
    pub(super) fn files(&mut self) {
        for row in self.tables.rows("FILES") {
            let text = row.text("path");
            let path = match FilePath::parse(text) {
                Ok(path) => path,
                Err(error) => {
                    self.leave(format!("file {text}"), format!("{error}."));
                    continue;
                }
            };
            let content = row.text("content").to_owned();
            if STANDARD.decode(&content).ok().is_none_or(|bytes| bytes.len() > CONTENT_MAX) {
                self.leave(format!("file {text}"), format!("Its content is no base64, or longer than {CONTENT_MAX} bytes."));
                continue;
            }
            // A list in JSON, once more in base64.
            let suffixes = STANDARD.decode(row.text("alt_suffixes")).unwrap_or_default();
            let alt_suffixes: Vec<String> = serde_json::from_slice(&suffixes).unwrap_or_default();
            let (id, changed) = (self.id(row.uuid()), self.now);
            self.put("file", Object::ExternalFile(ExternalFile { id, path, content, alt_suffixes, changed }));
        }
    }
}
