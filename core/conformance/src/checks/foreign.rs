//! What is not the cluster's own.

use berth_plugin_sdk::{FaultKind, Kib, Mark, MarkKind, Marked, New};

use crate::trial::{Stop, Trial, Verdict, failed, hold};

/// Every operation on `meant`, whose name something else has, is refused and changes nothing.
fn never_touched(t: &Trial<'_>, meant: &New) -> Verdict {
    let before = t.inventory()?;
    let known = meant.known();
    let foreign = [FaultKind::Foreign];
    let larger = t.round(Kib(t.size().0.saturating_mul(2)));
    let (p, on) = (t.provider, t.on());
    let target = t.volume("copy")?;
    t.refused("create under its name", p.create(on, meant, t.size()), &foreign)?;
    t.refused("grow", p.grow(on, &known, larger), &foreign)?;
    t.refused("delete", p.delete(on, &known), &foreign)?;
    t.refused("delete as a snapshot", p.delete_snapshot(on, &known), &foreign)?;
    t.refused("attach", p.attach(on, &known), &foreign)?;
    t.refused("detach", p.detach(on, &known), &foreign)?;
    t.refused("clone", p.clone_volume(on, &known, &target, t.size()), &foreign)?;
    let source = t.volume("source")?;
    t.create(&source, t.size())?;
    t.refused("clone to its name", p.clone_volume(on, &source.known(), meant, t.size()), &foreign)?;
    if t.abilities.no_snapshots.is_none() {
        let snapshot = t.snapshot_of(&source, "s")?;
        t.snapshot(&source, &snapshot)?;
        t.refused("snapshot", p.snapshot(on, &known, &target), &foreign)?;
        t.refused("snapshot to its name", p.snapshot(on, &source.known(), meant), &foreign)?;
        t.refused("rollback", p.rollback(on, meant, &snapshot.known()), &foreign)?;
        let rolled = p.rollback(on, &t.recontent(&source), &known);
        t.refused("rollback to it", rolled, &foreign)?;
        t.refused("restore of it", p.restore(on, &known, &target, t.size()), &foreign)?;
        t.refused("restore to its name", p.restore(on, &snapshot.known(), meant, t.size()), &foreign)?;
        t.ok("delete of the kit's snapshot", p.delete_snapshot(on, &snapshot.known()))?;
    }
    t.delete(&source.known())?;
    for cluster in [t.settings.cluster, t.other] {
        t.ok("clean", p.clean(on, cluster))?;
    }
    t.same(&before, "after operations that were refused")
}

pub(super) fn generation(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("gen", 5)?;
    let meant = New { mark: Mark { generation: t.id(), ..volume.mark.clone() }, ..volume.clone() };
    never_touched(t, &meant)?;
    t.reads(&volume, 5, "after operations on another generation")
}

pub(super) fn cluster(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("cluster", 6)?;
    let meant = New { mark: Mark { cluster: t.other, ..volume.mark.clone() }, ..volume.clone() };
    never_touched(t, &meant)?;
    t.reads(&volume, 6, "after operations of another cluster")
}

/// Something without a mark under a name that the provider takes for one of its own.
fn stranger(t: &Trial<'_>, label: &str) -> Verdict<(New, String)> {
    let name = t.volume(label)?.name;
    match t.unmarked(name.as_str(), t.size())? {
        Some(found) => Ok(found),
        None => Err(Stop::Skipped("the bench cannot take marks off".into())),
    }
}

pub(super) fn unmarked(t: &mut Trial<'_>) -> Verdict {
    let (meant, key) = stranger(t, "stranger")?;
    let checked = (|| {
        match t.look(&meant.name)? {
            Some(found) if found.marked == Marked::Unmarked || matches!(found.marked, Marked::Foreign(_)) => {}
            other => {
                return failed(
                    "an object that lost its mark is seen, as unmarked",
                    format!("{other:?}"),
                    "Take an object for what its mark says, and for nothing else",
                );
            }
        }
        never_touched(t, &meant)
    })();
    t.host("remove a stranger's object", t.bench.discard(&key))?;
    checked
}

pub(super) fn adopt(t: &mut Trial<'_>) -> Verdict {
    let missing = t.volume("adopt")?;
    match t.provider.adopt(t.on(), &missing, t.size()) {
        Err(fault) if fault.kind == FaultKind::Unsupported => return Err(Stop::Skipped("the provider does not adopt".into())),
        answer => t.refused("adoption of what is missing", answer, &[FaultKind::Lost])?,
    }
    t.gone(&missing.name)?;
    let (new, key) = stranger(t, "adopt")?;
    let checked = (|| {
        let before = t.inventory()?;
        let larger = t.round(Kib(t.size().0.saturating_mul(2)));
        t.refused("adoption of what is too small", t.provider.adopt(t.on(), &new, larger), &[FaultKind::Foreign])?;
        t.same(&before, "after a refused adoption")?;
        for _ in 0..2 {
            t.ok("adoption", t.provider.adopt(t.on(), &new, t.size()))?;
            t.found(&new)?;
        }
        let other = New { mark: Mark { generation: t.id(), ..new.mark.clone() }, ..new.clone() };
        t.refused("adoption of what is marked", t.provider.adopt(t.on(), &other, t.size()), &[FaultKind::Foreign])?;
        t.found(&new)?;
        t.delete(&new.known())?;
        t.gone(&new.name)
    })();
    t.host("remove a stranger's object", t.bench.discard(&key))?;
    checked
}

pub(super) fn clean(t: &mut Trial<'_>) -> Verdict {
    let kept = t.stamped("kept", 8)?;
    let served = t.attach(&kept)?;
    let theirs = t.named(&format!("{}_theirs", kept.name), MarkKind::Volume, t.other)?;
    let begun = t.inventory()?;
    // What the other cluster was interrupted at, as far as that leaves anything.
    for after in 0..64 {
        t.watch.cut(after);
        let answer = t.provider.create(t.on(), &theirs, t.size());
        let cut = t.watch.mend();
        let left = t.inventory()?;
        if left != begun {
            let cleaned = t.ok("clean", t.provider.clean(t.on(), t.settings.cluster))?;
            t.same(&left, &format!("after clean of a cluster, which named {cleaned:?}, where another one was interrupted"))?;
            t.ok("clean", t.provider.clean(t.on(), t.other))?;
        }
        if answer.is_ok() && !cut {
            break;
        }
        t.ok("delete", t.provider.delete(t.on(), &theirs.known()))?;
    }
    let found = t.found(&kept)?;
    let still = found.device.is_none_or(|device| device == served);
    hold(still, "clean leaves devices alone", || "the device is another one".into(), "Clean removes only what was never finished")?;
    t.reads(&kept, 8, "after clean")?;
    t.found(&theirs).map(|_| ())
}
