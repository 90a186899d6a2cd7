//! Volumes, one at a time.

use berth_plugin_sdk::{FaultKind, Kib, MarkKind, New};

use crate::trial::{Stop, Trial, Verdict, failed, hold};

pub(super) fn manifest(t: &mut Trial<'_>) -> Verdict {
    let again = t.provider.manifest();
    let same = again == t.manifest;
    hold(same, "the manifest is the same each time", || format!("{again:?}"), "Make it of constants")?;
    if let Err(bad) = t.manifest.check() {
        return failed("a manifest that a host can use", bad.to_string(), "Let a test of yours call Manifest::check");
    }
    let kind = &t.bench.machine().pool().kind;
    hold(
        t.manifest.kinds.contains(kind),
        format!("it serves the pool's kind, {kind}"),
        || format!("it serves {}", t.manifest.kinds.join(", ")),
        "Run the check with a kind that the manifest names (--kind)",
    )
}

pub(super) fn probe(t: &mut Trial<'_>) -> Verdict {
    let before = t.inventory()?;
    let first = t.ok("probe", t.provider.probe(t.on()))?;
    let again = t.ok("probe, again,", t.provider.probe(t.on()))?;
    hold(first == again, "a probe says the same again", || format!("{first:?}, then {again:?}"), "Keep nothing between calls")?;
    hold(first.extent >= Kib(1), "an extent of at least 1 KiB", || first.extent.to_string(), "Tell the unit of volume sizes")?;
    t.abilities = first;
    t.same(&before, "after a probe")
}

pub(super) fn create(t: &mut Trial<'_>) -> Verdict {
    let volume = t.volume("create")?;
    t.gone(&volume.name)?;
    t.create(&volume, t.size())?;
    let size = t.found(&volume)?.size;
    hold(
        size == t.size(),
        format!("a size of {}", t.size()),
        || size.to_string(),
        "Sizes that are multiples of the extent are kept exactly",
    )?;
    let before = t.inventory()?;
    let again = t.provider.create(t.on(), &volume, t.size());
    t.ok("create of a volume that is there already", again)?;
    t.found(&volume)?;
    t.same(&before, "after a repeated create")
}

pub(super) fn zeroes(t: &mut Trial<'_>) -> Verdict {
    for round in 1..=2 {
        let volume = t.volume("zero")?;
        t.create(&volume, t.size())?;
        t.reads(&volume, 0, "when new")?;
        ends_in_zeroes(t, &volume, "a new volume")?;
        t.write(&volume, round)?;
        t.create(&volume, t.size())?;
        t.reads(&volume, round, "after a repeated create")?;
        let twice = t.round(Kib(t.size().0.saturating_mul(2)));
        t.ok("grow", t.provider.grow(t.on(), &volume.known(), twice))?;
        ends_in_zeroes(t, &volume, "a volume that has grown")?;
        t.write(&volume, round)?;
        t.delete(&volume.known())?;
    }
    Ok(())
}

/// That a volume is zeroes to its end, where the provider says so.
fn ends_in_zeroes(t: &Trial<'_>, volume: &New, what: &str) -> Verdict {
    if !t.abilities.zeroes {
        return Ok(());
    }
    let device = t.attach(volume)?;
    let seen = t.host(&format!("read {}", device.path), t.bench.read_end(&device))?;
    t.detach(volume)?;
    hold(
        seen.is_none_or(|stamp| stamp == 0),
        format!("{what} reads as zeroes to its end, as PoolAbilities::zeroes says"),
        || format!("its end has data {}", seen.unwrap_or_default()),
        "Answer with zeroes: false, or see to it that nothing of an older volume is left",
    )
}

pub(super) fn delete(t: &mut Trial<'_>) -> Verdict {
    let before = t.inventory()?;
    let volume = t.volume("delete")?;
    t.delete(&volume.known())?;
    t.create(&volume, t.size())?;
    t.attach(&volume)?;
    for _ in 0..2 {
        t.delete(&volume.known())?;
        t.gone(&volume.name)?;
    }
    t.same(&before, "after the delete of a volume that a device served")
}

pub(super) fn attach(t: &mut Trial<'_>) -> Verdict {
    let volume = t.volume("attach")?;
    t.create(&volume, t.size())?;
    let idle = t.inventory()?;
    let first = t.attach(&volume)?;
    let again = t.attach(&volume)?;
    hold(first == again, "a second attach answers the same device", || format!("{first:?}, then {again:?}"), "Look for the device first")?;
    hold(first.size == t.size(), format!("a device of {}", t.size()), || first.size.to_string(), "Serve the whole volume, and no more")?;
    if let Some(seen) = t.found(&volume)?.device {
        hold(seen == first, format!("look tells device {first:?}"), || format!("{seen:?}"), "Tell the device that attach answered")?;
    }
    for _ in 0..2 {
        t.detach(&volume)?;
        t.same(&idle, "after a detach")?;
    }
    let missing = t.volume("attach")?;
    t.ok("detach of a missing volume", t.provider.detach(t.on(), &missing.known()))
}

pub(super) fn grow(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("grow", 7)?;
    let twice = t.round(Kib(t.size().0.saturating_mul(2)));
    let grow = |size: Kib| t.ok(&format!("grow to {size}"), t.provider.grow(t.on(), &volume.known(), size));
    let is = |size: Kib| {
        let seen = t.found(&volume)?.size;
        hold(seen == size, format!("a size of {size}"), || seen.to_string(), "Grow to the size that is asked for, and never shrink")
    };
    grow(twice)?;
    is(twice)?;
    let device = t.attach(&volume)?;
    hold(device.size == twice, format!("a device of {twice}"), || device.size.to_string(), "The device follows the volume")?;
    let more = t.round(Kib(twice.0.saturating_add(1)));
    for _ in 0..2 {
        grow(more)?;
        is(more)?;
    }
    let seen = t.attach(&volume)?;
    hold(seen.size == more, format!("the device in use has {more} after the grow"), || seen.size.to_string(), "Grow the device, too")?;
    grow(t.round(Kib(1)))?;
    is(more)?;
    t.create(&volume, t.round(Kib(1)))?;
    is(more)?;
    t.detach(&volume)?;
    t.reads(&volume, 7, "after growing")
}

pub(super) fn missing(t: &mut Trial<'_>) -> Verdict {
    let before = t.inventory()?;
    let (volume, other) = (t.volume("lost")?, t.volume("copy")?);
    let known = volume.known();
    t.refused("grow of a missing volume", t.provider.grow(t.on(), &known, t.size()), &[FaultKind::Lost])?;
    t.refused("attach of a missing volume", t.provider.attach(t.on(), &known), &[FaultKind::Lost])?;
    t.refused("clone of a missing volume", t.provider.clone_volume(t.on(), &known, &other, t.size()), &[FaultKind::Lost])?;
    let unfinished = t.provider.finish_copy(t.on(), &other);
    t.refused("finish-copy without a copy", unfinished, &[FaultKind::Lost])?;
    if t.abilities.no_snapshots.is_none() {
        let snapshot = t.snapshot_of(&volume, "s")?;
        t.refused("snapshot of a missing volume", t.provider.snapshot(t.on(), &known, &snapshot), &[FaultKind::Lost])?;
        let restored = t.provider.restore(t.on(), &snapshot.known(), &other, t.size());
        t.refused("restore of a missing snapshot", restored, &[FaultKind::Lost])?;
        let rolled = t.provider.rollback(t.on(), &volume, &snapshot.known());
        t.refused("rollback of a missing volume", rolled, &[FaultKind::Lost])?;
        t.ok("delete of a missing snapshot", t.provider.delete_snapshot(t.on(), &snapshot.known()))?;
    }
    t.same(&before, "after operations on what is missing")
}

pub(super) fn suffix(t: &mut Trial<'_>) -> Verdict {
    let data = t.stamped("suffix", 3)?;
    let text = data.name.as_str().replace("_00000", ".meta_00000");
    let meta = New { suffix: ".meta".into(), ..t.named(&text, MarkKind::Volume, t.settings.cluster)? };
    t.create(&meta, t.round(Kib(1)))?;
    t.reads(&meta, 0, "beside the data")?;
    t.write(&meta, 4)?;
    t.delete(&meta.known())?;
    t.found(&data)?;
    t.reads(&data, 3, "after the delete of its metadata")
}

pub(super) fn list(t: &mut Trial<'_>) -> Verdict {
    let volumes = [t.volume("list")?, t.volume("list")?, t.volume("list")?];
    for volume in &volumes {
        t.create(volume, t.size())?;
    }
    t.attach(&volumes[1])?;
    let all = t.ok("list", t.provider.list(t.on()))?;
    for volume in &volumes {
        let found = t.found(volume)?;
        let listed: Vec<_> = all.iter().filter(|one| one.name == volume.name).collect();
        let advice = "Make both of the same code";
        hold(listed == [&found], format!("list has '{}' once, as look sees it: {found:?}", volume.name), || format!("{listed:?}"), advice)?;
    }
    t.detach(&volumes[1])
}

pub(super) fn sizes(t: &mut Trial<'_>) -> Verdict {
    let extent = t.abilities.extent.0.max(1);
    let borders = [1, 2, 3, 1024].into_iter().filter_map(|count| extent.checked_mul(count));
    let mut asked: Vec<u64> =
        borders.flat_map(|border| [border.saturating_sub(1), border, border.saturating_add(1)]).filter(|size| *size > 0).collect();
    asked.sort_unstable();
    asked.dedup();
    for size in asked {
        let volume = t.volume("size")?;
        t.create(&volume, Kib(size))?;
        let seen = t.found(&volume)?.size.0;
        let fits = seen >= size && seen <= t.round(Kib(size)).0;
        let advice = "Round sizes up to the extent, never down";
        hold(fits, format!("a volume of {size} to {}", t.round(Kib(size))), || Kib(seen).to_string(), advice)?;
        let device = t.attach(&volume)?.size.0;
        hold(device == seen, format!("a device of {}", Kib(seen)), || Kib(device).to_string(), "Serve the whole volume")?;
        t.detach(&volume)?;
        t.ok("grow by one KiB", t.provider.grow(t.on(), &volume.known(), Kib(size.saturating_add(1))))?;
        let grown = t.found(&volume)?.size.0;
        hold(grown > size, format!("more than {size} KiB after the grow"), || Kib(grown).to_string(), advice)?;
        t.delete(&volume.known())?;
    }
    Ok(())
}

pub(super) fn asks(t: &mut Trial<'_>) -> Verdict {
    let unasked = t.watch.unasked();
    match unasked.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let seen = format!("{} more than it asks for, the first: {first}", unasked.len());
            Err(Stop::Failed(crate::Finding {
                expected: "every command is matched by a pattern of the manifest".into(),
                seen,
                advice: "Add the pattern of the command to Manifest::commands, or do without it".into(),
            }))
        }
    }
}
