//! Snapshots, and volumes made from others.

use berth_plugin_sdk::{FaultKind, Kib, Known};

use crate::trial::{Stop, Trial, Verdict, hold};

pub(super) fn refused(t: &mut Trial<'_>) -> Verdict {
    if t.abilities.no_snapshots.is_none() {
        return Err(Stop::Skipped("the pool can".into()));
    }
    let volume = t.stamped("snap", 1)?;
    let snapshot = t.snapshot_of(&volume, "s")?;
    let before = t.inventory()?;
    let only = [FaultKind::Unsupported];
    t.refused("a snapshot", t.provider.snapshot(t.on(), &volume.known(), &snapshot), &only)?;
    t.same(&before, "after a refused snapshot")
}

fn delete(t: &Trial<'_>, snapshot: &Known) -> Verdict {
    t.ok(&format!("delete of snapshot '{}'", snapshot.name), t.provider.delete_snapshot(t.on(), snapshot))
}

pub(super) fn keeps(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("snap", 11)?;
    let snapshot = t.snapshot_of(&volume, "s")?;
    t.snapshot(&volume, &snapshot)?;
    let size = t.found(&snapshot)?.size;
    hold(size == t.size(), format!("a snapshot of {}", t.size()), || size.to_string(), "A snapshot has its volume's size")?;
    t.write(&volume, 12)?;
    let before = t.inventory()?;
    t.snapshot(&volume, &snapshot)?;
    t.same(&before, "after a repeated snapshot")?;
    let restored = t.volume("rest")?;
    t.ok("restore", t.restore(t.on(), &snapshot, &restored, t.size()))?;
    t.reads(&restored, 11, "restored after the volume was written to, and the snapshot repeated")?;
    t.reads(&volume, 12, "after the snapshot")?;
    for _ in 0..2 {
        delete(t, &snapshot.known())?;
        t.gone(&snapshot.name)?;
    }
    t.reads(&volume, 12, "after the snapshot was deleted")
}

pub(super) fn rollback(t: &mut Trial<'_>) -> Verdict {
    let volume = t.volume("roll")?;
    t.create(&volume, t.size())?;
    let mut snapshots = Vec::new();
    for stamp in 1..=3 {
        t.write(&volume, stamp)?;
        let snapshot = t.snapshot_of(&volume, &format!("s{stamp}"))?;
        t.snapshot(&volume, &snapshot)?;
        snapshots.push((snapshot, stamp));
    }
    let larger = t.round(Kib(t.size().0.saturating_mul(2)));
    t.ok("grow", t.provider.grow(t.on(), &volume.known(), larger))?;
    t.write(&volume, 9)?;
    for at in [0, 2, 1, 0] {
        let Some((snapshot, stamp)) = snapshots.get(at) else { continue };
        let wanted = t.recontent(&volume);
        let what = format!("rollback to the snapshot {} of 3", at.saturating_add(1));
        t.ok(&what, t.provider.rollback(t.on(), &wanted, &snapshot.known()))?;
        let size = t.found(&wanted)?.size;
        hold(size == t.size(), format!("the snapshot's size of {}", t.size()), || size.to_string(), "A rollback gives the size back, too")?;
        t.reads(&wanted, *stamp, &format!("after the {what}"))?;
        t.write(&wanted, 50)?;
        t.ok(&what, t.provider.rollback(t.on(), &wanted, &snapshot.known()))?;
        t.reads(&wanted, 50, "rolled back, written to, and the same rollback repeated")?;
        for (other, _) in &snapshots {
            t.found(other)?;
        }
    }
    for (snapshot, stamp) in &snapshots {
        let restored = t.volume("rest")?;
        t.ok("restore", t.restore(t.on(), snapshot, &restored, t.size()))?;
        t.reads(&restored, *stamp, "restored after rollbacks")?;
    }
    Ok(())
}

pub(super) fn restore(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("rest", 21)?;
    let snapshot = t.snapshot_of(&volume, "s")?;
    t.snapshot(&volume, &snapshot)?;
    for size in [t.size(), t.round(Kib(t.size().0.saturating_mul(3))), t.round(Kib(1))] {
        let restored = t.volume("rest")?;
        t.ok("restore", t.restore(t.on(), &snapshot, &restored, size))?;
        let (wanted, seen) = (size.max(t.size()), t.found(&restored)?.size);
        let advice = "A restored volume is as large as asked for, and never smaller than its snapshot";
        hold(seen == wanted, format!("a restored volume of {wanted}"), || seen.to_string(), advice)?;
        t.write(&restored, 22)?;
        t.ok("restore, again,", t.restore(t.on(), &snapshot, &restored, size))?;
        t.reads(&restored, 22, "restored, written to, and the restore repeated")?;
    }
    t.reads(&volume, 21, "after restores")?;
    t.found(&snapshot).map(|_| ())
}

pub(super) fn outlive(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("stay", 31)?;
    let (first, second) = (t.snapshot_of(&volume, "s1")?, t.snapshot_of(&volume, "s2")?);
    t.snapshot(&volume, &first)?;
    t.snapshot(&volume, &second)?;
    let restored = t.volume("rest")?;
    t.ok("restore", t.restore(t.on(), &first, &restored, t.size()))?;
    delete(t, &first.known())?;
    t.gone(&first.name)?;
    t.reads(&restored, 31, "after its snapshot was deleted")?;
    t.delete(&volume.known())?;
    t.gone(&volume.name)?;
    t.found(&second)?;
    // The name is free again, and the new volume is another one.
    let again = t.recontent(&volume);
    let again = berth_plugin_sdk::New { mark: berth_plugin_sdk::Mark { generation: t.id(), ..again.mark }, ..again };
    t.create(&again, t.size())?;
    t.reads(&again, 0, "made under the name of a deleted volume")?;
    let late = t.volume("rest")?;
    t.ok("restore from a snapshot whose volume is deleted", t.restore(t.on(), &second, &late, t.size()))?;
    t.reads(&late, 31, "restored from a snapshot whose volume is deleted")
}

pub(super) fn clone(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("clone", 41)?;
    for size in [t.size(), t.round(Kib(t.size().0.saturating_mul(2)))] {
        let copy = t.volume("copy")?;
        t.ok("clone", t.clone(t.on(), &volume, &copy, size))?;
        let seen = t.found(&copy)?.size;
        hold(seen == size, format!("a clone of {size}"), || seen.to_string(), "A clone is as large as asked for")?;
        t.reads(&copy, 41, "cloned")?;
        t.write(&copy, 42)?;
        t.ok("clone, again,", t.clone(t.on(), &volume, &copy, size))?;
        t.ok("finish-copy, again,", t.provider.finish_copy(t.on(), &copy))?;
        t.reads(&copy, 42, "cloned, written to, and the clone repeated")?;
        t.reads(&volume, 41, "after its clone was written to")?;
    }
    let last = t.volume("copy")?;
    t.ok("clone", t.clone(t.on(), &volume, &last, t.size()))?;
    t.delete(&volume.known())?;
    t.reads(&last, 41, "after the volume that it was cloned from was deleted")
}
