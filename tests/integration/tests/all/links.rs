//! A satellite's link is cut under load and comes back: nothing acknowledged is lost, and all is in sync without a restart.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Cut, Dice, Group, Load, Rest, count, is_root, lasts, note, within};

/// Clients at a time.
const CLIENTS: usize = 16;

/// From the link's return to the node being in sync, by the specification.
const SYNC_LIMIT: Duration = Duration::from_secs(15);

/// The same for a machine that other tests keep busy.
const PATIENCE: Duration = Duration::from_secs(60);

const REAL: Group = Group { name: "real", devices: true };

/// The ids of the open jobs.
fn open_jobs(rest: &Rest) -> Result<BTreeSet<String>> {
    let reply = rest.get("/v1/berth/jobs")?.ok()?;
    let jobs = reply.json.as_array().with_context(|| format!("no list: {}", reply.text))?;
    jobs.iter().map(|job| job["uuid"].as_str().map(str::to_owned).with_context(|| format!("a job without an id: {job}"))).collect()
}

/// Cuts the link of `alpha` for as long as `during` runs; answers how long it took from its return until the node was online
/// and until every job that was open then had ended.
fn cut(cluster: &Cluster, how: Cut, during: impl FnOnce() -> Result<()>) -> Result<(Duration, Duration)> {
    let rest = cluster.rest();
    let network = cluster.network("alpha")?;
    network.cut(how)?;
    let meanwhile = during();
    network.mend(how)?;
    let returned = Instant::now();
    meanwhile.with_context(|| format!("while the link was cut ({how:?})"))?;
    rest.wait_for(PATIENCE, "/v1/nodes/alpha", |node| node["connection_status"] == "ONLINE")?;
    let online = returned.elapsed();
    let waiting = open_jobs(&rest)?;
    within(PATIENCE, "the jobs that waited have ended", || {
        let open = open_jobs(&rest).map_err(|error| format!("{error:#}"))?;
        let left: Vec<&String> = waiting.intersection(&open).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    Ok((online, returned.elapsed()))
}

#[test]
fn a_cut_link_heals_without_a_restart() -> Result<()> {
    if !is_root() {
        note("no network that can be cut: making one needs root");
        return Ok(());
    }
    let dice = Dice::seeded("cuts of a link");
    let mut cluster = Cluster::with_nodes(&["beta"])?;
    ensure!(cluster.add_linked("alpha")?);
    Load::make_groups(&cluster, &[REAL])?;
    let load = Load::new(cluster.rest(), CLIENTS, &[REAL]);
    let long = count(0, 1) == 1;
    let cuts: &[Cut] =
        if long { &[Cut::Silent, Cut::Near, Cut::Unreachable, Cut::Silent, Cut::Silent] } else { &[Cut::Silent, Cut::Unreachable] };
    load.during(&dice, || {
        // Shorter than the silence after which a satellite counts as lost: nobody may be any the worse for it.
        for how in [Cut::Silent, Cut::Unreachable] {
            load.wait_for_more(10)?;
            let (online, in_sync) = cut(&cluster, how, || load.wait_for_more(5))?;
            println!("link back after a blink ({how:?}): online after {} ms, in sync after {} ms", online.as_millis(), in_sync.as_millis());
            load.check()?;
        }
        for (at, how) in cuts.iter().enumerate() {
            load.wait_for_more(10)?;
            let (online, in_sync) = cut(&cluster, *how, || {
                cluster.wait_offline("alpha")?;
                load.wait_for_more(10)?;
                // Long enough for the longest pause between two attempts.
                lasts(Duration::from_secs(u64::from(count(0, 40)) + u64::try_from(at)?));
                load.check().map(drop)
            })?;
            println!("link back ({how:?}): online after {} ms, in sync after {} ms", online.as_millis(), in_sync.as_millis());
            ensure!(!long || in_sync < SYNC_LIMIT, "in sync after {in_sync:?} only");
            load.check()?;
        }
        load.wait_for_more(10)
    })?;
    println!("{} cuts of a link: {}", cuts.len() + 2, load.counted());
    load.settle(&cluster)?;
    load.delete_everything(&cluster)
}
