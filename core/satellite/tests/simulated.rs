//! Simulated satellites speak the same wire and come to the same ends.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use berth_model::ids::Id;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::NodeName;
use berth_model::observed::{FaultKind, Standing};
use berth_model::plan::{ContentSource, DataPeer, PlanItem, Wanted};
use berth_satellite::{SimConfig, serve_simulated};
use common::*;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

async fn start(configure: impl Fn(&mut SimConfig), count: usize) -> (Vec<SocketAddr>, CancellationToken, JoinHandle<()>) {
    let (mut configs, mut addresses) = (Vec::new(), Vec::new());
    for n in 0..count {
        let (announce, address) = oneshot::channel();
        let mut config = SimConfig::new(format!("sim-{n}"));
        configure(&mut config);
        config.announce = Some(announce);
        configs.push(config);
        addresses.push(address);
    }
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move { serve_simulated(configs, None, token).await.unwrap() });
    let mut bound = Vec::new();
    for address in addresses {
        bound.push(address.await.unwrap());
    }
    (bound, stop, task)
}

fn fresh(number: u128) -> PlanItem {
    replica(&format!("res{number}"), number, 4096, Wanted::Active, number + 2, ContentSource::Fresh)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_pool_and_layer_works() {
    let (addresses, stop, task) = start(|_| {}, ProviderKind::ALL.len()).await;
    for (address, kind) in addresses.iter().zip(ProviderKind::ALL.iter().filter(|kind| kind.has_storage())) {
        let mut controller = connect(*address, hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
        let can = controller.capabilities();
        assert_eq!((can.layers.as_slice(), can.providers.as_slice()), (LayerKind::ALL, ProviderKind::ALL));
        let mut item = fresh(1000);
        if let PlanItem::Resource(plan) = &mut item {
            plan.layers = vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage];
        }
        controller.whole(vec![pool(Path::new("/anything"), *kind)], vec![item]).await;
        let seen = controller.rest(&[Uuid::from_u128(1000)]).await.remove(0);
        assert_eq!(seen.standing, Standing::Settled, "{kind}: {seen:?}");
        let pool = &controller.pools["pool"];
        let free = if kind.is_thin() { 1 << 30 } else { (1 << 30) - 4096 };
        assert_eq!((pool.total_kib.unwrap().0, pool.free_kib.unwrap().0), (1 << 30, free), "{kind}");
        assert_eq!((pool.snapshots, pool.extent_kib.0), (kind.takes_snapshots(), kind.default_extent_kib()), "{kind}");
        assert_eq!(
            controller.plan(vec![replica("res1000", 1000, 4096, Wanted::Absent, 1002, ContentSource::Kept)]).await[0].standing,
            Standing::Gone
        );
    }
    stop.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_and_overcome() {
    let (addresses, stop, task) =
        start(|config| (config.failures_per_million, config.latency, config.seed) = (200_000, Duration::from_millis(1), 6), 1).await;
    let mut controller = connect(addresses[0], hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let items: Vec<PlanItem> = (0..60).map(|n| fresh(1000 + n * 10)).collect();
    let ids: Vec<Uuid> = items.iter().map(PlanItem::id).collect();
    controller.whole(vec![pool(Path::new("/anything"), ProviderKind::FileThin)], items).await;
    let first = controller.rest(&ids).await;
    assert!(
        first.iter().any(|seen| seen.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Pool || fault.kind == FaultKind::Tool))
    );
    controller.until("all settle in the end", |own| ids.iter().all(|id| own.items[id].standing == Standing::Settled)).await;
    stop.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
}

/// The cost of a partial plan does not grow with the items that it does not name; a whole plan of thousands is taken.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_items_fit() {
    let (addresses, stop, task) = start(|_| {}, 1).await;
    let mut controller = connect(addresses[0], hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let items: Vec<PlanItem> = (0..5000).map(|n| fresh(1000 + n * 10)).collect();
    let ids: Vec<Uuid> = items.iter().map(PlanItem::id).collect();
    let begun = std::time::Instant::now();
    controller.whole(vec![pool(Path::new("/anything"), ProviderKind::FileThin)], items).await;
    assert!(controller.rest(&ids).await.iter().all(|seen| seen.standing == Standing::Settled));
    println!("5000 items: {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    for n in 0..100 {
        controller.plan(vec![fresh(1_000_000 + n * 10)]).await;
    }
    println!("100 more, one after the other: {:?}", begun.elapsed());
    stop.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
}

/// A replica that is made later is up to date when it could reach a peer that holds the data, and not before (law 7).
#[tokio::test(flavor = "multi_thread")]
async fn a_later_replica_waits_for_a_peer_that_holds_the_data() {
    let replicated = |name: &str, number: u128, source: ContentSource, peers: Vec<DataPeer>| {
        let mut item = replica(name, number, 4096, Wanted::Active, number + 2, source);
        if let PlanItem::Resource(plan) = &mut item {
            plan.layers = vec![LayerKind::Drbd, LayerKind::Storage];
            plan.volumes[0].peers = peers;
        }
        item
    };
    let (addresses, stop, task) = start(|_| {}, 2).await;
    let mut old = connect(addresses[0], hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let mut new = connect(addresses[1], hello(1)).await.unwrap_or_else(|r| panic!("{r:?}"));
    let place = || vec![pool(Path::new("/anything"), ProviderKind::FileThin)];
    let holder = DataPeer { node: NodeName::parse("sim-0").unwrap(), volume: Id::from_uuid(Uuid::from_u128(1001)) };
    new.whole(place(), vec![replicated("web", 2000, ContentSource::Peers, vec![holder])]).await;
    let id = Uuid::from_u128(2000);
    let seen = new.rest(&[id]).await.remove(0);
    assert_eq!((seen.standing, seen.volumes[0].up_to_date), (Standing::Settled, Some(false)), "{seen:?}");
    old.whole(place(), vec![replicated("web", 1000, ContentSource::Fresh, Vec::new())]).await;
    let seen = old.rest(&[Uuid::from_u128(1000)]).await.remove(0);
    assert_eq!(seen.volumes[0].up_to_date, Some(true), "the controller's word: {seen:?}");
    new.until("the later one gets the data", |own| own.items[&id].volumes[0].up_to_date == Some(true)).await;
    // Another process may simulate the peer: nothing is known of it here, and nothing is held up by that.
    let far = DataPeer { node: NodeName::parse("far").unwrap(), volume: Id::from_uuid(Uuid::from_u128(9001)) };
    let seen = new.plan(vec![replicated("other", 3000, ContentSource::Peers, vec![far])]).await.remove(0);
    assert_eq!(seen.volumes[0].up_to_date, Some(true), "{seen:?}");
    stop.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
}
