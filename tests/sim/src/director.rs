//! The director: decides what goes wrong, and when it is well again.

use std::sync::Arc;
use std::time::Duration;

use berth_model::names::NodeName;
use berth_plugin_sdk::Kib;
use tokio_util::sync::CancellationToken;

use crate::clients;
use crate::disk::{Wear, downtime};
use crate::machine::{POOL, Trouble};
use crate::network::Weather;
use crate::stage::Stage;
use crate::world::Draw;

/// How rough a run is; drawn once, so that some runs have one kind of trouble and others all of it.
#[derive(Debug, Clone, Copy)]
struct Mood {
    network: bool,
    kills: bool,
    power: bool,
    controllers: bool,
    disk: bool,
    tools: bool,
    clock: bool,
    nodes: bool,
}

/// One of several who make trouble until `done`; what is begun is not mended here.
pub async fn direct(stage: Arc<Stage>, number: usize, done: CancellationToken) {
    let mut moods = stage.world.fork("mood");
    let mut rng = stage.world.fork(&format!("director {number}"));
    let mut yes = |odds| moods.permille(odds);
    let mood = Mood {
        network: yes(600),
        kills: yes(600),
        power: yes(300),
        controllers: yes(600),
        disk: yes(400),
        tools: yes(500),
        clock: yes(200),
        nodes: yes(250),
    };
    stage.world.note(&format!("{mood:?}"));
    loop {
        let pause = rng.millis(50, 2000);
        tokio::select! {
            biased;
            () = done.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        // A dead controller comes back, whatever killed it.
        if stage.controller().is_none() {
            tokio::time::sleep(downtime(&mut rng)).await;
            stage.start_controller(true).await;
        }
        scene(&stage, mood, &mut rng).await;
    }
}

async fn scene(stage: &Arc<Stage>, mood: Mood, rng: &mut fastrand::Rng) {
    let number = rng.usize(..stage.machines.len());
    let Some(machine) = stage.machines.get(number).cloned() else { return };
    match rng.u32(..16) {
        0 | 1 if mood.network => {
            let mut odds = |most: u32| if rng.bool() { rng.u32(..most) } else { 0 };
            let weather = Weather {
                lost: odds(60),
                doubled: odds(100),
                overtaken: odds(100),
                late: odds(100),
                half_open: odds(200),
                repeated: odds(200),
            };
            stage.world.note(&format!("{weather:?}"));
            stage.network.set_weather(weather);
        }
        2 | 3 if mood.network => {
            stage.world.note(&format!("the link of {} is cut", machine.name));
            stage.network.cut(machine.address, true);
            tokio::time::sleep(rng.millis(100, 12_000)).await;
            stage.network.cut(machine.address, false);
            stage.world.note(&format!("the link of {} is joined", machine.name));
        }
        4 if mood.network => {
            stage.world.note(&format!("{} hangs", machine.name));
            stage.network.hang(machine.address, true);
            tokio::time::sleep(rng.millis(100, 12_000)).await;
            stage.network.hang(machine.address, false);
            stage.world.note(&format!("{} goes on", machine.name));
        }
        5 | 6 if mood.kills => {
            if let Some(guest) = stage.guest(number) {
                if rng.bool() { guest.kill() } else { guest.kill_after(rng.i64(1..12)) }
            }
            tokio::time::sleep(rng.millis(100, 8000)).await;
            stage.kill_guest(number);
            stage.start_guest(number);
        }
        7 if mood.power => {
            stage.kill_guest(number);
            machine.power_cut();
            tokio::time::sleep(rng.millis(100, 8000)).await;
            stage.start_guest(number);
        }
        8 | 9 if mood.controllers => {
            stage.kill_controllers();
            tokio::time::sleep(downtime(rng)).await;
            stage.start_controller(true).await;
        }
        10 if mood.controllers => {
            stage.world.note("a second controller takes over, the first does not know");
            stage.start_controller(false).await;
            tokio::time::sleep(rng.millis(100, 10_000)).await;
            if mood.kills || rng.bool() {
                // A satellite that forgot everything but its disk meets both.
                stage.kill_guest(number);
                tokio::time::sleep(rng.millis(10, 1000)).await;
                stage.start_guest(number);
                tokio::time::sleep(rng.millis(100, 20_000)).await;
            }
            stage.kill_older_controllers();
        }
        11 if mood.disk => {
            let mut odds = |most: u32| if rng.bool() { rng.u32(..most) } else { 0 };
            stage.disk.set_wear(Wear { slow: odds(300), full: odds(300), dies_before: odds(30), dies_after: odds(60) });
        }
        12 | 13 if mood.tools => {
            let mut odds = |most: u32| if rng.bool() { rng.u32(..most) } else { 0 };
            let (fails, nonsense, slow, full) = (odds(80), odds(50), odds(200), odds(20));
            machine.set_trouble(Trouble { fails, nonsense, slow, full, apart: fails.saturating_mul(12) });
            if rng.permille(200) {
                for memory in machine.pools().values() {
                    memory.fill(Kib(POOL.0 - (64 << 10)));
                }
            }
            if let Some((_, _, device)) = rng.one_of(&machine.links()) {
                machine.open(device.clone());
                stage.devices_used(number, vec![device.clone()]).await;
            }
        }
        14 if mood.clock => {
            let day = 86_400_000;
            stage.world.step_clock(rng.i64(-400 * day..400 * day));
        }
        15 if mood.nodes && rng.bool() => lose(stage, number, rng).await,
        15 if mood.nodes => {
            let Ok(node) = NodeName::parse(&machine.name) else { return };
            clients::evacuate_node(stage, &node).await;
            tokio::time::sleep(rng.millis(100, 10_000)).await;
            clients::restore_node(stage, &node).await;
        }
        _ => {
            // A quiet moment: some trouble ends.
            stage.network.set_weather(Weather::default());
            stage.disk.set_wear(Wear::default());
            machine.set_trouble(Trouble::default());
            let closed = machine.close_all();
            stage.devices_used(number, closed).await;
        }
    }
}

/// A node is given up; its machine joins again, mostly installed anew, sometimes with all that it holds.
async fn lose(stage: &Arc<Stage>, number: usize, rng: &mut fastrand::Rng) {
    let Some(machine) = stage.machines.get(number) else { return };
    let Ok(node) = NodeName::parse(&machine.name) else { return };
    stage.kill_guest(number);
    tokio::time::sleep(rng.millis(100, 8000)).await;
    let before = stage.checks.truth().nodes.get(&node).map(|node| node.id);
    clients::lose_node(stage, &node).await;
    let given_up = before.is_some() && stage.checks.truth().nodes.get(&node).map(|node| node.id) != before;
    // What is installed anew while its controller still counts on its data has lost it.
    if given_up && rng.permille(700) {
        machine.install_anew();
    }
    stage.start_guest(number);
    join(stage, number, Duration::from_secs(20)).await;
}

/// Makes a machine a node with pools, if it is none; gives up after `patience`.
pub async fn join(stage: &Arc<Stage>, number: usize, patience: Duration) {
    let Some(machine) = stage.machines.get(number) else { return };
    let until = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < until && !stage.world.over().is_cancelled() {
        let truth = stage.checks.truth();
        let Ok(node) = NodeName::parse(&machine.name) else { return };
        if !truth.nodes.contains_key(&node) {
            let _told = stage.ask("operator", clients::create_node(&machine.name, machine.address)).await;
        } else if truth.pools_of(&node).count() < 3 {
            for command in clients::create_pools(&machine.name) {
                let _told = stage.ask("operator", command).await;
            }
        } else {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
