//! Sessions over the real wire, with a satellite in this process that does what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_model::codes::Code;
use berth_model::inquiry::{Answer, Question};
use berth_model::observed::{ConnectionStatus, Standing};
use berth_proto::satellite_server::{Satellite, SatelliteServer};
use berth_proto::{ASK, Down, Hello, NeedWhole, Observation, PROTOCOL_MAX, Pong, Refusal, Told, Up, Welcome, down, refusal, up};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Common, supervise};
use crate::state::View;
use crate::testkit::{Holding, Kit, capabilities, jobs, node_at, node_name, pool, replica, until};

/// What the satellite does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// What it is told.
    Obeys,
    /// Refuses each hello.
    Refuses(refusal::Reason),
    /// Says nothing at all.
    Frozen,
    /// Cannot use partial plans, once.
    Forgets,
    /// Observes nonsense.
    Babbles,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    hellos: Vec<Hello>,
    held: Holding,
    bases: Vec<u64>,
}

/// A satellite on loopback.
#[derive(Debug, Clone)]
struct Machine(Arc<Mutex<State>>, CancellationToken);

impl Machine {
    fn new(mood: Mood) -> Self {
        let state = State { mood, hellos: Vec::new(), held: Holding::default(), bases: Vec::new() };
        Self(Arc::new(Mutex::new(state)), CancellationToken::new())
    }

    /// The same machine with a new process on it.
    fn restarted(&self) -> Self {
        Self(Arc::clone(&self.0), CancellationToken::new())
    }

    fn be(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    /// Serves on `address` until it is killed; returns where.
    async fn serve(&self, address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
        let stop = self.1.clone();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(SatelliteServer::new(self.clone()));
        let task = tokio::spawn(async move {
            // Like a kill: what is open is cut.
            tokio::select! {
                ended = server.serve_with_incoming(TcpListenerStream::new(listener)) => ended.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        (address, task)
    }

    /// Answers one message.
    fn answer(&self, message: down::Message) -> Vec<up::Message> {
        let mut state = self.0.lock().unwrap();
        match (state.mood, message) {
            (Mood::Frozen, _) => Vec::new(),
            (Mood::Refuses(reason), down::Message::Hello(hello)) => {
                state.hellos.push(hello);
                vec![up::Message::Refusal(Refusal { reason: reason.into(), detail: "a test".into() })]
            }
            (_, down::Message::Hello(hello)) => {
                let capabilities = serde_json::to_vec(&capabilities("machine")).unwrap();
                let generation = state.held.generation;
                state.hellos.push(hello);
                vec![up::Message::Welcome(Welcome {
                    protocol: PROTOCOL_MAX,
                    capabilities,
                    generation,
                    features: vec![ASK.to_owned()],
                    ..Welcome::default()
                })]
            }
            (_, down::Message::NeedReport(_)) => Vec::new(),
            (_, down::Message::Ask(ask)) => {
                let body = serde_json::to_vec(&Answer::Devices { devices: Vec::new() }).unwrap();
                vec![up::Message::Told(Told { number: ask.number, body })]
            }
            (_, down::Message::Ping(ping)) => vec![up::Message::Pong(Pong { number: ping.number, observations: 0 })],
            (Mood::Babbles, down::Message::Plan(plan)) => {
                vec![up::Message::Observation(Observation { generation: plan.generation, body: b"{\"items\":7}".to_vec(), number: 0 })]
            }
            (Mood::Forgets, down::Message::Plan(plan)) if plan.base != 0 => {
                state.mood = Mood::Obeys;
                state.bases.push(plan.base);
                vec![up::Message::NeedWhole(NeedWhole { generation: state.held.generation })]
            }
            (_, down::Message::Plan(plan)) => {
                assert!(plan.base == 0 || plan.base == state.held.generation, "{plan:?}");
                assert!(plan.generation >= state.held.generation, "plans only grow");
                state.bases.push(plan.base);
                state.held.take(plan.generation, plan.base, serde_json::from_slice(&plan.body).unwrap());
                let seen = state.held.report(plan.base == 0, |_| Standing::Settled);
                let body = serde_json::to_vec(&seen).unwrap();
                vec![up::Message::Observation(Observation { generation: plan.generation, body, number: 0 })]
            }
        }
    }
}

#[tonic::async_trait]
impl Satellite for Machine {
    type SessionStream = ReceiverStream<Result<Up, Status>>;

    async fn session(&self, request: Request<Streaming<Down>>) -> Result<Response<Self::SessionStream>, Status> {
        let mut down = request.into_inner();
        let (up, answers) = mpsc::channel(16);
        let machine = self.clone();
        tokio::spawn(async move {
            loop {
                let next = tokio::select! { next = down.message() => next, () = machine.1.cancelled() => return };
                let Ok(Some(Down { message: Some(message) })) = next else { return };
                for message in machine.answer(message) {
                    if up.send(Ok(Up { message: Some(message) })).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// A controller with sessions that are quick to lose patience.
async fn with_sessions() -> Kit {
    let mut kit = Kit::new().await;
    let (_, nobody) = mpsc::channel(1);
    let woken = std::mem::replace(&mut kit.core.woken, nobody);
    let common = Common {
        view: kit.controller.follow(),
        queue: kit.controller.queue(),
        numbers: Default::default(),
        signs: Arc::default(),
        lines: kit.controller.shared_lines(),
        whole: tokio::sync::Semaphore::new(1),
        leader: "test".to_owned(),
        counters: kit.controller.shared_counters(),
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(1500),
        outside: crate::outside::Outside::real(),
    };
    tokio::spawn(supervise(Arc::new(common), woken, kit.stop.clone()));
    kit
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn status(view: &View) -> Option<ConnectionStatus> {
    view.observed.nodes.get(&node_name("alpha")).map(|seen| seen.status)
}

#[tokio::test]
async fn a_request_goes_to_the_satellite_and_back() {
    let kit = with_sessions().await;
    let machine = Machine::new(Mood::Obeys);
    let (address, served) = machine.serve(anywhere()).await;
    let answer = kit.submit(node_at("alpha", address)).await;
    let codes: Vec<_> = answer.replies.iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [Code::CREATED, Code::SATELLITE_CONNECTED, Code::INFO_NODE_NAME_MISMATCH], "{answer:?}");
    assert!(answer.replies.iter().all(|reply| reply.refs["Node"] == "alpha"));
    kit.must([pool("alpha")]).await;
    until(&kit.controller, |view| view.observed.pool(&node_name("alpha"), &crate::testkit::thin()).is_some()).await;
    kit.definition("one").await;
    let answer = kit.submit(replica("one", "alpha")).await;
    assert!(!answer.is_error() && jobs(&kit.controller.view(), "one") == 0, "{answer:?}");
    {
        let state = machine.0.lock().unwrap();
        let view = kit.controller.view();
        assert_eq!(state.hellos[0].cluster_id, view.cluster.id.to_string());
        assert_eq!(state.hellos[0].node_id, view.cluster.nodes[&node_name("alpha")].id.to_string());
        assert_eq!(state.bases[0], 0, "the first plan is whole");
        assert!(state.bases[1..].iter().all(|base| *base > 0), "{:?}", state.bases);
    }
    let id = kit.controller.view().cluster.nodes[&node_name("alpha")].id;
    assert_eq!(kit.controller.ask(id, &Question::Devices).await, Ok(Answer::Devices { devices: Vec::new() }));
    // Gone and back on the same address.
    machine.1.cancel();
    served.await.unwrap();
    until(&kit.controller, |view| status(view) == Some(ConnectionStatus::Offline)).await;
    assert_eq!(kit.controller.ask(id, &Question::Devices).await, Err(super::Silent::Offline));
    let (_, _served) = machine.restarted().serve(address).await;
    until(&kit.controller, |view| status(view) == Some(ConnectionStatus::Online)).await;
    kit.stop.cancel();
}

#[tokio::test]
async fn a_node_that_nobody_serves_is_registered_with_a_warning() {
    let kit = with_sessions().await;
    // Bound and not listening is nobody: take a port and let it go.
    let address = TcpListener::bind(anywhere()).await.unwrap().local_addr().unwrap();
    let answer = kit.submit(node_at("alpha", address)).await;
    let codes: Vec<_> = answer.replies.iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [Code::CREATED, Code::WARN_NOT_CONNECTED], "{answer:?}");
    assert!(!answer.replies[1].cause.is_empty() && answer.replies[1].refs["Node"] == "alpha");
    kit.stop.cancel();
}

#[tokio::test]
async fn refusals_have_their_states() {
    use refusal::Reason;
    let kit = with_sessions().await;
    let machine = Machine::new(Mood::Refuses(Reason::OtherController));
    let (address, _served) = machine.serve(anywhere()).await;
    let answer = kit.submit(node_at("alpha", address)).await;
    assert!(answer.replies[1].cause.contains("another controller"), "{answer:?}");
    until(&kit.controller, |view| status(view) == Some(ConnectionStatus::OtherController)).await;
    for (reason, state) in [
        (Reason::VersionMismatch, ConnectionStatus::VersionMismatch),
        (Reason::StaleEpoch, ConnectionStatus::OtherController),
        (Reason::OtherNode, ConnectionStatus::HostnameMismatch),
    ] {
        machine.be(Mood::Refuses(reason));
        kit.submit(berth_engine::command::Command::ReconnectNode { node: "alpha".into() }).await;
        until(&kit.controller, |view| status(view) == Some(state)).await;
    }
    machine.be(Mood::Obeys);
    let answer = kit.submit(berth_engine::command::Command::ReconnectNode { node: "alpha".into() }).await;
    assert_eq!(answer.replies[1].code, Code::SATELLITE_CONNECTED, "{answer:?}");
    kit.stop.cancel();
}

#[tokio::test]
async fn a_frozen_satellite_is_lost_and_slows_nobody() {
    let kit = with_sessions().await;
    let machine = Machine::new(Mood::Obeys);
    let (address, _served) = machine.serve(anywhere()).await;
    kit.must([node_at("alpha", address)]).await;
    machine.be(Mood::Frozen);
    kit.must([pool("alpha")]).await;
    let view = until(&kit.controller, |view| status(view) == Some(ConnectionStatus::Offline)).await;
    let reason = view.observed.nodes[&node_name("alpha")].reason.clone().unwrap();
    assert!(reason.contains("sign of life") || reason.contains("did not answer"), "{reason}");
    machine.be(Mood::Obeys);
    until(&kit.controller, |view| status(view) == Some(ConnectionStatus::Online)).await;
    kit.stop.cancel();
}

#[tokio::test]
async fn a_satellite_that_forgot_gets_a_whole_plan() {
    let kit = with_sessions().await;
    let machine = Machine::new(Mood::Obeys);
    let (address, _served) = machine.serve(anywhere()).await;
    kit.must([node_at("alpha", address)]).await;
    machine.be(Mood::Forgets);
    kit.must([pool("alpha")]).await;
    until(&kit.controller, |view| view.observed.pool(&node_name("alpha"), &crate::testkit::thin()).is_some()).await;
    let bases = machine.0.lock().unwrap().bases.clone();
    assert!(bases.len() >= 3 && bases[1] > 0 && bases[2] == 0, "{bases:?}");
    kit.stop.cancel();
}

#[tokio::test]
async fn nonsense_costs_the_session_and_nothing_else() {
    let kit = with_sessions().await;
    let machine = Machine::new(Mood::Babbles);
    let (address, _served) = machine.serve(anywhere()).await;
    let answer = kit.submit(node_at("alpha", address)).await;
    assert!(answer.replies[1].cause.contains("cannot be read"), "{answer:?}");
    assert_eq!(status(&kit.controller.view()), Some(ConnectionStatus::FullSyncFailed));
    kit.must([crate::testkit::kvs("one", "1")]).await;
    kit.stop.cancel();
}

#[tokio::test]
async fn sessions_follow_the_nodes() {
    let kit = with_sessions().await;
    let machines = [Machine::new(Mood::Obeys), Machine::new(Mood::Obeys)];
    let (first, _served) = machines[0].serve(anywhere()).await;
    let (second, _served) = machines[1].serve(anywhere()).await;
    kit.must([node_at("alpha", first)]).await;
    let interface =
        berth_engine::command::NetIfInput { name: "default".into(), satellite_port: Some(i64::from(second.port())), ..Default::default() };
    kit.must([berth_engine::command::Command::ModifyNetIf { node: "alpha".into(), interface }]).await;
    until(&kit.controller, |view| status(view) == Some(ConnectionStatus::Online) && !machines[1].0.lock().unwrap().hellos.is_empty()).await;
    let before = kit.controller.view().cluster.nodes[&node_name("alpha")].id;
    kit.must([berth_engine::command::Command::DeleteNode { node: "alpha".into() }]).await;
    until(&kit.controller, |view| status(view).is_none()).await;
    let answer = kit.submit(node_at("alpha", first)).await;
    assert_eq!(answer.replies[1].code, Code::SATELLITE_CONNECTED, "{answer:?}");
    let hellos = machines[0].0.lock().unwrap().hellos.clone();
    assert_ne!(hellos.last().unwrap().node_id, before.to_string(), "another node of the same name");
    kit.stop.cancel();
}
