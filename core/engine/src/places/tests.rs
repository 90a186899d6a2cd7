use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::SelectFilter;
use berth_model::time::Timestamp;

use super::*;
use crate::command::{Command, FilterRequest};
use crate::explain::decision::Note;
use crate::testkit::{World, kib, resource};

const TREE: &str = "node aa +DRBD; node bb +DRBD; node cc +DRBD; node dd +DRBD offline; pool thin on aa FILE_THIN 50G; \
    pool thin on bb FILE_THIN 40G; pool thin on cc FILE_THIN 30G; pool tiny on cc FILE_THIN 1M; group two DRBD,STORAGE 2";

fn filter(edit: impl FnOnce(&mut SelectFilter)) -> FilterRequest {
    let mut request = FilterRequest::default();
    edit(&mut request.filter);
    request
}

fn names(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

fn ask(world: &World, question: &Question) -> Preview {
    preview(&world.cluster, &world.observed, question, &berth_model::access::Caller::internal("test"), Timestamp(1))
}

fn new(sizes: &[i64], filter: FilterRequest) -> Question {
    Question::New { group: "two".to_owned(), sizes: sizes.to_vec(), partial: false, filter }
}

fn spawn(name: &str, size: i64, filter: FilterRequest) -> Command {
    Command::SpawnResource {
        group: "two".to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        volume_sizes: vec![size],
        partial: false,
        definitions_only: false,
        filter,
        props: Default::default(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

/// `+aa/thin` for a place that is taken, `aa/thin` for one that fits, `-dd not_online` for one that does not.
fn shown(asked: &Asked, world: &World) -> Vec<String> {
    let place = |row: &Row| row.pool.as_ref().map_or_else(|| row.node.to_string(), |pool| format!("{}/{pool}", row.node));
    let line = |row: &Row| match row.verdict {
        Verdict::Chosen => format!("+{}", place(row)),
        Verdict::Fits => place(row),
        Verdict::Excluded => format!("-{} {}", place(row), row.rule),
    };
    asked.rows(&world.cluster).iter().map(line).collect()
}

/// The places of a resource's replicas.
fn places(world: &World, name: &str) -> Vec<(NodeName, StorPoolName)> {
    let pool = |replica: &berth_model::objects::Resource| replica.volumes.values().next().map(|volume| volume.pool.clone());
    world.cluster.replicas(&resource(name)).filter_map(|replica| Some((replica.node.clone(), pool(replica)?))).collect()
}

#[test]
fn a_preview_names_every_place_and_changes_nothing() {
    let world = World::of(TREE);
    let found = ask(&world, &new(&[1 << 20], FilterRequest::default()));
    assert!(!found.refused, "{:?}", found.replies);
    assert_eq!(found.asked.len(), 1);
    let asked = &found.asked[0];
    assert_eq!((asked.resource.clone(), asked.wanted, asked.failed.clone()), (None, Some(2), None));
    assert_eq!(shown(asked, &world), ["+aa/thin", "+bb/thin", "cc/thin", "-cc/tiny no_space", "-dd not_online"]);
    assert!(asked.rows(&world.cluster)[0].score > asked.rows(&world.cluster)[1].score);
    assert!(asked.rows(&world.cluster)[0].free.is_some());
    assert!(world.cluster.definitions.is_empty() && world.cluster.jobs.is_empty() && world.cluster.numbers.is_empty());
}

#[test]
fn a_preview_of_what_is_refused_has_the_table_too() {
    let world = World::of(TREE);
    let found = ask(&world, &new(&[1 << 20], filter(|filter| filter.place_count = Some(4))));
    assert!(found.refused);
    assert_eq!(shown(&found.asked[0], &world), ["aa/thin", "bb/thin", "cc/thin", "-cc/tiny no_space", "-dd not_online"]);
    assert!(found.asked[0].failed.is_some());
    // A question that is refused before the placer is asked.
    let found = ask(&world, &Question::Move { resource: "none".to_owned(), group: "two".to_owned() });
    assert_eq!((found.refused, found.asked.len(), found.replies[0].code.number()), (true, 0, 301));
}

/// What the preview names is what the command does: for every subject.
#[test]
fn what_is_previewed_is_what_is_done() {
    let mut world = World::of(TREE);
    assert!(world.give(&spawn("web", 4096, FilterRequest::default())).result.is_ok());
    world.add_group(&["three", "DRBD,STORAGE", "3"]);
    let filter_cc = || filter(|filter| filter.additional_place_count = Some(1));
    let questions: Vec<(Question, Command, &str)> = vec![
        (
            Question::Existing { resource: "web".to_owned(), filter: filter_cc(), diskless_on_remaining: None, layers: None },
            Command::Autoplace { resource: "web".to_owned(), filter: filter_cc(), diskless_on_remaining: None, layers: None },
            "web",
        ),
        (
            Question::Available { resource: "web".to_owned(), node: "cc".to_owned(), diskful: true, layers: Vec::new() },
            Command::MakeAvailable {
                resource: "web".to_owned(),
                node: "cc".to_owned(),
                diskful: true,
                layers: Vec::new(),
                drbd_tcp_ports: Vec::new(),
            },
            "web",
        ),
        (
            Question::Change { group: "two".to_owned(), filter: filter(|filter| filter.place_count = Some(3)) },
            Command::ModifyResourceGroup {
                name: "two".to_owned(),
                description: None,
                filter: filter(|filter| filter.place_count = Some(3)),
                peer_slots: None,
                props: Default::default(),
            },
            "web",
        ),
        (
            Question::Adjust { group: Some("two".to_owned()), filter: filter(|filter| filter.place_count = Some(3)) },
            Command::AdjustResourceGroup { group: Some("two".to_owned()), filter: filter(|filter| filter.place_count = Some(3)) },
            "web",
        ),
        (
            Question::Move { resource: "web".to_owned(), group: "three".to_owned() },
            Command::ModifyResourceDefinition {
                name: "web".to_owned(),
                props: Default::default(),
                drbd_port: None,
                drbd_peer_slots: None,
                layers: None,
                group: Some("three".to_owned()),
            },
            "web",
        ),
    ];
    let cluster = world.cluster.clone();
    let there = places(&world, "web");
    for (question, command, name) in questions {
        world.cluster = cluster.clone();
        let found = ask(&world, &question);
        assert!(!found.refused, "{question:?}: {:?}", found.replies);
        let foreseen: Vec<_> =
            found.asked.iter().flat_map(|asked| &asked.chosen).map(|place| (place.node.clone(), place.pool.clone())).collect();
        assert!(world.give(&command).result.is_ok(), "{command:?}");
        let made: Vec<_> =
            places(&world, name).into_iter().filter(|place| !there.contains(place)).map(|(node, pool)| (node, Some(pool))).collect();
        assert_eq!(foreseen, made, "{question:?}");
        assert_eq!(made.len(), 1, "{question:?}");
    }
}

#[test]
fn a_failed_placement_says_what_to_type() {
    let mut world = World::of(TREE);
    let decision = world.give(&spawn(
        "web",
        1 << 20,
        filter(|filter| {
            filter.place_count = Some(4);
            filter.replicas_on_different = names(&["Aux/a b"]);
        }),
    ));
    let reply = &decision.result.unwrap_err().replies[0];
    assert_eq!(reply.code.number(), 996);
    assert!(reply.details.contains("cc, pool tiny: ") && reply.details.contains("dd: not online"), "{}", reply.details);
    let typed = "berth place new 1048576KiB --group two --count 4 --replicas-on-different 'Aux/a b'";
    assert!(reply.details.ends_with(typed), "{}", reply.details);
    let long = world.give(&spawn("web", 4096, filter(|filter| filter.node_name_list = Some(vec!["x".repeat(200); 100]))));
    assert!(long.result.unwrap_err().replies[0].details.ends_with("ask POST /v1/berth/place with this filter."));
}

#[test]
fn the_reasons_of_many_nodes_are_one_line_for_each_rule() {
    let nodes: Vec<String> = (0..300).map(|at| format!("node n{at}; pool fat on n{at} LVM {}G", 1 + at % 7)).collect();
    let mut world = World::of(&format!("{}; group two STORAGE 2", nodes.join(";")));
    let decision = world.give(&spawn("web", 100 << 20, filter(|filter| filter.node_name_list = names(&["n1", "n2", "n3"]))));
    let details = decision.result.unwrap_err().replies[0].details.clone();
    assert!(details.contains("297 nodes (n0, n10, n100, n101, n102, …): not among the nodes asked for"), "{details}");
    assert!(details.contains("3 pools (n1, pool fat, n2, pool fat, n3, pool fat): too little space, e.g. "), "{details}");
    assert!(details.lines().count() < 12, "{details}");
}

#[test]
fn the_log_says_why_a_place_was_chosen() {
    let mut world = World::of(TREE);
    let decision = world.give(&spawn("web", 1 << 20, filter(|filter| filter.place_count = Some(1))));
    let notes = crate::explain::decision::decided(&decision.result.unwrap().replies, &decision.asked);
    let chosen = |note: &Note| match note {
        Note::Chosen { resource, node, pool, wanted, fitting, .. } => Some(format!("{resource} {node}/{pool} {wanted:?} of {fitting}")),
        _ => None,
    };
    assert_eq!(notes.iter().filter_map(chosen).collect::<Vec<_>>(), ["web aa/thin Some(1) of 3"]);
    let passed = |note: &Note| match note {
        Note::PassedOver { rule, count, first, .. } => Some(format!("{rule} {count} {first:?}")),
        _ => None,
    };
    let passed: Vec<String> = notes.iter().filter_map(passed).collect();
    assert_eq!(passed, ["outranked 2 [\"bb, pool thin\", \"cc, pool thin\"]", "no_space 1 [\"cc, pool tiny\"]", "not_online 1 [\"dd\"]"]);
    // The notes survive the log's JSON.
    let text = serde_json::to_string(&notes).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Note>>(&text).unwrap(), notes);
    // What thousands of nodes have to say is a few notes.
    let many: Vec<Tried> = (0..5000)
        .map(|at| Tried { node: crate::testkit::node(&format!("n{at}")), pool: None, why: Refusal::NodeNotListed, free: None, score: None })
        .collect();
    assert_eq!(groups(&many).len(), 1);
}

#[test]
fn as_many_as_fit_and_no_fewer_than_there_are() {
    let mut world = World::of(TREE);
    let all = || filter(|filter| filter.place_count = Some(-1));
    assert!(world.give(&spawn("web", 4096, all())).result.is_ok());
    assert_eq!(places(&world, "web").len(), 3);
    let again = Command::Autoplace { resource: "web".to_owned(), filter: all(), diskless_on_remaining: None, layers: None };
    let decision = world.give(&again);
    assert_eq!(crate::testkit::told(&decision), ["WARNING Resource 1006 RscDfn=web"]);
    // More than DRBD's metadata has room for are not placed.
    let nodes: Vec<String> = (0..12).map(|at| format!("node n{at} +DRBD; pool thin on n{at} FILE_THIN 9G")).collect();
    let mut world = World::of(&format!("{}; group two DRBD,STORAGE 2", nodes.join(";")));
    assert!(world.give(&spawn("web", 4096, all())).result.is_ok());
    assert_eq!(places(&world, "web").len(), 8);
    let decision = world.give(&spawn("wide", 4096, filter(|filter| filter.place_count = Some(9))));
    assert_eq!(decision.result.unwrap_err().replies[0].code.number(), 993);
}

#[test]
fn a_diskless_replica_gets_a_disk() {
    let mut world = World::of(TREE);
    assert!(world.give(&spawn("web", 4096, FilterRequest::default())).result.is_ok());
    let available = |diskful| Command::MakeAvailable {
        resource: "web".to_owned(),
        node: "cc".to_owned(),
        diskful,
        layers: Vec::new(),
        drbd_tcp_ports: Vec::new(),
    };
    assert!(world.give(&available(false)).result.is_ok());
    let jobs: Vec<_> = world.cluster.jobs.keys().copied().collect();
    jobs.into_iter().for_each(|id| world.cluster.fold([&berth_model::change::Change::Delete(berth_model::change::Key::Job(id))]));
    let more = filter(|filter| filter.additional_place_count = Some(1));
    let decision = world.give(&Command::Autoplace { resource: "web".to_owned(), filter: more, diskless_on_remaining: None, layers: None });
    assert!(decision.result.is_ok(), "{:?}", decision.result);
    assert_eq!(decision.asked[0].rows(&world.cluster)[0].why, "chosen: the diskless replica there gets a disk");
    let made = world.cluster.resource(&resource("web"), &crate::testkit::node("cc")).unwrap();
    assert_eq!((made.flags.clone(), made.volumes.values().next().unwrap().pool.to_string()), (Default::default(), "thin".to_owned()));
    assert!(made.volumes.values().all(|volume| volume.backing_kib >= kib("4M")));
}

fn clone_into(name: &str, group: Option<&str>) -> Command {
    Command::CloneResourceDefinition {
        source: "web".to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        layers: Vec::new(),
        group: group.map(str::to_owned),
        props: Default::default(),
        use_zfs_clone: None,
        passphrases: Vec::new(),
    }
}

/// The jobs of a world have ended.
fn settle(world: &mut World) {
    let jobs: Vec<_> = world.cluster.jobs.keys().copied().collect();
    jobs.into_iter().for_each(|id| world.cluster.fold([&berth_model::change::Change::Delete(berth_model::change::Key::Job(id))]));
}

#[test]
fn a_clone_keeps_the_rule_of_the_group_that_it_names() {
    let mut world = World::of(
        "node aa Aux/site=n; node bb Aux/site=s; pool thin on aa FILE_THIN 50G; pool thin on bb FILE_THIN 40G; pool fast on aa FILE_THIN 9G; \
         group two STORAGE 2; group fast STORAGE 1 fast; group any STORAGE 2",
    );
    let on_thin = || filter(|filter| filter.storage_pool_list = names(&["thin"]));
    assert!(world.give(&spawn("web", 4096, on_thin())).result.is_ok());
    settle(&mut world);
    // Without a group the data lies where its source does.
    let decision = world.give(&clone_into("copy", None));
    assert!(decision.result.is_ok(), "{:?}", decision.result);
    assert_eq!((decision.asked[0].kind, places(&world, "copy")), (Kind::Copies, places(&world, "web")));
    settle(&mut world);
    // A group whose pools hold none of the data cannot take it.
    let decision = world.give(&clone_into("quick", Some("fast")));
    let replies = decision.result.unwrap_err().replies;
    assert_eq!(replies[0].code.number(), 996);
    assert!(replies[0].details.contains("aa, pool thin: not among the pools asked for"), "{}", replies[0].details);
    assert!(replies[0].details.ends_with("berth place clone web --group fast"), "{}", replies[0].details);
    // A rule among replicas leaves one out, and says so.
    let site = Command::ModifyResourceGroup {
        name: "any".to_owned(),
        description: None,
        filter: filter(|filter| filter.replicas_on_same = names(&["Aux/site"])),
        peer_slots: None,
        props: Default::default(),
    };
    assert!(world.give(&site).result.is_ok());
    let question = Question::Clone { source: "web".to_owned(), group: Some("any".to_owned()), layers: Vec::new() };
    assert_eq!(shown(&ask(&world, &question).asked[0], &world), ["+aa/thin", "bb/thin"]);
    let decision = world.give(&clone_into("same", Some("any")));
    assert_eq!(places(&world, "same").iter().map(|(node, _)| node.to_string()).collect::<Vec<_>>(), ["aa"]);
    assert!(crate::testkit::told(&decision).iter().any(|line| line.starts_with("WARNING")), "{:?}", crate::testkit::told(&decision));
}

#[test]
fn making_available_keeps_the_rule_of_the_group() {
    let mut world = World::of(
        "node aa; node bb; node cc; pool thin on aa FILE_THIN 50G; pool slow on bb FILE_THIN 90G; pool thin on bb FILE_THIN 4G; \
         pool slow on cc FILE_THIN 9G; group two STORAGE 1 thin",
    );
    assert!(world.give(&spawn("web", 4096, FilterRequest::default())).result.is_ok());
    let available = |node: &str| Command::MakeAvailable {
        resource: "web".to_owned(),
        node: node.to_owned(),
        diskful: true,
        layers: vec!["storage".to_owned()],
        drbd_tcp_ports: Vec::new(),
    };
    assert!(world.give(&available("bb")).result.is_ok());
    assert_eq!(places(&world, "web")[1].1.as_str(), "thin");
    let reply = world.give(&available("cc")).result.unwrap_err().replies[0].clone();
    assert_eq!((reply.code.number(), reply.message.contains("Autoplacer could not find diskful stor pool")), (310, true));
    assert!(reply.details.starts_with("cc, pool slow: not among the pools asked for"), "{}", reply.details);
    assert!(reply.details.ends_with("berth place available cc web --diskful --layer-list storage"), "{}", reply.details);
}
