//! The controller and satellites are killed under load: nothing acknowledged is lost, nothing is given out twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use berth_integration::{Cluster, Database, Dice, Group, Load, count, is_root, lasts, note};
use serde_json::Value;

/// Clients at a time.
const CLIENTS: usize = 16;

/// Where volumes are made: with devices, and with DRBD's numbers on simulated machines.
const REAL: Group = Group { name: "real", devices: true };
const SIMULATED: Group = Group { name: "drbd", devices: false };

/// A controller lives for so many acknowledged changes at most, and for so long after them.
const LIFE_CHANGES: u64 = 40;
const LIFE_US: u64 = 60_000;

/// A commit is synced and told to the satellites within about this time of its write.
const COMMIT_US: u64 = 4_000;

/// A satellite lives for so many steps at most.
const LIFE_STEPS: u64 = 40;

/// Three simulated satellites and, as root, two with devices.
fn cluster() -> Result<(Cluster, Vec<&'static str>, Vec<Group>)> {
    let real: Vec<&str> = if is_root() { vec!["alpha", "beta"] } else { Vec::new() };
    if real.is_empty() {
        note("simulated satellites only: no real devices without root");
    }
    let mut cluster = Cluster::with_nodes(&real)?;
    cluster.add_simulated(&["sim-1", "sim-2", "sim-3"])?;
    let groups: Vec<Group> = if real.is_empty() { vec![SIMULATED] } else { vec![REAL, SIMULATED] };
    Load::make_groups(&cluster, &groups)?;
    Ok((cluster, real, groups))
}

/// What a kill found open: jobs, and among them those whose plan no satellite had taken.
#[derive(Debug, Default)]
struct Found {
    open: usize,
    undispatched: usize,
    kills_between: usize,
}

impl Found {
    /// Looks at what a killed controller left, before the next one starts.
    fn look(&mut self, cluster: &Cluster, real: &[&str]) -> Result<()> {
        let database = Database::read(&cluster.controller_data()?)?;
        database.check_log()?;
        let mut between = 0;
        for job in &database.jobs {
            self.open += 1;
            let (id, resource) = (text(job, "id"), text(job, "resource").to_uppercase());
            let made = database.made_at("job", &id).with_context(|| format!("no transaction made job {id}"))?;
            let on = |node: &&&str| database.records.contains_key(&("resource".to_owned(), format!("{resource}/{}", node.to_uppercase())));
            let nodes: Vec<&&str> = real.iter().filter(on).collect();
            // Simulated satellites keep their plan in memory only.
            if !nodes.is_empty() && nodes.iter().all(|node| cluster.held_generation(node).is_ok_and(|held| held < made)) {
                between += 1;
            }
        }
        self.undispatched += between;
        self.kills_between += usize::from(between > 0);
        Ok(())
    }
}

fn text(document: &Value, key: &str) -> String {
    document[key].as_str().unwrap_or_default().to_owned()
}

/// Waits for a moment that the dice choose: so many changes, then a part of a change; every other time that part is counted
/// from a write of the database's log, to fall between the commit and what follows it more often.
fn random_moment(cluster: &Cluster, load: &Load, dice: &mut Dice) -> Result<()> {
    load.wait_for_more(1 + dice.below(LIFE_CHANGES))?;
    let mut span = LIFE_US;
    if dice.below(2) == 0 {
        let log = cluster.controller_data()?.join("berth.db-wal");
        let written = || std::fs::metadata(&log).and_then(|log| Ok((log.len(), log.modified()?))).ok();
        let before = written();
        let patience = Instant::now() + Duration::from_secs(5);
        while written() == before && Instant::now() < patience {
            std::hint::spin_loop();
        }
        span = COMMIT_US;
    }
    lasts(Duration::from_micros(dice.below(span)));
    Ok(())
}

/// Everything comes to rest, is as promised, and goes without a trace, from the machines and from the database.
fn ends_well(mut cluster: Cluster, load: &Load) -> Result<()> {
    load.settle(&cluster)?;
    load.delete_everything(&cluster)?;
    cluster.terminate(Duration::from_secs(10))?;
    let database = Database::read(&cluster.controller_data()?)?;
    database.check_log()?;
    for kind in ["resource_definition", "resource", "snapshot", "job", "tombstone", "number"] {
        let left: Vec<_> = database.records.keys().filter(|(of, _)| of == kind).collect();
        anyhow::ensure!(left.is_empty(), "left in the database: {left:?}");
    }
    Ok(())
}

#[test]
fn the_controller_may_be_killed_at_any_moment() -> Result<()> {
    let dice = Dice::seeded("kills of the controller");
    let (mut cluster, real, groups) = cluster()?;
    let kills = count(8, 200);
    let load = Load::new(cluster.rest(), CLIENTS, &groups);
    let mut found = Found::default();
    let mut facts = 0;
    let mut moments = dice.of_part(0);
    load.during(&dice, || {
        for kill in 1..=kills {
            random_moment(&cluster, &load, &mut moments)?;
            cluster.kill_controller();
            found.look(&cluster, &real).with_context(|| format!("after kill {kill}"))?;
            cluster.start_controller().with_context(|| format!("after kill {kill}"))?;
            facts += load.check().with_context(|| format!("after kill {kill}"))?;
        }
        load.wait_for_more(1)
    })?;
    println!("{kills} kills of the controller: {}, {facts} facts compared after the kills", load.counted());
    println!(
        "{} jobs were open at the kills; {} kills fell between commit and dispatch and left {} jobs whose plan was never sent",
        found.open, found.kills_between, found.undispatched
    );
    ends_well(cluster, &load)
}

#[test]
fn jobs_may_be_cancelled_at_any_moment() -> Result<()> {
    let dice = Dice::seeded("cancels of jobs");
    let (mut cluster, _, groups) = cluster()?;
    let cancels = count(20, 600);
    let load = Load::new(cluster.rest(), CLIENTS, &groups);
    let mut moments = dice.of_part(0);
    let (mut facts, mut tried) = (0, 0);
    load.during(&dice, || {
        let mut done = 0;
        while done < cancels {
            tried += 1;
            let accepted = load.cancel_one(&mut moments)?;
            done += u32::from(accepted);
            if tried % 50 == 0 {
                facts += load.check()?;
                // The cancel goes on after a kill.
                cluster.kill_controller();
                cluster.start_controller()?;
                facts += load.check()?;
            }
            if !accepted {
                load.wait_for_more(1)?;
            }
        }
        facts += load.check()?;
        load.wait_for_more(1)
    })?;
    println!("{cancels} of {tried} cancels accepted: {}, {facts} facts compared", load.counted());
    ends_well(cluster, &load)
}

#[test]
fn satellites_may_be_killed_at_any_step_and_the_controller_with_them() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let dice = Dice::seeded("kills of satellites");
    let (mut cluster, real, groups) = cluster()?;
    let cuts = count(12, 200);
    let load = Load::new(cluster.rest(), CLIENTS, &groups);
    let mut moments = dice.of_part(0);
    let (mut facts, mut both) = (0, 0);
    load.during(&dice, || {
        let mut cut = 0;
        while cut < cuts {
            for node in &real {
                if cluster.satellite(node)?.runs() {
                    continue;
                }
                cut += 1;
                if moments.below(4) == 0 {
                    both += 1;
                    cluster.kill_controller();
                    cluster.start_controller()?;
                    facts += load.check()?;
                }
                let steps = (1 + moments.below(LIFE_STEPS)).to_string();
                // It may be cut in what it does at its start already.
                if cluster.start_satellite(node, &[("BERTH_CUT_AFTER", &steps)]).is_err() {
                    cluster.start_satellite(node, &[])?;
                }
            }
            load.wait_for_more(1)?;
            if cut == 0 {
                // The first ones were started without a limit.
                real.iter().for_each(|node| cluster.kill_satellite(node));
                for node in &real {
                    cluster.start_satellite(node, &[("BERTH_CUT_AFTER", "7")])?;
                }
            }
        }
        for node in &real {
            cluster.start_satellite(node, &[])?;
        }
        facts += load.check()?;
        load.wait_for_more(1)
    })?;
    println!("{cuts} kills of satellites at a step, {both} of them with the controller: {}, {facts} facts compared", load.counted());
    ends_well(cluster, &load)
}
