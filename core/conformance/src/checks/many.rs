//! Many volumes at once.

use std::collections::BTreeSet;

use berth_plugin_sdk::Kib;

use crate::trial::{Stop, Trial, Verdict, hold};

pub(super) fn many(t: &mut Trial<'_>) -> Verdict {
    let count = t.settings.volumes;
    if count < 10 {
        return Err(Stop::Skipped(format!("only {count} volumes are asked for, and 10 are the least")));
    }
    let mut made = BTreeSet::new();
    let mut few = (0, 0);
    let size = t.round(Kib(1));
    let probe = t.volume("look")?;
    t.create(&probe, size)?;
    for at in 1..=count {
        let volume = t.volume("many")?;
        t.create(&volume, size)?;
        made.insert(volume.name);
        if at == 10 {
            few = cost_of_look(t, &probe)?;
        }
    }
    let lots = cost_of_look(t, &probe)?;
    let advice = "Ask for the one object by its name, not for all of them";
    hold(
        lots.0 <= few.0,
        format!("a look takes {} requests with {count} volumes, as with 10", few.0),
        || format!("{} requests", lots.0),
        advice,
    )?;
    let most = few.1.saturating_mul(2).saturating_add(4096);
    hold(lots.1 <= most, format!("a look reads at most {most} bytes with {count} volumes"), || format!("{} bytes", lots.1), advice)?;
    if t.abilities.no_snapshots.is_none() {
        many_snapshots(t, &probe, count.min(100))?;
    }
    let all = t.ok("list", t.provider.list(t.on()))?;
    let names: BTreeSet<_> = all.iter().map(|found| found.name.clone()).collect();
    hold(names.len() == all.len(), "list has each name once", || format!("{} of {}", names.len(), all.len()), "Look for doubles")?;
    let missing: Vec<_> = made.difference(&names).collect();
    hold(
        missing.is_empty(),
        format!("list has all {count} volumes"),
        || format!("{} are missing, e.g. {}", missing.len(), missing.first().map(ToString::to_string).unwrap_or_default()),
        "Do not let the output's bound cut the list: ask for less of each object, or raise Limits::output_kib",
    )
}

/// A look at a snapshot whose volume is known costs the same, however many there are.
fn many_snapshots(t: &Trial<'_>, volume: &berth_plugin_sdk::New, count: u32) -> Verdict {
    let one = t.snapshot_of(volume, "s0")?;
    t.snapshot(volume, &one)?;
    let cost = || -> Verdict<(u64, u64)> {
        t.watch.count();
        t.ok("look at a snapshot", t.provider.look(t.on(), &one.name, one.of.as_ref()))?;
        Ok(t.watch.count())
    };
    let few = cost()?;
    for at in 1..=count {
        t.snapshot(volume, &t.snapshot_of(volume, &format!("s{at}"))?)?;
    }
    let lots = cost()?;
    let most = few.1.saturating_mul(2).saturating_add(4096);
    hold(
        lots.0 <= few.0 && lots.1 <= most,
        format!("a look at a snapshot takes {} requests and at most {most} bytes beside {count} others", few.0),
        || format!("{} requests and {} bytes", lots.0, lots.1),
        "Look first where the volume's name says; look elsewhere only if it is not there",
    )
}

fn cost_of_look(t: &Trial<'_>, probe: &berth_plugin_sdk::New) -> Verdict<(u64, u64)> {
    t.watch.count();
    t.found(probe)?;
    Ok(t.watch.count())
}
