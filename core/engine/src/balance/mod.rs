//! Balancing: bringing each definition to as many replicas as its group asks for, with the smallest movement. Pure; the controller asks
//! for a part of the definitions at a time, on a slow timer, and whoever wants it now.
//!
//! Missing replicas are placed by the group's rule. One of too many is removed at a time: never one that is in use, never one that was
//! not seen to hold the data, and never so that fewer than are wanted hold it. What replicates nothing is left alone: each replica has
//! data of its own. A tiebreaker that could not be made when it was first wanted is made in passing. Properties: REST API v1, `BalanceResources…`.

pub mod census;
mod choice;

use std::time::Duration;

use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::DefinitionFlag;
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{Resource, ResourceDefinition};
use berth_model::observed::Observed;
use berth_model::props::{Chain, Source};
use berth_model::reply::Reply;
use berth_model::time::Timestamp;

use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::resources::misdirected;
use crate::tiebreaker::{self, Verdict};
use crate::{lookup, risk, stack};

/// Whether a definition is balanced at all (definition, group, controller).
pub const ENABLED: &str = "BalanceResourcesEnabled";
/// Seconds between the beginnings of two rounds (controller).
pub const INTERVAL: &str = "BalanceResourcesInterval";
/// Seconds that each replica must exist before one of too many goes (controller).
pub const GRACE_PERIOD: &str = "BalanceResourcesGracePeriod";
/// Replicas without their disk above which a definition is left alone (definition, group, controller).
pub const SKIP_DISK_LIMIT: &str = "BalanceResourcesSkipDiskLimit";

const DEFAULT_SECONDS: u64 = 3600;
const DEFAULT_SKIP_DISK_LIMIT: u64 = 1;
/// Changes after which a command about many definitions stops, so that it stays one transaction (at most 100 writes).
const MOST_CHANGES: usize = 70;

/// What is to be done with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It has as many replicas as are wanted.
    Nothing,
    /// It has not, and is left as it is for now.
    LeaveAlone {
        /// Why, a clause without a full stop.
        why: String,
    },
    /// Replicas are placed.
    Add {
        /// How many.
        count: usize,
    },
    /// A replica goes.
    Remove {
        /// Its node.
        node: NodeName,
        /// Why this one, a clause without a full stop.
        why: String,
    },
}

/// What balancing finds at a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub resource: ResourceName,
    /// Replicas that count.
    pub replicas: usize,
    /// Replicas that its group asks for.
    pub wanted: usize,
    /// What is to be done.
    pub action: Action,
    /// Whether its tiebreaker is to be made, removed, or taken for the client that it is.
    pub tie: bool,
}

impl Finding {
    /// Whether something is to be done now.
    #[must_use]
    pub fn acts(&self) -> bool {
        match self.action {
            Action::Add { .. } | Action::Remove { .. } => true,
            Action::Nothing | Action::LeaveAlone { .. } => self.tie,
        }
    }
}

fn seconds(cluster: &Cluster, key: &str) -> u64 {
    let text = cluster.controller.props.get(key);
    text.and_then(|text| text.trim().parse::<i64>().ok()).map_or(DEFAULT_SECONDS, |seconds| u64::try_from(seconds).unwrap_or(0))
}

/// Time between the beginnings of two rounds; at least a second.
#[must_use]
pub fn interval(cluster: &Cluster) -> Duration {
    Duration::from_secs(seconds(cluster, INTERVAL).max(1))
}

fn chain<'c>(cluster: &'c Cluster, definition: &'c ResourceDefinition) -> Chain<'c> {
    Chain::new()
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::ResourceGroup, cluster.groups.get(&definition.group).map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props)
}

/// What is to be done with a definition at `now`; `None`: it does not exist. Costs what its replicas cost, unless one of too many goes.
#[must_use]
pub fn look(cluster: &Cluster, observed: &Observed, now: Timestamp, name: &ResourceName) -> Option<Finding> {
    let definition = cluster.definitions.get(name)?;
    let counted: Vec<&Resource> = cluster.replicas(name).map(AsRef::as_ref).filter(|replica| census::counts(cluster, replica)).collect();
    let tie = tiebreaker::is_used(cluster, observed, name)
        || matches!(tiebreaker::judge(cluster, name), Verdict::Surplus(_))
        || tiebreaker::can_be_made(cluster, observed, name);
    let Some(wanted) = census::wanted(cluster, definition) else {
        let why = "its group asks for diskless resources".to_owned();
        return Some(Finding {
            resource: name.clone(),
            replicas: counted.len(),
            wanted: counted.len(),
            action: Action::LeaveAlone { why },
            tie,
        });
    };
    let action = match counted.len() == wanted {
        true => Action::Nothing,
        false => match hindrance(cluster, definition, &counted) {
            Some(why) => Action::LeaveAlone { why },
            None if counted.len() < wanted => Action::Add { count: wanted - counted.len() },
            None => removal(cluster, observed, now, definition, &counted, wanted),
        },
    };
    let action = match action {
        Action::Add { .. } if !counted.iter().any(|replica| risk::holds_data(observed, replica)) => {
            Action::LeaveAlone { why: "no replica was seen to hold the data, so there is nothing to copy".to_owned() }
        }
        other => other,
    };
    Some(Finding { resource: name.clone(), replicas: counted.len(), wanted, action, tie })
}

/// Why a definition is left alone, whether it has too many replicas or too few.
fn hindrance(cluster: &Cluster, definition: &ResourceDefinition, counted: &[&Resource]) -> Option<String> {
    let chain = chain(cluster, definition);
    if let Some(found) = chain.effective(ENABLED).filter(|_| chain.get_bool(ENABLED) == Some(false)) {
        let place = match found.from {
            Source::ResourceDefinition => "the definition",
            Source::ResourceGroup => "its group",
            _ => "the controller",
        };
        return Some(format!("{ENABLED} is off on {place}"));
    }
    if let Some(flag) = DefinitionFlag::ALL.iter().find(|flag| definition.flags.has(**flag)) {
        return Some(format!("its definition is marked {}", flag.word()));
    }
    if definition.volumes.is_empty() {
        return Some("it has no volumes".to_owned());
    }
    if counted.is_empty() {
        return Some("nobody has placed it yet, or its data is gone".to_owned());
    }
    if !counted.iter().all(|replica| stack::replicates(&replica.layers)) {
        return Some("its layers do not replicate: each replica has data of its own".to_owned());
    }
    if let Some(job) = cluster.jobs_on(&definition.name).next() {
        return Some(format!("a {} of it is under way (job {})", job.task.word(), job.id));
    }
    if let Some(replica) = cluster.replicas(&definition.name).find(|replica| census::on_emptied_node(cluster, replica)) {
        return Some(format!("its node '{}' is being emptied", replica.node));
    }
    let limit = chain.get(SKIP_DISK_LIMIT).and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_SKIP_DISK_LIMIT);
    let skipping = cluster.replicas(&definition.name).filter(|replica| census::skips_disk(cluster, replica)).count();
    if u64::try_from(skipping).unwrap_or(u64::MAX) > limit {
        return Some(format!("{skipping} of its replicas run without their disk ({SKIP_DISK_LIMIT} is {limit})"));
    }
    None
}

/// Which one of too many replicas goes.
fn removal(
    cluster: &Cluster,
    observed: &Observed,
    now: Timestamp,
    definition: &ResourceDefinition,
    counted: &[&Resource],
    wanted: usize,
) -> Action {
    let grace = seconds(cluster, GRACE_PERIOD);
    let young =
        |replica: &&&Resource| now.0.saturating_sub(replica.created.0) < i64::try_from(grace.saturating_mul(1000)).unwrap_or(i64::MAX);
    if let Some(replica) = counted.iter().find(young) {
        // Somebody may be about to remove another one.
        return Action::LeaveAlone { why: format!("its replica on '{}' is younger than {GRACE_PERIOD} ({grace} s)", replica.node) };
    }
    let good = counted.iter().filter(|replica| risk::holds_data(observed, replica)).count();
    if good <= wanted {
        return Action::LeaveAlone { why: format!("{good} of its {} replicas were seen to hold the data, {wanted} must", counted.len()) };
    }
    choice::surplus(cluster, observed, definition, counted, wanted)
}

/// Balances the definitions that a command names, those that come first as far as one transaction holds them.
///
/// # Errors
/// 301 for an unknown definition. What cannot be placed is told and holds up no other.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    let Command::Balance { resources } = command else { return Err(misdirected(command)) };
    draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[]);
    let mut names = Vec::with_capacity(resources.len());
    for text in resources {
        names.push(lookup::definition(&draft.cluster, text)?.name.clone());
    }
    for (at, name) in names.iter().enumerate() {
        if draft.applied.changes.len() >= MOST_CHANGES {
            let left = names.len() - at;
            draft.reply(
                Reply::new(Code::WARN_NO_EFFECT, format!("{left} resource definitions were not looked at."))
                    .cause("One request changes a limited number of things at once.")
                    .correction("Repeat the request for the rest."),
            );
            break;
        }
        let Some(finding) = look(&draft.cluster, draft.context.observed, draft.context.now, name) else { continue };
        act(draft, &finding)?;
        if finding.tie {
            tiebreaker::settle(draft, name);
        }
    }
    Ok(())
}

fn act(draft: &mut Draft<'_>, finding: &Finding) -> Result<(), Refused> {
    let Finding { resource: name, replicas, wanted, action, tie: _ } = finding;
    let about = |reply: Reply| reply.refer("RscDfn", name);
    match action {
        Action::Nothing => {
            draft.reply(about(Reply::new(Code::INFO_NOOP, format!("'{name}' has {replicas} replicas, as many as are wanted."))))
        }
        Action::LeaveAlone { why } => {
            let text = format!("'{name}' has {replicas} replicas, {wanted} are wanted; it is left alone.");
            draft.reply(about(Reply::new(Code::WARN_NO_EFFECT, text).cause(format!("{why}."))));
        }
        Action::Add { count } => {
            let text = format!("'{name}' has {replicas} replicas, {wanted} are wanted: {count} more are placed.");
            let at = draft.applied.replies.len();
            match crate::spawn::place_missing(draft, name) {
                Ok(()) => draft.applied.replies.insert(at, about(Reply::new(Code::INFO_NOOP, text))),
                Err(error) => draft.reply(error),
            }
        }
        Action::Remove { node, why } => {
            let text = format!("'{name}' has {replicas} replicas, {wanted} are wanted: the one on '{node}' goes.");
            draft.reply(about(Reply::new(Code::INFO_NOOP, text).cause(format!("{why}."))));
            let at = draft.applied.replies.len();
            let outcome = crate::deletion::replica(draft, name.as_str(), node.as_str(), true);
            for reply in draft.applied.replies.iter_mut().skip(at) {
                *reply = reply.clone().of(Operation::Delete, ObjectMask::Resource).refer("RscDfn", name).refer("Node", node);
            }
            outcome?;
        }
    }
    Ok(())
}
