//! Operations that are cut short before each of their requests in turn, as a killed process does it.

use berth_plugin_sdk::{Fault, Kib, Machine, Marked, New};

use crate::bench::Inventory;
use crate::trial::{Stop, Trial, Verdict, failed, hold, said};

/// More requests than any operation needs.
const MOST: u32 = 400;

/// What an operation works on.
struct Scene {
    /// The volume.
    volume: New,
    /// What the operation makes or needs besides, if it does.
    other: Option<New>,
    /// What the operation leaves: the marks that its objects may have at any time.
    allowed: Vec<New>,
}

/// A call of the provider.
type Run = dyn Fn(&Trial<'_>, &dyn Machine, &Scene) -> Result<(), Fault>;

/// An operation.
struct Operation<'f> {
    what: &'f str,
    /// What is there before.
    prepare: &'f dyn Fn(&Trial<'_>) -> Verdict<Scene>,
    /// The operation.
    run: &'f Run,
    /// Once it has succeeded.
    settled: &'f dyn Fn(&Trial<'_>, &Scene) -> Verdict,
    /// At any time; data may be the old or the new.
    anytime: &'f dyn Fn(&Trial<'_>, &Scene) -> Verdict,
}

impl Scene {
    fn other(&self) -> Result<&New, Fault> {
        self.other.as_ref().ok_or_else(|| Fault::new(berth_plugin_sdk::FaultKind::Bug, "The kit prepared no second object"))
    }
}

fn nothing_more(_: &Trial<'_>, _: &Scene) -> Verdict {
    Ok(())
}

/// Twice for each request: cut and repeated; cut, cleaned, and deleted.
fn drive(t: &Trial<'_>, operation: &Operation<'_>) -> Verdict {
    let begin = t.inventory()?;
    for after in 0..MOST {
        let repeated = once(t, operation, after, true, &begin)?;
        once(t, operation, after, false, &begin)?;
        if repeated == Cut::NotReached {
            return Ok(());
        }
    }
    failed(
        format!("{} ends within {MOST} requests", operation.what),
        "it goes on",
        "Count your requests: an operation on one volume needs a few, whatever is in the pool",
    )
}

#[derive(PartialEq, Eq)]
enum Cut {
    Reached,
    NotReached,
}

fn once(t: &Trial<'_>, operation: &Operation<'_>, after: u32, repeat: bool, begin: &Inventory) -> Verdict<Cut> {
    let scene = (operation.prepare)(t)?;
    t.watch.cut(after);
    let answer = (operation.run)(t, t.on(), &scene);
    let reached = t.watch.mend();
    let when = format!("{} was cut short before its request {}", operation.what, after.saturating_add(1));
    if !reached {
        t.ok(operation.what, answer)?;
        (operation.settled)(t, &scene)?;
    } else if answer.is_ok() {
        // It went on without an answer; then what it says must be true.
        (operation.settled)(t, &scene).map_err(|stop| told(stop, &format!("{when}, and said that all is done")))?;
    }
    anytime(t, operation, &scene).map_err(|stop| told(stop, &when))?;
    if !repeat {
        t.ok("clean", t.provider.clean(t.on(), t.settings.cluster)).map_err(|stop| told(stop, &when))?;
        anytime(t, operation, &scene).map_err(|stop| told(stop, &format!("{when}, and clean has run")))?;
    } else if let Err(fault) = (operation.run)(t, t.on(), &scene) {
        return failed(
            format!("{} succeeds when it is repeated after {when}", operation.what),
            said(&fault),
            "Recognise what an earlier call has left (its mark is the cluster's), and finish or remove it",
        );
    } else {
        (operation.settled)(t, &scene).map_err(|stop| told(stop, &format!("{when}, and repeated")))?;
    }
    t.tidy(begin).map_err(|stop| told(stop, &when))?;
    Ok(if reached { Cut::Reached } else { Cut::NotReached })
}

fn told(stop: Stop, when: &str) -> Stop {
    match stop {
        Stop::Failed(finding) => Stop::Failed(crate::Finding { expected: format!("after {when}: {}", finding.expected), ..finding }),
        Stop::Skipped(why) => Stop::Skipped(why),
    }
}

/// A name stands for nothing, or for an object with a mark that it may have.
fn anytime(t: &Trial<'_>, operation: &Operation<'_>, scene: &Scene) -> Verdict {
    for new in &scene.allowed {
        let Some(found) = t.look(&new.name)? else { continue };
        let may = scene.allowed.iter().any(|one| one.name == new.name && found.marked == Marked::By(one.mark.clone()));
        hold(
            may,
            format!("'{}' is not there, or has its mark", new.name),
            || format!("{:?}", found.marked),
            "An object gets its mark before it gets its name (or in the same step)",
        )?;
    }
    t.ok("list", t.provider.list(t.on()))?;
    (operation.anytime)(t, scene)
}

fn one(volume: New) -> Scene {
    Scene { allowed: vec![volume.clone()], other: None, volume }
}

fn two(volume: New, other: New) -> Scene {
    Scene { allowed: vec![volume.clone(), other.clone()], other: Some(other), volume }
}

fn there(t: &Trial<'_>, scene: &Scene) -> Verdict {
    t.found(&scene.volume).map(|_| ())
}

fn larger(t: &Trial<'_>) -> Kib {
    t.round(Kib(t.size().0.saturating_mul(2)))
}

pub(super) fn probe(t: &mut Trial<'_>) -> Verdict {
    let extent = t.abilities.extent;
    drive(
        t,
        &Operation {
            what: "probe",
            prepare: &|t| Ok(one(t.stamped("probe", 1)?)),
            run: &|t, on, _| t.provider.probe(on).map(|_| ()),
            settled: &|t, _| {
                let seen = t.ok("probe", t.provider.probe(t.on()))?.extent;
                hold(seen == extent, format!("an extent of {extent}"), || seen.to_string(), "Keep nothing between calls")
            },
            anytime: &there,
        },
    )
}

pub(super) fn create(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "create",
            prepare: &|t| Ok(one(t.volume("cut")?)),
            run: &|t, on, scene| t.provider.create(on, &scene.volume, t.size()),
            settled: &|t, scene| {
                let seen = t.found(&scene.volume)?.size;
                hold(seen == t.size(), format!("a volume of {}", t.size()), || seen.to_string(), "Finish what was begun")?;
                t.reads(&scene.volume, 0, "made")
            },
            anytime: &nothing_more,
        },
    )
}

pub(super) fn grow(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "grow of a volume in use",
            prepare: &|t| {
                let volume = t.stamped("cut", 2)?;
                t.attach(&volume)?;
                Ok(one(volume))
            },
            run: &|t, on, scene| t.provider.grow(on, &scene.volume.known(), larger(t)),
            settled: &|t, scene| {
                let (seen, device) = (t.found(&scene.volume)?.size, t.attach(&scene.volume)?.size);
                let wanted = larger(t);
                let both = seen == wanted && device == wanted;
                hold(both, format!("volume and device of {wanted}"), || format!("{seen}, {device}"), "Look at the device each time")
            },
            anytime: &|t, scene| {
                let seen = t.found(&scene.volume)?.size;
                let either = seen == t.size() || seen == larger(t);
                hold(either, "the old size or the new one", || seen.to_string(), "Grow in one step")?;
                t.reads(&scene.volume, 2, "grown, perhaps")?;
                t.attach(&scene.volume).map(|_| ())
            },
        },
    )
}

pub(super) fn attach(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "attach",
            prepare: &|t| Ok(one(t.stamped("cut", 3)?)),
            run: &|t, on, scene| t.provider.attach(on, &scene.volume.known()).map(|_| ()),
            settled: &|t, scene| t.attach(&scene.volume).map(|_| ()),
            anytime: &|t, scene| t.reads(&scene.volume, 3, "attached, perhaps"),
        },
    )
}

pub(super) fn detach(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "detach",
            prepare: &|t| {
                let volume = t.stamped("cut", 4)?;
                t.attach(&volume)?;
                Ok(one(volume))
            },
            run: &|t, on, scene| t.provider.detach(on, &scene.volume.known()),
            settled: &there,
            anytime: &there,
        },
    )
}

pub(super) fn delete(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "delete",
            prepare: &|t| {
                let volume = t.stamped("cut", 5)?;
                t.attach(&volume)?;
                Ok(one(volume))
            },
            run: &|t, on, scene| t.provider.delete(on, &scene.volume.known()),
            settled: &|t, scene| t.gone(&scene.volume.name),
            anytime: &nothing_more,
        },
    )
}

pub(super) fn clone(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "clone",
            prepare: &|t| {
                let volume = t.stamped("cut", 6)?;
                Ok(two(volume, t.volume("copy")?))
            },
            run: &|t, on, scene| t.clone(on, &scene.volume, scene.other()?, larger(t)),
            settled: &made(6),
            anytime: &there,
        },
    )
}

pub(super) fn restore(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "restore",
            prepare: &|t| {
                let volume = t.stamped("cut", 7)?;
                let snapshot = t.snapshot_of(&volume, "s")?;
                t.snapshot(&volume, &snapshot)?;
                Ok(two(snapshot, t.volume("copy")?))
            },
            run: &|t, on, scene| t.restore(on, &scene.volume, scene.other()?, larger(t)),
            settled: &made(7),
            anytime: &there,
        },
    )
}

/// A second object with this data, twice the usual size.
fn made(stamp: u64) -> impl Fn(&Trial<'_>, &Scene) -> Verdict {
    move |t, scene| {
        let other = t.host("prepare", scene.other())?;
        let seen = t.found(other)?.size;
        hold(seen == larger(t), format!("a volume of {}", larger(t)), || seen.to_string(), "Look at the size each time")?;
        t.reads(other, stamp, "made from another")
    }
}

pub(super) fn snapshot(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "snapshot",
            prepare: &|t| {
                let volume = t.stamped("cut", 8)?;
                let snapshot = t.snapshot_of(&volume, "s")?;
                Ok(two(volume, snapshot))
            },
            run: &|t, on, scene| t.provider.snapshot(on, &scene.volume.known(), scene.other()?),
            settled: &|t, scene| t.found(t.host("prepare", scene.other())?).map(|_| ()),
            anytime: &|t, scene| t.reads(&scene.volume, 8, "snapshotted, perhaps"),
        },
    )
}

pub(super) fn delete_snapshot(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "delete of a snapshot",
            prepare: &|t| {
                let volume = t.stamped("cut", 9)?;
                let snapshot = t.snapshot_of(&volume, "s")?;
                t.snapshot(&volume, &snapshot)?;
                Ok(two(volume, snapshot))
            },
            run: &|t, on, scene| t.provider.delete_snapshot(on, &scene.other()?.known()),
            settled: &|t, scene| t.gone(&t.host("prepare", scene.other())?.name),
            anytime: &|t, scene| t.reads(&scene.volume, 9, "whose snapshot is deleted, perhaps"),
        },
    )
}

pub(super) fn rollback(t: &mut Trial<'_>) -> Verdict {
    drive(
        t,
        &Operation {
            what: "rollback",
            prepare: &|t| {
                let volume = t.stamped("cut", 10)?;
                let (first, second) = (t.snapshot_of(&volume, "s1")?, t.snapshot_of(&volume, "s2")?);
                t.snapshot(&volume, &first)?;
                t.write(&volume, 20)?;
                t.snapshot(&volume, &second)?;
                t.write(&volume, 30)?;
                let rolled = t.recontent(&volume);
                let allowed = vec![volume.clone(), rolled.clone(), first.clone(), second];
                Ok(Scene { volume: rolled, other: Some(first), allowed })
            },
            run: &|t, on, scene| t.provider.rollback(on, &scene.volume, &scene.other()?.known()),
            settled: &|t, scene| {
                t.found(&scene.volume)?;
                t.reads(&scene.volume, 10, "rolled back")?;
                scene.allowed.iter().skip(2).try_for_each(|snapshot| t.found(snapshot).map(|_| ()))
            },
            anytime: &old_or_new,
        },
    )
}

/// A volume that is rolled back, perhaps: it is there, and its mark says which data it has.
fn old_or_new(t: &Trial<'_>, scene: &Scene) -> Verdict {
    let Some(found) = t.look(&scene.volume.name)? else {
        return failed("the volume is there at any time", "look sees nothing", "Replace the volume in one step");
    };
    let new = found.marked == Marked::By(scene.volume.mark.clone());
    let stamp = t.read(&scene.volume)?;
    hold(
        stamp == if new { 10 } else { 30 },
        if new { "the snapshot's data, as its content id says" } else { "the old data, as its content id says" },
        || format!("data {stamp}"),
        "Change data and content id in one step, or make it so that the repeated call finishes before anybody reads",
    )
}

pub(super) fn adopt(t: &mut Trial<'_>) -> Verdict {
    let missing = t.volume("adopt")?;
    if let Err(fault) = t.provider.adopt(t.on(), &missing, t.size())
        && fault.kind == berth_plugin_sdk::FaultKind::Unsupported
    {
        return Err(Stop::Skipped("the provider does not adopt".into()));
    }
    for after in 0..MOST {
        let begin = t.inventory()?;
        let name = t.volume("adopt")?.name;
        let Some((new, key)) = t.unmarked(name.as_str(), t.size())? else {
            return Err(Stop::Skipped("the bench cannot take marks off".into()));
        };
        t.watch.cut(after);
        let _cut_short = t.provider.adopt(t.on(), &new, t.size());
        let reached = t.watch.mend();
        let again = t.provider.adopt(t.on(), &new, t.size());
        let checked = t.ok("adopt, repeated,", again).and_then(|()| t.found(&new)).and_then(|_| t.delete(&new.known()));
        t.host("remove a stranger's object", t.bench.discard(&key))?;
        checked?;
        t.same(&begin, "after the delete of an adopted volume")?;
        if !reached {
            return Ok(());
        }
    }
    failed("adopt ends", "it goes on", "Count your requests")
}
