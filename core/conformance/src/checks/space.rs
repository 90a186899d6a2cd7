//! Space.

use berth_plugin_sdk::{FaultKind, Kib, Space};

use crate::trial::{Stop, Trial, Verdict, hold};

fn space(t: &Trial<'_>) -> Verdict<Space> {
    let space = t.ok("space", t.provider.space(t.on()))?;
    hold(
        space.free <= space.total && space.total > Kib(0),
        "free space is at most the total",
        || format!("{} free of {}", space.free, space.total),
        "Tell what volumes can really take",
    )?;
    Ok(space)
}

/// What the free space lost from one look to the other; what came back counts as 0.
fn lost(before: Space, after: Space) -> u64 {
    before.free.0.saturating_sub(after.free.0)
}

pub(super) fn honest(t: &mut Trial<'_>) -> Verdict {
    let slack = t.bench.slack().0;
    let first = space(t)?;
    let volume = t.volume("space")?;
    let size = t.round(Kib(t.size().0.max(slack.saturating_mul(4)).min(first.free.0 / 4)));
    t.create(&volume, size)?;
    let made = space(t)?;
    let taken = t.found(&volume)?.allocated.0;
    let advice = "Ask the pool for its free space in each call; count what a volume takes at once, and what it gives back";
    let falls = lost(first, made).abs_diff(taken) <= slack;
    hold(
        falls,
        format!("free space falls by the {taken} KiB that the new volume takes (give or take {slack})"),
        || format!("it fell by {} KiB, from {} to {}", lost(first, made), first.free, made.free),
        advice,
    )?;
    hold(
        made.total.0.abs_diff(first.total.0) <= slack,
        format!("a total of {}", first.total),
        || made.total.to_string(),
        "The total does not change with what is in the pool",
    )?;
    t.delete(&volume.known())?;
    let last = space(t)?;
    hold(
        lost(first, last) <= slack,
        format!("{} free after the delete, as before", first.free),
        || format!("{} free", last.free),
        "A deleted volume gives its space back before delete answers",
    )
}

pub(super) fn too_large(t: &mut Trial<'_>) -> Verdict {
    let before = t.inventory()?;
    let space = space(t)?;
    let volume = t.volume("large")?;
    if t.bench.may_take_all() {
        larger_than_the_pool(t, &volume, t.round(Kib(space.total.0.saturating_add(t.size().0))))?;
    }
    t.gone(&volume.name)?;
    t.same(&before, "after the create of a volume larger than the pool")?;
    // Sizes that no machine has overflow nothing.
    for size in [u64::MAX, u64::MAX / 1024, (1 << 53) - 4] {
        let volume = t.volume("huge")?;
        if t.provider.create(t.on(), &volume, Kib(size)).is_ok() {
            let seen = t.found(&volume)?.size;
            hold(seen.0 >= size, format!("a volume of {size} KiB, or a refusal"), || seen.to_string(), "Check sizes before computing")?;
            t.delete(&volume.known())?;
        }
    }
    t.same(&before, "after the create of volumes that no machine can hold")
}

fn larger_than_the_pool(t: &Trial<'_>, volume: &berth_plugin_sdk::New, size: Kib) -> Verdict {
    match t.provider.create(t.on(), volume, size) {
        // A thin volume promises more than there is; how much more is the host's to decide.
        Ok(()) => {
            let found = t.found(volume)?;
            let thin = found.allocated < size;
            let advice = "A thick volume takes its space at once, or is refused";
            hold(thin, "a volume larger than the pool is thin", || format!("{found:?}"), advice)?;
            t.delete(&volume.known())
        }
        answer => t.refused("create of a volume larger than the pool", answer, &[FaultKind::NoSpace]),
    }
}

pub(super) fn full(t: &mut Trial<'_>) -> Verdict {
    let kept = t.stamped("kept", 61)?;
    let before = t.inventory()?;
    if !t.host("fill the pool", t.bench.fill(true))? {
        return Err(Stop::Skipped("the bench cannot fill the pool".into()));
    }
    let checked = refuses(t, &kept);
    t.host("empty the pool", t.bench.fill(false))?;
    checked?;
    t.same(&before, "after the pool was full")?;
    let new = t.volume("again")?;
    t.create(&new, t.size())?;
    t.reads(&kept, 61, "after the pool was full")
}

fn refuses(t: &Trial<'_>, kept: &berth_plugin_sdk::New) -> Verdict {
    let space = space(t)?;
    hold(space.free.0 == 0, "a full pool has nothing free", || space.free.to_string(), "Ask the pool for its free space in each call")?;
    let full = t.inventory()?;
    let new = t.volume("full")?;
    t.refused("create in a full pool", t.provider.create(t.on(), &new, t.size()), &[FaultKind::NoSpace])?;
    t.gone(&new.name)?;
    t.same(&full, "after a create in a full pool")?;
    let clone = t.clone(t.on(), kept, &new, t.size());
    t.refused("clone in a full pool", clone, &[FaultKind::NoSpace])?;
    t.gone(&new.name)?;
    t.ok("clean", t.provider.clean(t.on(), t.settings.cluster))?;
    t.same(&full, "after a clone in a full pool")?;
    t.found(kept)?;
    t.reads(kept, 61, "in a full pool")
}
