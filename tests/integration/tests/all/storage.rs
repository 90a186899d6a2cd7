//! What plugins are given: the storage of a cluster over the REST API, with simulated satellites that know every layer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use berth_client::storage::RestStorage;
use berth_client::{Endpoint, Options, parse_controllers};
use berth_integration::{Cluster, SIMULATED_POOL};
use berth_plugin_sdk::storage::{NewVolume, Source, Storage};
use berth_plugin_sdk::{Fault, FaultKind, Kib};

fn cluster() -> Result<Cluster> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&["alpha", "bravo", "charlie", "delta"])?;
    Ok(cluster)
}

fn endpoints(text: &str) -> Result<Vec<Endpoint>> {
    Ok(parse_controllers(text)?)
}

fn storage(cluster: &Cluster, host: &str) -> Result<RestStorage> {
    Ok(RestStorage::connect(endpoints(cluster.address())?, Options::default(), host)?)
}

fn new(name: &str, layers: &[&str], nodes: &[&str]) -> NewVolume {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    NewVolume {
        name: name.into(),
        size: Kib(64 << 10),
        layers: strings(layers),
        nodes: strings(nodes),
        pools: vec![SIMULATED_POOL.into()],
        ..NewVolume::default()
    }
}

fn fault<T: std::fmt::Debug>(result: Result<T, Fault>, kind: FaultKind, word: &str) -> Result<()> {
    match result {
        Err(fault) if fault.kind == kind && format!("{} {} {}", fault.message, fault.cause, fault.details).contains(word) => Ok(()),
        other => anyhow::bail!("{kind:?} with {word} was expected: {other:?}"),
    }
}

#[test]
fn a_diskless_client_comes_with_use_and_goes_with_it() -> Result<()> {
    let cluster = cluster()?;
    let storage = storage(&cluster, "Delta.example.com")?;
    ensure!(storage.node()? == "delta");
    storage.create(&new("web", &["DRBD", "STORAGE"], &["alpha", "bravo"]))?;
    let disks = |storage: &RestStorage| -> Result<Vec<(String, bool, bool)>> {
        let volume = storage.get("web")?.expect("it is there");
        Ok(volume.replicas.iter().map(|replica| (replica.node.clone(), replica.diskless, replica.tiebreaker)).collect())
    };
    let before = disks(&storage)?;
    ensure!(before.iter().filter(|(_, diskless, _)| !diskless).count() == 2, "{before:?}");
    let active = storage.activate("web", "delta")?;
    ensure!(active.diskless && active.size == Kib(64 << 10) && active.device.starts_with("/dev/"), "{active:?}");
    ensure!(storage.activate("web", "delta")? == active, "again is the same");
    ensure!(disks(&storage)?.contains(&("delta".into(), true, false)));
    ensure!(!storage.activate("web", "alpha")?.diskless);
    storage.deactivate("web", "alpha")?;
    storage.deactivate("web", "delta")?;
    storage.deactivate("web", "delta")?;
    let after = disks(&storage)?;
    ensure!(after.iter().all(|(node, diskless, tie)| !diskless || *tie || node != "delta"), "{after:?}");
    ensure!(after.iter().filter(|(_, diskless, _)| !diskless).count() == 2, "{after:?}");

    // Without a layer that replicates there is no way, and no empty copy is made.
    storage.create(&new("bare", &["STORAGE"], &["alpha"]))?;
    fault(storage.activate("bare", "delta"), FaultKind::Unsupported, "alpha")?;
    ensure!(storage.get("bare")?.expect("it is there").replicas.len() == 1);
    storage.delete("web", true)?;
    storage.delete("bare", true)?;
    ensure!(storage.list(&BTreeMap::new())?.iter().all(|volume| volume.going), "all is gone or going");
    Ok(())
}

#[test]
fn every_call_does_what_it_says_and_may_be_made_again() -> Result<()> {
    let cluster = cluster()?;
    let storage = storage(&cluster, "alpha")?;
    let from = storage.events(None, 0)?.next;
    let mut wanted = new("web", &["DRBD", "STORAGE"], &[]);
    wanted.replicas = Some(2);
    wanted.exclude_nodes = vec!["alpha".into()];
    wanted.props = BTreeMap::from([("Aux/mine".to_owned(), "yes".to_owned())]);
    let preview = storage.preview(&wanted)?;
    ensure!(preview.possible && preview.places.len() == 2 && preview.places.iter().all(|(node, _)| node != "alpha"), "{preview:?}");
    let made = storage.create(&wanted)?;
    ensure!(made.size == Kib(64 << 10) && made.on("alpha").is_none_or(|replica| replica.diskless) && made.replicated(), "{made:?}");
    ensure!(storage.create(&wanted)?.created_ms == made.created_ms, "the same again");
    fault(storage.create(&NewVolume { size: Kib(128 << 10), ..wanted.clone() }), FaultKind::Foreign, "65536")?;
    fault(storage.create(&NewVolume { name: "huge".into(), size: Kib(1 << 42), ..wanted.clone() }), FaultKind::NoSpace, "").or_else(
        |_| fault(storage.create(&NewVolume { name: "huge".into(), size: Kib(1 << 42), ..wanted.clone() }), FaultKind::Unsupported, ""),
    )?;
    let preview = storage.preview(&NewVolume { replicas: Some(9), exclude_nodes: Vec::new(), ..wanted.clone() })?;
    ensure!(!preview.possible && !preview.reason.is_empty(), "{preview:?}");

    let mine = |value: &str| BTreeMap::from([("Aux/mine".to_owned(), value.to_owned())]);
    ensure!(storage.list(&mine(""))?.len() == 1 && storage.list(&mine("yes"))?.len() == 1 && storage.list(&mine("no"))?.is_empty());
    storage.set_props("web", &mine("no"), &["Aux/nothing".to_owned()])?;
    ensure!(storage.list(&mine("no"))?.len() == 1);
    fault(storage.set_props("web", &BTreeMap::from([("Nonsense".to_owned(), "1".to_owned())]), &[]), FaultKind::Unsupported, "Nonsense")?;

    let taken = storage.snapshot("web", "monday")?;
    ensure!(taken.complete && taken.size == made.size && storage.snapshot("web", "monday")? == taken, "{taken:?}");
    ensure!(storage.resize("web", Kib(96 << 10))?.size == Kib(96 << 10));
    fault(storage.resize("web", Kib(32 << 10)), FaultKind::Unsupported, "")?;
    let copy = |name: &str, from: Source| NewVolume { name: name.into(), from, size: Kib(0), props: mine("copy"), ..NewVolume::default() };
    let clone = storage.create(&copy("clone", Source::Volume("web".into())))?;
    ensure!(clone.size == Kib(96 << 10) && clone.props["Aux/mine"] == "copy", "{clone:?}");
    ensure!(storage.create(&copy("clone", Source::Volume("web".into())))?.created_ms == clone.created_ms);
    let restored = Source::Snapshot { volume: "web".into(), snapshot: "monday".into() };
    let restored = NewVolume { size: Kib(128 << 10), ..copy("restored", restored) };
    let seen = storage.create(&restored)?;
    ensure!(seen.size == Kib(128 << 10) && !seen.replicas.is_empty() && seen.props["Aux/mine"] == "copy", "{seen:?}");
    ensure!(storage.create(&restored)?.created_ms == seen.created_ms);
    fault(storage.create(&copy("lost", Source::Volume("nobody".into()))), FaultKind::Lost, "nobody")?;
    fault(storage.create(&copy("lost", Source::Snapshot { volume: "web".into(), snapshot: "never".into() })), FaultKind::Lost, "never")?;
    ensure!(storage.get("lost")?.is_none(), "what failed left nothing");

    fault(storage.delete("web", false), FaultKind::Foreign, "monday")?;
    storage.rename("restored", "renamed")?;
    fault(storage.rename("renamed", "clone"), FaultKind::Foreign, "clone")?;
    ensure!(storage.get("restored")?.is_none() && storage.get("renamed")?.is_some());
    storage.delete_snapshot("web", "monday")?;
    storage.delete_snapshot("web", "monday")?;
    ensure!(storage.snapshots("web")?.is_empty() && storage.snapshots("nobody")?.is_empty());

    let pools = storage.capacity()?;
    ensure!(pools.iter().any(|pool| pool.pool == SIMULATED_POOL && pool.node == "alpha" && pool.total.is_some()), "{pools:?}");
    ensure!(storage.write("lease", "owner", None, Some("a"))? && !storage.write("lease", "owner", None, Some("b"))?);
    ensure!(storage.read("lease", "owner")?.as_deref() == Some("a") && storage.read("lease", "other")?.is_none());
    ensure!(storage.write("lease", "owner", Some("a"), None)? && storage.read("lease", "owner")?.is_none());
    let mut touched = Vec::new();
    let mut at = from;
    loop {
        let events = storage.events(Some(at), 0)?;
        ensure!(!events.missed);
        if events.changes.is_empty() {
            break;
        }
        touched.extend(events.changes.into_iter().flat_map(|change| change.volumes));
        at = events.next;
    }
    ensure!(["web", "clone", "renamed"].iter().all(|name| touched.iter().any(|one| one == name)), "{touched:?}");
    for name in ["web", "clone", "renamed", "nobody"] {
        storage.delete(name, true)?;
    }
    Ok(())
}

#[test]
fn one_of_two_writers_of_a_key_wins() -> Result<()> {
    let cluster = Cluster::empty()?;
    let storage = storage(&cluster, "nobody")?;
    fault(storage.node(), FaultKind::Lost, "nobody")?;
    let won = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|number| (number, &storage)).collect();
        let threads: Vec<_> = writers
            .into_iter()
            .map(|(number, storage)| scope.spawn(move || storage.write("lease", "owner", None, Some(&format!("w{number}")))))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<bool>, Fault>>()
    })?;
    ensure!(won.iter().filter(|won| **won).count() == 1, "{won:?}");
    Ok(())
}

#[test]
fn other_controllers_are_tried_and_nobody_is_told_soon() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    // The first two are nobody: one refuses, one takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let list = format!("127.0.0.1:1,{}", cluster.address());
    let storage = RestStorage::connect(endpoints(&list)?, Options::default(), "x")?;
    ensure!(storage.list(&BTreeMap::new())?.is_empty());
    cluster.kill_controller();
    let begun = Instant::now();
    fault(storage.get("web"), FaultKind::Timeout, "")?;
    let mute = RestStorage::connect(endpoints(&silent.local_addr()?.to_string())?, Options::default(), "x")?;
    fault(mute.create(&new("web", &[], &[])), FaultKind::Timeout, "5 s")?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    Ok(())
}
