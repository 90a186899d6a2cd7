//! What a satellite must do next for one item of its plan: plan against machine, level against level.
//!
//! The satellite looks, asks [`reconcile`], runs the first step, looks again. Nothing is remembered between two looks, so it does not
//! matter where the last attempt was cut. What the plan does not name is not looked at; only what it names [`Absent`](Wanted::Absent)
//! is removed, and only if its mark says that it is the one. Nothing that is in use is taken away. What carries no mark is left alone,
//! unless the plan says that an administrator took it in ([`Step::Adopt`]), which adds the mark and nothing else.

use std::collections::BTreeMap;

use berth_model::layers::LayerKind;
use berth_model::names::VolumeNumber;
use berth_model::observed::{Fault, FaultKind, Standing};
use berth_model::plan::{ContentSource, PlanItem, ResourcePlan, SnapshotPlan, SnapshotVolumePlan, VolumePlan, Wanted};
use berth_model::size::Kib;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// An item as the machine has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ItemFound {
    /// Layers of the item's stack that the machine cannot do, and why.
    pub missing_layers: BTreeMap<LayerKind, String>,
    /// What was found for each volume that the plan names, in any order. One that is missing here was not looked at: nothing is done.
    pub volumes: Vec<VolumeFound>,
}

/// A volume, or a snapshot's copy of one, as the machine has it.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeFound {
    /// Number.
    pub number: VolumeNumber,
    /// Why its pool cannot be used; nothing else is known then.
    pub pool_fault: Option<Fault>,
    /// The object of the plan's backing name.
    pub backing: Backing,
    /// The object that the data comes from, if the plan names one.
    pub source: Backing,
    /// The device that serves it.
    pub device: Option<DeviceFound>,
    /// Where the stable path of this volume points.
    pub link: Option<String>,
}

/// The object of a backing name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// There is nothing of that name.
    Missing,
    /// It carries the mark of the item.
    Ours {
        /// Content id of the mark.
        content: Uuid,
        /// Its size.
        size: Kib,
        /// Space that it really takes.
        allocated: Kib,
    },
    /// It carries no mark. Nothing of ours made it.
    Unmarked {
        /// Its size.
        size: Kib,
    },
    /// It carries the mark of something else, or cannot be such an object at all: why.
    Foreign(String),
}

/// A device that serves a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFound {
    /// Its path.
    pub path: String,
    /// Its size.
    pub size: Kib,
    /// Somebody uses it: it is mounted, below another device, or opened exclusively.
    pub in_use: bool,
}

/// One action on one volume; everything else about it stands in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the volume, of zeroes.
    Create(VolumeNumber),
    /// Make the volume from the snapshot that the plan names.
    Restore(VolumeNumber),
    /// Make the volume from the volume that the plan names.
    Clone(VolumeNumber),
    /// Give the volume the data of the snapshot that the plan names.
    Rollback(VolumeNumber),
    /// Make the volume, and its device if it has one, as large as the plan wants.
    Grow(VolumeNumber),
    /// Serve the volume as a device.
    Attach(VolumeNumber),
    /// End the device.
    Detach(VolumeNumber),
    /// Point the stable path at the device.
    Link(VolumeNumber),
    /// Remove the stable path.
    Unlink(VolumeNumber),
    /// Remove the volume with its data.
    Delete(VolumeNumber),
    /// Mark what lies there unmarked as the volume, or as the snapshot's copy of it.
    Adopt(VolumeNumber),
    /// Take the snapshot's copy.
    TakeSnapshot(VolumeNumber),
    /// Remove the snapshot's copy.
    DeleteSnapshot(VolumeNumber),
    /// Do nothing for this volume, for this reason.
    Refuse(VolumeNumber, Fault),
}

impl Step {
    /// The volume that the step is about.
    #[must_use]
    pub fn number(&self) -> VolumeNumber {
        match self {
            Self::Create(n)
            | Self::Restore(n)
            | Self::Clone(n)
            | Self::Rollback(n)
            | Self::Grow(n)
            | Self::Attach(n)
            | Self::Detach(n)
            | Self::Link(n)
            | Self::Unlink(n)
            | Self::Delete(n)
            | Self::Adopt(n)
            | Self::TakeSnapshot(n)
            | Self::DeleteSnapshot(n)
            | Self::Refuse(n, _) => *n,
        }
    }

    /// Whether the step changes what is stored. A satellite that has not heard from its controller since it started
    /// only takes the other ones: its plan may be an old one.
    #[must_use]
    pub fn changes_data(&self) -> bool {
        match self {
            Self::Create(_)
            | Self::Restore(_)
            | Self::Clone(_)
            | Self::Rollback(_)
            | Self::Grow(_)
            | Self::Delete(_)
            | Self::Adopt(_)
            | Self::TakeSnapshot(_)
            | Self::DeleteSnapshot(_) => true,
            Self::Attach(_) | Self::Detach(_) | Self::Link(_) | Self::Unlink(_) | Self::Refuse(..) => false,
        }
    }
}

/// The steps that lead from what was found to what is planned, in order; empty: it is as planned.
///
/// A [`Step::Refuse`] stands for what cannot be done; steps of other volumes go on.
#[must_use]
pub fn reconcile(plan: &PlanItem, found: &ItemFound) -> Vec<Step> {
    match plan {
        PlanItem::Resource(plan) => resource(plan, found),
        PlanItem::Snapshot(plan) => snapshot(plan, found),
    }
}

/// Where an item stands that still needs these steps.
#[must_use]
pub fn standing(plan: &PlanItem, steps: &[Step]) -> (Standing, Option<Fault>) {
    let refused = steps.iter().find_map(|step| match step {
        Step::Refuse(_, fault) => Some(fault.clone()),
        Step::Create(_)
        | Step::Restore(_)
        | Step::Clone(_)
        | Step::Rollback(_)
        | Step::Grow(_)
        | Step::Attach(_)
        | Step::Detach(_)
        | Step::Link(_)
        | Step::Unlink(_)
        | Step::Delete(_)
        | Step::Adopt(_)
        | Step::TakeSnapshot(_)
        | Step::DeleteSnapshot(_) => None,
    });
    match (refused, steps.is_empty(), plan.wanted()) {
        (Some(fault), _, _) => (Standing::Faulty, Some(fault)),
        (None, false, _) => (Standing::Working, None),
        (None, true, Wanted::Absent) => (Standing::Gone, None),
        (None, true, Wanted::Active | Wanted::Inactive) => (Standing::Settled, None),
    }
}

fn fault(kind: FaultKind, message: String, cause: String, correction: &str) -> Fault {
    Fault { kind, message, cause, correction: correction.to_owned(), details: String::new(), holders: Vec::new() }
}

fn resource(plan: &ResourcePlan, found: &ItemFound) -> Vec<Step> {
    let mut steps = Vec::new();
    for volume in &plan.volumes {
        let Some(seen) = found.volumes.iter().find(|seen| seen.number == volume.number) else { continue };
        match wanted(plan, volume) {
            Wanted::Absent => remove(plan, volume, seen, &mut steps),
            wanted @ (Wanted::Active | Wanted::Inactive) => {
                if let Some((layer, why)) = found.missing_layers.iter().next() {
                    steps.push(Step::Refuse(volume.number, layer_missing(plan, *layer, why)));
                } else if !plan.diskless {
                    keep(plan, volume, seen, wanted, &mut steps);
                }
            }
        }
    }
    steps
}

/// What is wanted of a volume of a replica: nothing is left of one that goes.
#[must_use]
pub fn wanted(plan: &ResourcePlan, volume: &VolumePlan) -> Wanted {
    if plan.wanted == Wanted::Absent { Wanted::Absent } else { volume.wanted }
}

fn layer_missing(plan: &ResourcePlan, layer: LayerKind, why: &str) -> Fault {
    fault(
        FaultKind::Unsupported,
        format!("Resource '{}' needs the layer {layer}, which this node cannot do", plan.resource),
        why.to_owned(),
        "Install what is missing on the node, or place the resource elsewhere",
    )
}

/// Whoever knows the machine adds who it is ([`Fault::holders`]).
fn in_use(what: &str, name: &str, seen: &VolumeFound) -> Fault {
    let path = seen.device.as_ref().map_or("", |device| device.path.as_str());
    fault(
        FaultKind::InUse,
        format!("Volume {} of resource '{name}' cannot be {what} while it is in use", seen.number),
        format!("{path} is used, by whom is not known"),
        "Unmount the device, or stop the program that has it open",
    )
}

fn is_used(seen: &VolumeFound) -> bool {
    seen.device.as_ref().is_some_and(|device| device.in_use)
}

/// Takes a volume away, the stable path first, so that nobody finds a device that is about to go.
fn remove(plan: &ResourcePlan, volume: &VolumePlan, seen: &VolumeFound, steps: &mut Vec<Step>) {
    let number = volume.number;
    if plan.diskless {
        if is_used(seen) {
            steps.push(Step::Refuse(number, in_use("deleted", plan.resource.as_str(), seen)));
        }
        return;
    }
    if let Some(why) = &seen.pool_fault {
        return steps.push(Step::Refuse(number, why.clone()));
    }
    match &seen.backing {
        // What has the name is another object: nothing of this one is left but perhaps the path to it.
        Backing::Missing | Backing::Unmarked { .. } | Backing::Foreign(_) => {
            if seen.link.is_some() {
                steps.push(Step::Unlink(number));
            }
        }
        Backing::Ours { .. } if is_used(seen) => {
            steps.push(Step::Refuse(number, in_use("deleted", plan.resource.as_str(), seen)));
        }
        Backing::Ours { .. } => {
            if seen.link.is_some() {
                steps.push(Step::Unlink(number));
            }
            if seen.device.is_some() {
                steps.push(Step::Detach(number));
            }
            steps.push(Step::Delete(number));
        }
    }
}

fn keep(plan: &ResourcePlan, volume: &VolumePlan, seen: &VolumeFound, wanted: Wanted, steps: &mut Vec<Step>) {
    let number = volume.number;
    if let Some(why) = &seen.pool_fault {
        return steps.push(Step::Refuse(number, why.clone()));
    }
    let name = plan.resource.as_str();
    let filled = match &seen.backing {
        Backing::Foreign(why) => {
            return steps.push(Step::Refuse(number, foreign(&volume.backing, volume.pool.as_str(), why)));
        }
        Backing::Unmarked { .. } if volume.content.source != ContentSource::Kept => {
            return steps.push(Step::Refuse(number, foreign(&volume.backing, volume.pool.as_str(), UNMARKED)));
        }
        Backing::Unmarked { .. } if plan.adopt => return steps.push(Step::Adopt(number)),
        Backing::Unmarked { size } => {
            let what = format!("volume {number} of resource '{name}'");
            let place = (volume.backing.as_str(), volume.pool.as_str());
            return steps.push(Step::Refuse(number, unmarked(&what, name, place, *size, volume.backing_kib)));
        }
        Backing::Missing => match fill(name, volume, seen) {
            Ok(step) => step,
            Err(why) => return steps.push(Step::Refuse(number, why)),
        },
        Backing::Ours { content, .. } if *content != volume.content.id.uuid() => match refill(name, volume, seen) {
            Ok(step) => step,
            Err(why) => return steps.push(Step::Refuse(number, why)),
        },
        Backing::Ours { size, .. } => {
            let short = *size < volume.backing_kib || seen.device.as_ref().is_some_and(|device| device.size < *size);
            if short {
                steps.push(Step::Grow(number));
            }
            return serve(name, seen, wanted, number, steps);
        }
    };
    // What comes after is decided by the next look.
    if matches!(filled, Step::Rollback(_)) {
        if seen.link.is_some() {
            steps.push(Step::Unlink(number));
        }
        if seen.device.is_some() {
            steps.push(Step::Detach(number));
        }
    }
    steps.push(filled);
}

/// Brings device and stable path to what is wanted.
fn serve(name: &str, seen: &VolumeFound, wanted: Wanted, number: VolumeNumber, steps: &mut Vec<Step>) {
    match (wanted, &seen.device) {
        (Wanted::Active, None) => {
            // The device that it points at may serve somebody else by now.
            if seen.link.is_some() {
                steps.push(Step::Unlink(number));
            }
            steps.push(Step::Attach(number));
            steps.push(Step::Link(number));
        }
        (Wanted::Active, Some(device)) => {
            if seen.link.as_deref() != Some(device.path.as_str()) {
                steps.push(Step::Link(number));
            }
        }
        (Wanted::Inactive | Wanted::Absent, _) if is_used(seen) => {
            steps.push(Step::Refuse(number, in_use("deactivated", name, seen)));
        }
        (Wanted::Inactive | Wanted::Absent, device) => {
            if seen.link.is_some() {
                steps.push(Step::Unlink(number));
            }
            if device.is_some() {
                steps.push(Step::Detach(number));
            }
        }
    }
}

fn foreign(backing: &str, pool: &str, why: &str) -> Fault {
    fault(
        FaultKind::Foreign,
        format!("'{backing}' in storage pool '{pool}' is not the object that is meant"),
        why.to_owned(),
        "Find out whose data it is; move the object away if it belongs elsewhere",
    )
}

/// What is said of an object without a mark.
const UNMARKED: &str = "it carries no mark of Berth";

/// An unmarked object in the place of data that was there before: most likely it is that data, from before an import. Nobody is ever
/// told to delete it. `least`: the size that it must have; 0: not known.
fn unmarked(what: &str, resource: &str, (backing, pool): (&str, &str), size: Kib, least: Kib) -> Fault {
    let message = format!("'{backing}' in storage pool '{pool}' carries no mark of Berth; it is probably {what} from before the import");
    let large = format!("It has {} KiB, and nobody said yet that it is to be served", size.0);
    let (cause, correction) = if size < least {
        let small = format!("It has {} KiB, and {} KiB are needed: perhaps it is another one, or was cut short", size.0, least.0);
        (small, "Find the right file on the old system, and put it in this place; nothing here is touched meanwhile".to_owned())
    } else {
        let take_in = format!("Take it in with its data: 'berth drift adopt NODE --resource {resource}', or '--all' for everything there");
        (large, take_in)
    };
    fault(FaultKind::Foreign, message, cause, &correction)
}

fn lost(message: String, cause: &str, correction: &str) -> Fault {
    fault(FaultKind::Lost, message, cause.to_owned(), correction)
}

/// The step that makes a missing volume.
fn fill(name: &str, volume: &VolumePlan, seen: &VolumeFound) -> Result<Step, Fault> {
    let number = volume.number;
    let from = |step: Step, backing: &str| source(name, number, volume.pool.as_str(), backing, &seen.source).map(|()| step);
    match &volume.content.source {
        ContentSource::Fresh | ContentSource::Peers => Ok(Step::Create(number)),
        ContentSource::Kept => Err(lost(
            format!("The data of volume {number} of resource '{name}' is missing"),
            &format!("'{}' was in storage pool '{}' and is gone", volume.backing, volume.pool),
            "Restore it from a snapshot or a backup, or delete the resource",
        )),
        ContentSource::Snapshot { backing, .. } => from(Step::Restore(number), backing),
        ContentSource::Volume { backing, .. } => from(Step::Clone(number), backing),
    }
}

/// The step that gives a volume that is there the content that is wanted.
fn refill(name: &str, volume: &VolumePlan, seen: &VolumeFound) -> Result<Step, Fault> {
    let number = volume.number;
    match &volume.content.source {
        ContentSource::Snapshot { backing, .. } => {
            source(name, number, volume.pool.as_str(), backing, &seen.source)?;
            if is_used(seen) { Err(in_use("rolled back", name, seen)) } else { Ok(Step::Rollback(number)) }
        }
        ContentSource::Fresh | ContentSource::Peers | ContentSource::Kept | ContentSource::Volume { .. } => Err(lost(
            format!("Volume {number} of resource '{name}' holds other data than it should"),
            &format!("'{}' in storage pool '{}' is marked with another content", volume.backing, volume.pool),
            "Roll the resource back to a snapshot, or delete it and create it again",
        )),
    }
}

fn source(name: &str, number: VolumeNumber, pool: &str, backing: &str, found: &Backing) -> Result<(), Fault> {
    match found {
        Backing::Ours { .. } => Ok(()),
        Backing::Missing => Err(lost(
            format!("The data for volume {number} of resource '{name}' is missing"),
            &format!("'{backing}' is not in storage pool '{pool}'"),
            "Choose a snapshot or a resource that this node still holds",
        )),
        Backing::Unmarked { .. } => Err(foreign(backing, pool, UNMARKED)),
        Backing::Foreign(why) => Err(foreign(backing, pool, why)),
    }
}

fn snapshot(plan: &SnapshotPlan, found: &ItemFound) -> Vec<Step> {
    let mut steps = Vec::new();
    for volume in &plan.volumes {
        let Some(seen) = found.volumes.iter().find(|seen| seen.number == volume.number) else { continue };
        let step = match (&seen.pool_fault, plan.wanted, &seen.backing) {
            (Some(why), _, _) => Some(Step::Refuse(volume.number, why.clone())),
            // Nothing of ours serves a snapshot, but an administrator may have attached it.
            (None, Wanted::Absent, Backing::Ours { .. }) => Some(if is_used(seen) {
                Step::Refuse(volume.number, in_use("removed from a snapshot", plan.resource.as_str(), seen))
            } else {
                Step::DeleteSnapshot(volume.number)
            }),
            (None, Wanted::Absent, Backing::Missing | Backing::Unmarked { .. } | Backing::Foreign(_)) => None,
            (None, Wanted::Active | Wanted::Inactive, Backing::Ours { .. }) => None,
            (None, Wanted::Active | Wanted::Inactive, Backing::Foreign(why)) => {
                Some(Step::Refuse(volume.number, foreign(&volume.backing, volume.pool.as_str(), why)))
            }
            (None, Wanted::Active | Wanted::Inactive, Backing::Unmarked { .. }) if !plan.taken => {
                Some(Step::Refuse(volume.number, foreign(&volume.backing, volume.pool.as_str(), UNMARKED)))
            }
            (None, Wanted::Active | Wanted::Inactive, Backing::Unmarked { .. }) if plan.adopt => Some(Step::Adopt(volume.number)),
            (None, Wanted::Active | Wanted::Inactive, Backing::Unmarked { size }) => {
                let what = format!("snapshot '{}' of volume {} of resource '{}'", plan.snapshot, volume.number, plan.resource);
                let place = (volume.backing.as_str(), volume.pool.as_str());
                Some(Step::Refuse(volume.number, unmarked(&what, plan.resource.as_str(), place, *size, Kib(0))))
            }
            (None, Wanted::Active | Wanted::Inactive, Backing::Missing) => Some(take(plan, volume, seen)),
        };
        steps.extend(step);
    }
    steps
}

fn take(plan: &SnapshotPlan, volume: &SnapshotVolumePlan, seen: &VolumeFound) -> Step {
    if plan.taken {
        let why = lost(
            format!("Volume {} of snapshot '{}' of resource '{}' is missing", volume.number, plan.snapshot, plan.resource),
            &format!("'{}' was in storage pool '{}' and is gone", volume.backing, volume.pool),
            "Delete the snapshot",
        );
        return Step::Refuse(volume.number, why);
    }
    match source(plan.resource.as_str(), volume.number, volume.pool.as_str(), &volume.source_backing, &seen.source) {
        Ok(()) => Step::TakeSnapshot(volume.number),
        Err(why) => Step::Refuse(volume.number, why),
    }
}
