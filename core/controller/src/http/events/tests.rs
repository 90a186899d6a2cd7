//! Streams as clients meet them.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use berth_engine::command::Command;
use berth_model::change::{Change, Object};
use berth_model::names::ResourceName;
use berth_model::objects::DrbdResource;
use berth_model::observed::{ItemRecord, ItemSeen, Standing, VolumeSeen};
use berth_model::props::PropChange;
use berth_model::size::Kib;
use berth_model::time::Timestamp;
use berth_store::Store;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::feed::Name;
use super::render;
use crate::testkit::{DEADLINE, Kit, kvs, node, node_name, replica};
use crate::{View, http};

/// An open stream.
struct Client {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Event {
    /// Serial of its place.
    id: Option<u64>,
    /// The place itself.
    place: Option<String>,
    name: String,
    data: Value,
}

impl Client {
    async fn open(kit: &Kit, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder().uri(path).header(header::ACCEPT, "text/event-stream").header(header::ACCEPT_ENCODING, "gzip");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = http::router(kit.controller.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]), (200, &"text/event-stream".parse().unwrap()));
        assert!(!response.headers().contains_key(header::CONTENT_ENCODING), "each event must go out at once");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None`: the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let event = line("event: ").map(|name| Event {
                    id: line("id: ").map(|id| id.split('-').next().unwrap().parse().unwrap()),
                    place: line("id: "),
                    name,
                    data: serde_json::from_str(&line("data: ").unwrap()).unwrap(),
                });
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let bytes = tokio::time::timeout(DEADLINE, self.body.next()).await.expect("nothing came")?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event of this name, which must come; others that are passed over must be `seen`.
    async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream has ended");
            if event.name == name {
                return event;
            }
            assert_eq!(event.name, "seen", "{event:?}");
        }
    }
}

#[tokio::test]
async fn every_change_is_told_once_and_a_client_goes_on_where_it_was() {
    let kit = Kit::new().await;
    kit.must([kvs("old", "x")]).await;
    let mut client = Client::open(&kit, "/v1/berth/events", None).await;
    let ready = client.next().await.unwrap();
    let begin = kit.controller.view().cluster.serial;
    assert_eq!((ready.name.as_str(), ready.id, &ready.data["serial"]), ("ready", Some(begin), &json!(begin)));
    assert_eq!(ready.data["cluster"], kit.controller.view().cluster.id.to_string());
    for round in 1..=3 {
        kit.must([kvs("new", &round.to_string())]).await;
        let event = client.until("change").await;
        assert_eq!((event.id, &event.data["command"]), (Some(begin + round), &json!("modify_key_value_store")), "{event:?}");
        assert_eq!((&event.data["actor"], &event.data["changes"]["put"]), (&json!("tester"), &json!(["key_value_store NEW"])));
    }
    // What it missed is in the log; what comes after that in the ring.
    let mut again = Client::open(&kit, "/v1/berth/events", Some(&(begin + 1).to_string())).await;
    assert_eq!(again.next().await.unwrap().id, Some(begin + 1));
    assert_eq!(again.next().await.unwrap().data, json!({"all": true}), "what was seen meanwhile is in no log");
    kit.must([kvs("new", "4")]).await;
    for serial in [begin + 2, begin + 3, begin + 4] {
        assert_eq!(again.until("change").await.id, Some(serial));
    }
    let mut by_query = Client::open(&kit, &format!("/v1/berth/events?after={}", begin + 3), None).await;
    assert_eq!(by_query.next().await.unwrap().name, "ready");
    assert_eq!(by_query.until("change").await.id, Some(begin + 4));
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_told_as_a_gap() {
    let kit = Kit::new().await;
    kit.must((0..5).map(|n| kvs("xx", &n.to_string()))).await;
    let now = kit.controller.view().cluster.serial;
    kit.store.trim_log(i64::MAX).await.unwrap();
    kit.must([kvs("xx", "after")]).await;
    // One that was away too long, and one that comes from another database.
    let mut late = Client::open(&kit, "/v1/berth/events", Some("1")).await;
    let mut strange = Client::open(&kit, "/v1/berth/events", Some(&(now + 100).to_string())).await;
    for (client, missed_from) in [(&mut late, 2), (&mut strange, now + 2)] {
        assert_eq!(client.next().await.unwrap().name, "ready");
        let event = client.until("resync").await;
        assert_eq!((event.id, event.data), (Some(now + 1), json!({"serial": now + 1, "missed_from": missed_from})));
    }
    kit.must([kvs("xx", "again")]).await;
    for client in [&mut late, &mut strange] {
        assert_eq!(client.until("change").await.id, Some(now + 2), "it goes on after the gap");
    }
}

#[tokio::test]
async fn what_a_client_has_of_another_history_is_told_as_a_gap() {
    let kit = Kit::new().await;
    kit.must((0..5).map(|n| kvs("xx", &n.to_string()))).await;
    let now = kit.controller.view().cluster.serial;
    let mut client = Client::open(&kit, &format!("/v1/berth/events?after={}", now - 1), None).await;
    assert_eq!(client.next().await.unwrap().name, "ready");
    let had = client.until("change").await.place.unwrap();
    // The same change: it goes on behind it, with nothing missed.
    let mut same = Client::open(&kit, "/v1/berth/events", Some(&had)).await;
    assert_eq!(same.next().await.unwrap().place.as_deref(), Some(had.as_str()));
    kit.must([kvs("xx", "next")]).await;
    assert_eq!(same.until("change").await.id, Some(now + 1));
    // A change with the same serial that was made at another time: the database of now was restored from before it.
    let (serial, time) = had.split_once('-').unwrap();
    let other = format!("{serial}-{}", time.parse::<i64>().unwrap() - 1);
    let mut strange = Client::open(&kit, "/v1/berth/events", Some(&other)).await;
    let ready = strange.next().await.unwrap();
    assert_eq!((ready.name.as_str(), ready.id), ("ready", Some(now + 1)));
    let event = strange.until("resync").await;
    assert_eq!((event.id, event.data), (Some(now + 1), json!({"serial": now + 1, "missed_from": now + 1})));
    kit.must([kvs("xx", "again")]).await;
    assert_eq!(strange.until("change").await.id, Some(now + 2));
}

impl Client {
    async fn until_any(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream has ended");
            if event.name == name {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_fell_off_the_ring_reads_on_in_the_log() {
    let kit = Kit::new().await;
    let mut client = Client::open(&kit, "/v1/berth/events", None).await;
    let begin = client.next().await.unwrap().id.unwrap();
    kit.must([kvs("xx", "1")]).await;
    assert_eq!(client.until("change").await.id, Some(begin + 1));
    kit.must((0..70).map(|n| kvs("xx", &n.to_string()))).await;
    // As if so much had come that the ring holds nothing of it any more.
    kit.controller.feed().topic(Name::Changes).forget(begin + 71);
    for serial in begin + 2..=begin + 71 {
        assert_eq!(client.until_any("change").await.id, Some(serial));
    }
    assert!(kit.controller.counters().samples().iter().any(|sample| sample.name == "berth_event_log_reads_total" && sample.value >= 2.0));
}

#[tokio::test]
async fn events_hold_no_secrets() {
    let kit = Kit::new().await;
    let mut client = Client::open(&kit, "/v1/berth/events", None).await;
    let command = Command::ModifyKeyValueStore {
        name: "xx".into(),
        expected: [].into(),
        override_props: [("db-password".to_owned(), "hush-hush".to_owned())].into(),
        delete_props: Vec::new(),
        delete_namespaces: Vec::new(),
    };
    kit.must([command]).await;
    let event = client.until_any("change").await;
    let text = event.data.to_string();
    assert!(text.contains("(hidden)") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn what_satellites_see_is_told_with_its_names() {
    let kit = Kit::new().await;
    let alpha = kit.node("alpha").await;
    let mut client = Client::open(&kit, "/v1/berth/events", None).await;
    assert_eq!(client.next().await.unwrap().name, "ready");
    alpha.leave().await;
    let seen = client.until("seen").await;
    assert_eq!((seen.id, &seen.data), (None, &json!({"nodes": ["alpha"], "resources": []})));
}

/// Creates a node, and does not wait for its satellite, which never comes.
fn create(kit: &Kit, name: &str) {
    let (controller, command) = (kit.controller.clone(), node(name));
    tokio::spawn(async move { controller.submit(command, &berth_model::access::Caller::internal("tester"), "test").await });
}

#[tokio::test]
async fn nodes_are_told_as_linstor_tells_them() {
    let kit = Kit::new().await;
    let mut client = Client::open(&kit, "/v1/events/nodes", None).await;
    create(&kit, "alpha");
    let event = client.next().await.unwrap();
    let told = &event.data["node"];
    assert_eq!((event.name.as_str(), event.id, &told["name"]), ("node-create", None, &json!("alpha")));
    assert_eq!((&told["connection_status"], &told["net_interfaces"][0]["is_active"]), (&json!("OFFLINE"), &json!(true)));

    let values = [("Aux/a".to_owned(), "1".to_owned()), ("Aux/password".to_owned(), "hush".to_owned())];
    let set = PropChange { override_props: values.into(), ..PropChange::default() };
    kit.must([Command::ModifyNode { node: "alpha".into(), node_type: None, props: set }]).await;
    let event = client.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["old_node"]["props"]["Aux/a"]), ("node-modified", &Value::Null), "{event:?}");
    assert_eq!(event.data["new_node"]["props"]["Aux/a"], "1");
    assert_eq!(event.data["new_node"]["props"]["Aux/password"], berth_model::secrets::HIDDEN, "viewers listen, too");

    let evacuate = Command::EvacuateNode { node: "alpha".into(), target: Vec::new(), do_not_target: Vec::new() };
    let restore = Command::RestoreNode { node: "alpha".into(), delete_resources: false, delete_snapshots: false };
    kit.must([evacuate]).await;
    let event = client.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["node"]["flags"]), ("node-evacuate", &json!(["EVACUATE"])));
    kit.must([restore]).await;
    assert_eq!(client.next().await.unwrap().name, "node-restored");

    // A node that is lost is told to nobody; one that is deleted is, with the flag of its end.
    kit.must([Command::LoseNode { node: "alpha".into() }]).await;
    create(&kit, "bravo");
    assert_eq!(client.next().await.unwrap().data["node"]["name"], "bravo");
    kit.must([Command::DeleteNode { node: "bravo".into() }]).await;
    let event = client.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["node"]["flags"]), ("node-delete", &json!(["DELETE"])));

    let charlie = kit.node("charlie").await;
    let event = client.next().await.unwrap();
    assert_eq!(event.name, "node-create");
    // Some of the states on the way may be passed over, never the last one.
    let mut status = event.data["node"]["connection_status"].clone();
    while status != "ONLINE" {
        let event = client.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["new_node"]["name"]), ("node-modified", &json!("charlie")));
        status = event.data["new_node"]["connection_status"].clone();
    }
    charlie.leave().await;
    let event = client.next().await.unwrap();
    let states = ["old_node", "new_node"].map(|which| event.data[which]["connection_status"].clone());
    assert_eq!((event.name.as_str(), states), ("node-modified", [json!("ONLINE"), json!("OFFLINE")]));
}

#[tokio::test]
async fn a_stream_without_a_log_that_missed_something_ends_and_says_so() {
    let kit = Kit::new().await;
    let mut client = Client::open(&kit, "/v1/events/nodes", None).await;
    kit.controller.feed().topic(Name::Nodes).forget(0);
    create(&kit, "alpha");
    let event = client.next().await.unwrap();
    assert_eq!(event.name, "error", "{event:?}");
    assert!(event.data[0]["correction"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn streams_end_with_the_controller_and_leave_nothing_behind() {
    let kit = Kit::new().await;
    let mut changes = Client::open(&kit, "/v1/berth/events", None).await;
    let mut promotion = Client::open(&kit, "/v1/events/drbd/promotion", Some("current")).await;
    let nodes = Client::open(&kit, "/v1/events/nodes", None).await;
    assert_eq!(kit.controller.feed().listeners(), 3);
    drop(nodes);
    assert_eq!(kit.controller.feed().listeners(), 2);
    assert_eq!(changes.next().await.unwrap().name, "ready");
    kit.stop.cancel();
    assert!(changes.next().await.is_none());
    assert!(promotion.next().await.is_none(), "there is no DRBD: nothing came");
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused() {
    let kit = Kit::new().await;
    let ask = async |path: &str, name: &str, value: &str| {
        let request = Request::builder().uri(path).header(name, value).body(Body::empty()).unwrap();
        let response = http::router(kit.controller.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let text = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let entries: Value = serde_json::from_slice(&text).unwrap();
        assert!(entries[0]["correction"].as_str().is_some_and(|text| !text.is_empty()), "{entries}");
        status
    };
    for path in ["/v1/events/nodes?x=1", "/v1/events/drbd/promotion", "/v1/berth/events"] {
        assert_eq!(ask(path, "Accept", "application/json").await, 406, "{path}");
    }
    for text in ["current", "-1", "1.5", "1-", "1-x", "99999999999999999999"] {
        assert_eq!(ask("/v1/berth/events", "Last-Event-ID", text).await, 400, "{text}");
    }
    assert_eq!(kit.controller.feed().listeners(), 0);
}

/// A state in which `web` has DRBD and one replica on alpha, which was seen or not.
fn with_drbd(view: &View, seen: Option<bool>) -> View {
    let name = ResourceName::parse("web").unwrap();
    let mut replica = (**view.cluster.resource(&name, &node_name("alpha")).unwrap()).clone();
    replica.drbd = Some(DrbdResource { node_id: 0, peer_slots: 7, ports: vec![7000] });
    let (mut cluster, mut observed) = ((*view.cluster).clone(), (*view.observed).clone());
    let id = replica.id.uuid();
    let number = *replica.volumes.keys().next().unwrap();
    cluster.fold([&Change::Put(Object::Resource(replica))]);
    let node = Arc::make_mut(observed.nodes.get_mut(&node_name("alpha")).unwrap());
    node.items.remove(&id);
    if let Some(up_to_date) = seen {
        let volume = VolumeSeen {
            number,
            device_path: None,
            backing_kib: Kib(4),
            allocated_kib: Kib(4),
            in_use: false,
            content: None,
            up_to_date: Some(up_to_date),
        };
        let seen = ItemSeen { id, generation: 1, standing: Standing::Settled, volumes: vec![volume], fault: None };
        node.items.insert(id, Arc::new(ItemRecord { seen, at: Timestamp(1) }));
    }
    View { cluster: Arc::new(cluster), observed: Arc::new(observed) }
}

#[tokio::test]
async fn promotion_is_told_when_it_changes_and_of_now_when_asked() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("web").await;
    let create = kit.submit(replica("web", "alpha"));
    tokio::join!(create, async {
        alpha.take().await;
        alpha.report(false, |_| Standing::Settled).await;
    });
    let view = kit.controller.view();
    let [unseen, no, yes] = [None, Some(false), Some(true)].map(|seen| with_drbd(&view, seen));
    let told = |before: &View, after: &View| {
        let texts = render::promotions(before, after).into_iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        texts.collect::<Vec<_>>().concat()
    };
    let event = |may: bool| {
        format!("event: may-promote-change\ndata: {{\"resource_name\":\"web\",\"node_name\":\"alpha\",\"may_promote\":{may}}}\n\n")
    };
    assert_eq!(told(&unseen, &no), event(false));
    assert_eq!(told(&no, &yes), event(true));
    assert_eq!(told(&yes, &yes), "");
    assert_eq!(told(&yes, &unseen), "", "what nobody sees is not told");
    assert_eq!(told(&view, &view), "", "no DRBD, no promotion");
    let (now, last) = render::promotions_of_now(&yes, None, 1);
    assert_eq!(now, [event(true).into_bytes()]);
    assert_eq!(render::promotions_of_now(&yes, last.as_ref(), 1), (Vec::new(), None));
}
