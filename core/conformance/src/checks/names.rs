//! Names.

use berth_plugin_sdk::{BackingName, FaultKind, MarkKind};

use crate::trial::{Trial, Verdict, hold, said};

/// Makes, sees, serves and deletes a volume of each name, all at once.
fn all_work(t: &Trial<'_>, names: &[String]) -> Verdict {
    let mut volumes = Vec::new();
    for (stamp, name) in (1u64..).zip(names) {
        let volume = t.named(name, MarkKind::Volume, t.settings.cluster)?;
        t.create(&volume, t.size())?;
        t.write(&volume, stamp)?;
        volumes.push((volume, stamp));
    }
    let listed = t.ok("list", t.provider.list(t.on()))?;
    for (volume, stamp) in &volumes {
        t.found(volume)?;
        t.reads(volume, *stamp, "beside volumes of similar names")?;
        let there = listed.iter().any(|found| found.name == volume.name);
        let advice = "Hand a name back as it was given, also where the object's own name must differ";
        hold(there, format!("list has '{}'", volume.name), || "it does not".into(), advice)?;
    }
    for (volume, _) in &volumes {
        t.delete(&volume.known())?;
        t.gone(&volume.name)?;
    }
    Ok(())
}

pub(super) fn characters(t: &mut Trial<'_>) -> Verdict {
    let prefix = &t.settings.prefix;
    let names = [
        format!("{prefix}_n_00000"),
        format!("{prefix}_N_00000"),
        format!("{prefix}-n-00000"),
        format!("{prefix}--n"),
        format!("{prefix}.n.00000"),
        format!("{prefix}..n"),
        format!("{prefix}.img"),
        format!("{prefix}_tdata"),
        format!("{prefix}_tmeta_rimage_0"),
        format!("_tmeta_{prefix}"),
        format!("snapshot{prefix}"),
        format!("pvmove0{prefix}"),
        format!("{prefix}__"),
        format!("{prefix}-"),
        format!("{prefix}."),
        format!("_{prefix}"),
        format!("0{prefix}"),
        format!("{prefix}0123456789_abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ];
    all_work(t, &names)
}

/// Works as every name does, or is refused at once.
fn works_or_is_refused(t: &Trial<'_>, name: &str) -> Verdict {
    let volume = t.named(name, MarkKind::Volume, t.settings.cluster)?;
    let before = t.inventory()?;
    match t.provider.create(t.on(), &volume, t.size()) {
        Err(fault) if fault.kind == FaultKind::Unsupported => {
            t.same(&before, &format!("after a refused create ({})", said(&fault)))?;
            t.refused(&format!("create of '{name}'"), Err::<(), _>(fault), &[FaultKind::Unsupported])
        }
        answer => {
            t.ok(&format!("create of '{name}'"), answer)?;
            t.delete(&volume.known())?;
            all_work(t, &[name.to_owned()])
        }
    }
}

pub(super) fn odd(t: &mut Trial<'_>) -> Verdict {
    for name in ["n@s", "n+s", "n@", "a+b@c"] {
        works_or_is_refused(t, &format!("{}{name}", t.settings.prefix))?;
    }
    Ok(())
}

pub(super) fn longest(t: &mut Trial<'_>) -> Verdict {
    let filled = |length: usize| format!("{}{}", t.settings.prefix, "x".repeat(length.saturating_sub(t.settings.prefix.len())));
    all_work(t, &[filled(BackingName::LENGTH_SURE)])?;
    // Names that get longer where some of their characters are written otherwise, and names that do not.
    for name in [filled(96), filled(BackingName::LENGTH_MAX), format!("{}-{}", filled(60), "-x".repeat(32)), filled(90) + "@s"] {
        works_or_is_refused(t, &name)?;
    }
    snapshots_of_long_names(t)
}

/// A snapshot of a volume of the sure length works; one with a long name, too, or it is refused.
fn snapshots_of_long_names(t: &Trial<'_>) -> Verdict {
    if t.abilities.no_snapshots.is_some() {
        return Ok(());
    }
    let long = format!("{}{}", t.settings.prefix, "y".repeat(BackingName::LENGTH_SURE.saturating_sub(t.settings.prefix.len())));
    let volume = t.named(&long, MarkKind::Volume, t.settings.cluster)?;
    t.create(&volume, t.size())?;
    for length in [BackingName::LENGTH_SURE, BackingName::LENGTH_MAX] {
        let text = format!("{}{}", t.settings.prefix, "z".repeat(length.saturating_sub(t.settings.prefix.len())));
        let named = t.named(&text, MarkKind::Snapshot, t.settings.cluster)?;
        let snapshot = berth_plugin_sdk::New { of: Some(volume.name.clone()), ..named };
        let before = t.inventory()?;
        match t.provider.snapshot(t.on(), &volume.known(), &snapshot) {
            Err(fault) if fault.kind == FaultKind::Unsupported && length > BackingName::LENGTH_SURE => {
                t.same(&before, "after a refused snapshot")?;
                t.refused(&format!("snapshot '{text}'"), Err::<(), _>(fault), &[FaultKind::Unsupported])?;
            }
            answer => {
                t.ok(&format!("snapshot '{text}'"), answer)?;
                t.found(&snapshot)?;
            }
        }
    }
    // All of them outlive their volume.
    t.delete(&volume.known())?;
    let sure = t.ok("list", t.provider.list(t.on()))?;
    let there = sure.iter().any(|found| found.name.as_str().contains("zzz"));
    hold(there, "a snapshot with a long name outlives its volume", || "list does not have it".into(), "Leave room for what you rename")
}
