//! Walks through parts of a cluster that begin anywhere and cost what is taken of them, and the index of replicas that leave.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use super::Cluster;
use crate::ids::{Id, kind};
use crate::job::{Job, Task};
use crate::names::{NodeName, ResourceName};
use crate::objects::{Resource, ResourceDefinition};

impl Cluster {
    /// The replicas on a node whose names come after `after`, in their order; `None`: all of them. Costs what is taken of it.
    pub fn resources_on_after<'a>(&'a self, node: &'a NodeName, after: Option<&ResourceName>) -> impl Iterator<Item = &'a Arc<Resource>> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
        let names = self.by_node.get(node).into_iter().flat_map(move |names| names.range((from.clone(), Bound::Unbounded)));
        names.filter_map(move |name| self.resource(name, node))
    }

    /// The definitions whose names come after `after`, in their order; `None`: all of them. Costs what is taken of it.
    pub fn definitions_after(&self, after: Option<&ResourceName>) -> impl Iterator<Item = &Arc<ResourceDefinition>> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
        self.definitions.range((from, Bound::Unbounded)).map(|(_, definition)| definition)
    }

    /// The open jobs that take a replica off a node (moves, and deletions of replicas whose definition stays), in the order of the
    /// names of their definitions.
    pub fn departures<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Arc<Job>> {
        self.departures.get(node).into_iter().flatten().filter_map(move |(_, id)| self.jobs.get(id))
    }

    /// Whether an open job takes the replica of this definition off a node.
    #[must_use]
    pub fn is_departing(&self, name: &ResourceName, node: &NodeName) -> bool {
        self.jobs_on(name).any(|job| departures(job).any(|(from, _)| from == node))
    }

    /// The last definition by name of which a job takes a replica off a node.
    #[must_use]
    pub fn last_departure(&self, node: &NodeName) -> Option<&ResourceName> {
        self.departures.get(node).and_then(OrdSet::get_max).map(|(name, _)| name)
    }
}

/// The nodes that a job takes replicas off, with what the index keeps of it.
pub(super) fn departures(job: &Job) -> impl Iterator<Item = (&NodeName, (ResourceName, Id<kind::Job>))> {
    let leaving = match &job.task {
        Task::Move { from, .. } => std::slice::from_ref(from),
        Task::Delete { replicas, definition: false, .. } => replicas.as_slice(),
        Task::Delete { definition: true, .. }
        | Task::Create { .. }
        | Task::CreateVolume { .. }
        | Task::Restore { .. }
        | Task::Clone { .. }
        | Task::DeleteVolume { .. }
        | Task::Resize { .. }
        | Task::Snapshot { .. }
        | Task::DeleteSnapshot { .. }
        | Task::Rollback { .. }
        | Task::Activate { .. }
        | Task::Keep { .. }
        | Task::Evacuate { .. }
        | Task::Evict
        | Task::Return { .. }
        | Task::Lose { .. } => &[],
    };
    let name = job.resource();
    leaving.iter().filter_map(move |awaited| Some((&awaited.node, (name?.clone(), job.id))))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::change::{Change, Key, Object};
    use crate::job::{Awaited, DeleteStep, MoveStep, Subject};
    use crate::time::Timestamp;

    fn node(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    fn job(number: u128, resource: &str, task: Task) -> Job {
        let subject = Subject::Resource(ResourceName::parse(resource).unwrap());
        Job { id: Id::from_uuid(Uuid::from_u128(number)), subject, task, serial: 0, actor: String::new(), created: Timestamp(0) }
    }

    #[test]
    fn what_leaves_a_node_is_known_as_long_as_its_job_is_open() {
        let mut cluster = Cluster::empty(Id::from_uuid(Uuid::nil()));
        let on = |name: &str| Awaited { node: node(name), item: Uuid::nil() };
        let moving = |step| Task::Move { from: on("alpha"), to: on("bravo"), step, made: crate::job::Made::Replicas };
        let delete =
            |definition| Task::Delete { replicas: vec![on("alpha"), on("bravo")], definition, firm: false, step: DeleteStep::Remove };
        let names = |cluster: &Cluster, name: &str| -> Vec<String> {
            cluster.departures(&node(name)).filter_map(|job| job.resource().map(ToString::to_string)).collect()
        };
        for job in [job(1, "web", moving(MoveStep::Fill)), job(2, "db", delete(false)), job(3, "zoo", delete(true))] {
            cluster.fold([&Change::Put(Object::Job(job))]);
        }
        assert_eq!((names(&cluster, "alpha"), names(&cluster, "bravo")), (vec!["db".to_owned(), "web".to_owned()], vec!["db".to_owned()]));
        assert_eq!(cluster.last_departure(&node("alpha")).unwrap().as_str(), "web");
        cluster.fold([
            &Change::Put(Object::Job(job(1, "web", moving(MoveStep::Leave)))),
            &Change::Delete(Key::Job(job(2, "db", delete(false)).id)),
        ]);
        assert_eq!((names(&cluster, "alpha"), names(&cluster, "bravo")), (vec!["web".to_owned()], Vec::new()));
        cluster.fold([&Change::Delete(Key::Job(Id::from_uuid(Uuid::from_u128(1))))]);
        assert_eq!(cluster.last_departure(&node("alpha")), None);
    }
}
