//! For each command there is: what the preview says is what the command does, and what follows is what comes.

mod drift;
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use berth_model::change::{Key, Object};
use berth_model::cluster::Cluster;
use berth_model::ids::IdSource;
use berth_model::names::DEFAULT_GROUP;
use berth_model::props::PropChange;
use berth_model::time::Timestamp;

use super::FRESH_AT;
use super::fields::{differences, fields};
use super::preview::{Fresh, Op, Preview, RecordChange, foresee};
use crate::apply::apply;
use crate::command::Command;
use crate::draft::Context;
use crate::testkit::{World, node, resource};
use berth_model::secrets::HIDDEN;
use samples::{ALL, cases, definition, samples, settle, spawn, text, word, world};

/// Satellites do all that they are told until nothing is left to do.
pub(crate) fn settled_for_tests(world: &mut World) {
    settle(world);
}

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn objects(cluster: &Cluster) -> BTreeMap<Key, Object> {
    let is_there = |object: &Object| *object != Object::Controller(Default::default());
    cluster.objects().filter(is_there).map(|object| (object.key(), object)).collect()
}

/// The real thing, with the same moment and seed.
fn really(world: &mut World, command: &Command) {
    let observed = world.observed.clone();
    let context = Context {
        now: NOW,
        ids: IdSource::new(FRESH_AT, *b"a preview's seed"),
        secret: "0".repeat(32),
        caller: berth_model::access::Caller::internal("tester"),
        observed: &observed,
        keys: &crate::vault::PaperKeys,
    };
    let applied = apply(&world.cluster, command, context).result.unwrap();
    world.cluster.fold(&applied.changes);
    world.cluster.serial += 1;
}

fn foreseen(world: &World, command: &Command) -> Preview {
    match foresee(
        &world.cluster,
        &world.observed,
        command,
        (&berth_model::access::Caller::internal("tester"), &crate::vault::PaperKeys),
        NOW,
    ) {
        Ok((_, preview)) => preview,
        Err(refused) => panic!("{command:?}: {:?}", refused.replies),
    }
}

#[test]
fn every_command_does_what_its_preview_says() {
    let of_samples: BTreeSet<&str> = cases().iter().map(|(_, command)| word(command)).collect();
    assert_eq!(of_samples, ALL.iter().copied().collect(), "a command without a sample");
    let logged: BTreeSet<String> =
        cases().iter().map(|(_, command)| serde_json::to_value(command).unwrap()["command"].as_str().unwrap().to_owned()).collect();
    assert_eq!(logged, Command::WORDS.iter().map(|word| (*word).to_owned()).collect(), "the words by which the log is asked");
    let mut changing = BTreeSet::new();
    for (start, command) in cases() {
        let before = objects(&start.cluster);
        let preview = foreseen(&start, &command);
        assert!(objects(&start.cluster) == before, "{command:?}: the preview changed something");

        let mut world = World { cluster: start.cluster.clone(), observed: start.observed.clone(), ..World::of("") };
        really(&mut world, &command);
        let after = objects(&world.cluster);
        let place: BTreeMap<&Key, usize> = preview.changes.iter().enumerate().map(|(place, change)| (&change.key, place)).collect();
        let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).filter(|key| before.get(key) != after.get(key)).collect();
        let mut real: Vec<RecordChange> = keys
            .into_iter()
            .map(|key| {
                let (old, new) = (before.get(key), after.get(key));
                let op = match (old, new) {
                    (None, _) => Op::Make,
                    (Some(_), Some(_)) => Op::Change,
                    (Some(_), None) => Op::Remove,
                };
                let fields = if new.is_some() { differences(old, new) } else { Vec::new() };
                RecordChange { op, key: key.clone(), name: String::new(), fields }
            })
            .collect();
        real.sort_by_key(|change| place.get(&change.key).copied().unwrap_or(usize::MAX));
        let mut fresh = Fresh::default();
        real.iter_mut().for_each(|change| fresh.rename_all(change));
        let nameless = |change: &RecordChange| RecordChange { name: String::new(), ..change.clone() };
        let predicted: Vec<RecordChange> =
            preview.changes.iter().filter(|change| change.op != Op::Change || !change.fields.is_empty()).map(nameless).collect();
        let unnamed = |changes: Vec<RecordChange>| {
            let entry = |change: RecordChange| (change.key.clone(), change);
            changes.into_iter().map(entry).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(unnamed(predicted), unnamed(real), "{command:?}");
        if !preview.changes.is_empty() {
            changing.insert(word(&command));
        }
    }
    let unchanging: Vec<&&str> = ALL.iter().filter(|name| !changing.contains(**name)).collect();
    assert_eq!(
        unchanging,
        [
            &"ReconnectNode",
            &"AdjustResourceGroup",
            &"MakeAvailable",
            &"ActivateResource",
            &"SwitchDrbdProxy",
            &"EnterMasterPassphrase",
            &"Tend"
        ]
    );
}

#[test]
fn what_follows_is_what_comes() {
    let start = world();
    for command in samples() {
        let mut expected: BTreeSet<String> = objects(&start.cluster).keys().map(|key| format!("{:?}", key)).collect();
        let preview = foreseen(&start, &command);
        for change in preview.changes.iter().chain(preview.steps.iter().flat_map(|step| &step.changes)) {
            let name = format!("{:?}", change.key);
            match change.op {
                Op::Make => assert!(expected.insert(name), "{command:?}: {change:?} is made twice"),
                Op::Change => assert!(expected.contains(&name), "{command:?}: {change:?} is not there"),
                Op::Remove => assert!(expected.remove(&name), "{command:?}: {change:?} is not there"),
            }
        }
        let mut world = World { cluster: start.cluster.clone(), observed: start.observed.clone(), ..World::of("") };
        really(&mut world, &command);
        settle(&mut world);
        let found: BTreeSet<String> = objects(&world.cluster).keys().map(|key| format!("{:?}", key)).collect();
        assert_eq!(found, expected, "{command:?}");
        assert_eq!(world.cluster.jobs.is_empty(), preview.open.is_empty(), "{command:?}: {:?}", preview.open);
    }
}

/// The steps as lines: number, who, what, and `…` for what waits.
fn steps(preview: &Preview) -> Vec<String> {
    let line = |step: &super::Step| {
        let who = step.node.as_ref().map_or("controller", |node| node.as_str());
        let waits = if step.waits.is_some() { " …" } else { "" };
        step.actions.iter().map(|action| format!("{} {who}: {action}{waits}", step.number)).collect::<Vec<_>>()
    };
    preview.steps.iter().flat_map(line).collect()
}

#[test]
fn steps_are_told_in_their_order() {
    let world = world();
    let told = steps(&foreseen(&world, &spawn("extra", "plain")));
    assert_eq!(
        told,
        [
            "1 alpha: make volume 0 of 'extra' in pool 'thin' (8192 KiB)",
            "1 alpha: serve 'extra'",
            "1 bravo: make volume 0 of 'extra' in pool 'thin' (8192 KiB)",
            "1 bravo: serve 'extra'",
            "2 controller: from now on count the content of resource 'extra' on 'alpha' as kept: it is never made anew",
            "2 controller: from now on count the content of resource 'extra' on 'bravo' as kept: it is never made anew",
            "2 controller: end job new-9 (create of 'extra')",
        ]
    );
    let rollback = Command::RollbackSnapshot { resource: text("web"), name: text("s1"), zfs_rollback_strategy: None };
    let told = steps(&foreseen(&world, &rollback));
    let on_alpha: Vec<&str> = told.iter().filter_map(|line| line.split_once(" alpha: ").map(|(_, what)| what)).collect();
    assert_eq!(
        on_alpha,
        ["stop serving 'web'; its data stays", "give volume 0 of 'web' the data of snapshot 'web_00000.s1'", "serve 'web'"]
    );
}

#[test]
fn a_node_that_is_away_does_its_part_later() {
    let world = world();
    let delete = Command::DeleteResource { resource: text("kept"), node: text("charlie"), keep_tiebreaker: None };
    let preview = foreseen(&world, &delete);
    assert_eq!(
        steps(&preview),
        [
            "1 controller: remove resource 'kept' on 'charlie'",
            "1 controller: leave a tombstone of 'kept' on 'charlie', which the node honours when it is back",
            "1 controller: end job new-1 (delete of 'kept')",
            "2 charlie: stop serving 'kept' …",
            "2 charlie: remove volume 0 of 'kept' from pool 'thin', with its data …",
        ]
    );
    assert_eq!(preview.steps[1].waits.as_deref(), Some("'charlie' is away (It was unplugged); it does this when it is back"));
    assert!(preview.open.is_empty());
    assert_eq!(preview.ended.iter().map(|reply| reply.code.number()).collect::<Vec<_>>(), [1002, 2], "{:?}", preview.ended);
    let grow = Command::ModifyVolumeDefinition {
        resource: text("kept"),
        number: 0,
        size_kib: Some(8192),
        flags: Vec::new(),
        props: PropChange::default(),
    };
    let preview = foreseen(&world, &grow);
    assert_eq!(steps(&preview), ["1 charlie: grow volume 0 of 'kept' from 4096 KiB to 8192 KiB …"]);
    assert_eq!(preview.open.len(), 1, "{:?}", preview.open);
}

#[test]
fn secrets_are_hidden_and_refusals_are_those_of_the_command() {
    let world = world();
    let store = samples().into_iter().find(|command| word(command) == "ModifyKeyValueStore").unwrap();
    let preview = foreseen(&world, &store);
    let field = &preview.changes[0].fields[0];
    assert_eq!((field.before.as_ref(), field.after.as_ref()), (Some(&HIDDEN.into()), Some(&HIDDEN.into())));
    let made = foreseen(&world, &definition("more"));
    assert!(!format!("{made:?}").contains(&"0".repeat(32)), "{made:?}");
    let nonsense = foresee(
        &world.cluster,
        &world.observed,
        &spawn("b!d", DEFAULT_GROUP),
        (&berth_model::access::Caller::internal("tester"), &crate::vault::PaperKeys),
        NOW,
    )
    .unwrap_err();
    assert!(nonsense.replies[0].is_error());
}

#[test]
fn fields_are_told_apart_by_their_place() {
    let world = world();
    let web = world.cluster.resource(&resource("web"), &node("alpha")).unwrap();
    let flat = fields(&Object::Resource((**web).clone()));
    assert_eq!(flat.get("volumes.0.backing_kib"), Some(&8192.into()));
    assert_eq!(flat.get("volumes.0.content.source.from"), Some(&"kept".into()));
    assert!(differences(Some(&Object::Resource((**web).clone())), Some(&Object::Resource((**web).clone()))).is_empty());
}
