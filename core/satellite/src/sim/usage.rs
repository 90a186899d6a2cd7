//! Who uses the devices of simulated machines: a file says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use berth_model::names::{NodeName, ResourceName};
use tokio::sync::mpsc;

use crate::core::Event;

/// How often the file is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// Resources in use, with the machine on which they are.
pub type Uses = BTreeSet<(NodeName, ResourceName)>;

/// The uses that a text names, a line `NODE RESOURCE` each. Empty lines and comments (`#`) are passed over; so is what names nothing.
fn parse(text: &str) -> Uses {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let one = |line: &str| {
        let (node, resource) = line.split_once(char::is_whitespace)?;
        Some((NodeName::parse(node).ok()?, ResourceName::parse(resource.trim()).ok()?))
    };
    lines.filter_map(one).collect()
}

/// Keeps `used` as the file says, and tells the machines of each change. Without the file nothing is used.
pub async fn follow(file: &Path, used: &Mutex<Uses>, doors: Vec<(NodeName, mpsc::Sender<Event>)>) {
    loop {
        let now = parse(&tokio::fs::read_to_string(file).await.unwrap_or_default());
        let before = std::mem::replace(&mut *used.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        let mut changed: BTreeMap<NodeName, Vec<ResourceName>> = BTreeMap::new();
        for (node, resource) in now.symmetric_difference(&before) {
            changed.entry(node.clone()).or_default().push(resource.clone());
        }
        for (node, door) in &doors {
            if let Some(resources) = changed.remove(node) {
                // A machine that has ended looks at nothing.
                drop(door.send(Event::Opened(resources)).await);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_node_and_what_it_uses() {
        let uses = parse("# who uses what\n\nalpha web\n bravo \t db \nnothing\nb@d web\nALPHA WEB\n");
        assert_eq!(uses, parse("bravo db\nalpha web"));
        assert_eq!(uses.len(), 2, "{uses:?}");
    }
}
