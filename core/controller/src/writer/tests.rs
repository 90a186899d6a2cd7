//! The writer with satellites on its queue, in paused time where time matters.

use std::time::Duration;

use berth_engine::command::Command;
use berth_model::access::Caller;
use berth_model::codes::Code;
use berth_model::names::KvsName;
use berth_model::observed::{Observation, Standing, Stranger};
use berth_store::{Entry, LogEntry, Store, Transaction, Write};
use tokio::time::Instant;

use crate::happenings::Counters;
use crate::state::{Answer, View};
use crate::testkit::{Kit, definition, jobs, kvs, node_name, replica, thin, until};
use crate::writer::SessionEvent;

fn codes(answer: &Answer) -> Vec<Code> {
    answer.replies.iter().map(|reply| reply.code).collect()
}

fn has(answer: &Answer, code: Code) -> bool {
    codes(answer).contains(&code)
}

fn count(counters: &Counters, name: &str) -> u64 {
    let sample = counters.samples().into_iter().find(|sample| sample.name == name).unwrap();
    sample.value as u64
}

fn stores(view: &View) -> usize {
    view.cluster.stores.len()
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_answered_when_its_satellite_has_seen_it() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let (answer, ()) = tokio::join!(kit.submit(replica("one", "alpha")), async {
        let named = alpha.take().await;
        assert_eq!(named.len(), 1, "only what is new is told");
        alpha.report(false, |_| Standing::Working).await;
        alpha.report(false, |_| Standing::Settled).await;
    });
    assert!(!answer.is_error() && has(&answer, Code::CREATED) && has(&answer, Code::MODIFIED), "{answer:?}");
    assert!(answer.replies.iter().all(|reply| reply.refs.contains_key("RscDfn") && reply.created.0 > 0), "{answer:?}");
    let view = until(&kit.controller, |view| jobs(view, "one") == 0).await;
    let item = view.cluster.resources_on(&alpha.node).next().unwrap().id.uuid();
    assert_eq!(view.observed.item(&alpha.node, item).unwrap().seen.standing, Standing::Settled);
    assert!(view.observed.pool(&alpha.node, &thin()).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_offline_node_is_answered_at_once_and_caught_up_later() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    alpha.leave().await;
    let begun = Instant::now();
    let answer = kit.submit(replica("one", "alpha")).await;
    assert!(has(&answer, Code::WARN_NOT_CONNECTED) && !answer.is_error(), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(jobs(&kit.controller.view(), "one"), 1, "the job goes on");
    alpha.open().await;
    alpha.report(true, |_| Standing::Settled).await;
    until(&kit.controller, |view| jobs(view, "one") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_job_is_waited_for_thirty_seconds_and_a_working_one_longer() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(kit.submit(replica("one", "alpha")), async {
        alpha.take().await;
        for _ in 0..5 {
            alpha.report(false, |_| Standing::Working).await;
            tokio::time::advance(Duration::from_secs(20)).await;
        }
    });
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(110) && waited < Duration::from_secs(150), "{waited:?}");
    let warning = answer.replies.iter().find(|reply| reply.code == Code::WARN_NOT_CONNECTED).unwrap();
    let job = kit.controller.view().cluster.jobs.keys().next().unwrap().to_string();
    assert!(warning.message.contains(&job) && warning.refs["Job"] == job, "{warning:?}");
    alpha.report(false, |_| Standing::Settled).await;
    until(&kit.controller, |view| jobs(view, "one") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_answered_at_once_and_reported() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let (answer, ()) = tokio::join!(kit.submit(replica("one", "alpha")), async {
        alpha.take().await;
        alpha.report(false, |_| Standing::Faulty).await;
    });
    assert!(answer.is_error(), "{answer:?}");
    assert_eq!(kit.controller.reports().list()[0].node, "alpha");
    alpha.report(false, |_| Standing::Faulty).await;
    alpha.report(false, |_| Standing::Settled).await;
    until(&kit.controller, |view| jobs(view, "one") == 0).await;
    assert_eq!(kit.controller.reports().count(), 1, "one report for one fault");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_refused_commit_happens() {
    let kit = Kit::new().await;
    kit.must([kvs("before", "1")]).await;
    let serial = kit.controller.view().cluster.serial;
    kit.store.refuse_commits(1);
    let (first, second) = tokio::join!(kit.submit(kvs("one", "1")), kit.submit(kvs("one", "2")));
    // Both stand in one group, or the second finds a store that works again.
    assert!(first.is_error() && has(&first, Code::FAIL_UNKNOWN_ERROR), "{first:?}");
    let error = &first.replies[0];
    assert!(error.cause.contains("no space left") && error.correction.starts_with("Free") && !error.reports.is_empty(), "{error:?}");
    let view = kit.controller.view();
    match second.is_error() {
        true => assert_eq!((view.cluster.serial, stores(&view)), (serial, 1)),
        false => assert_eq!((view.cluster.serial, stores(&view)), (serial + 1, 2)),
    }
    kit.must([kvs("two", "1")]).await;
    assert!(kit.controller.health().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_named_until_it_works_again_by_itself() {
    let kit = Kit::new().await;
    kit.store.refuse_commits(2);
    assert!(kit.submit(kvs("one", "1")).await.is_error());
    assert!(kit.controller.health().failures[0].contains("no space left"));
    let begun = Instant::now();
    let serial = kit.controller.view().cluster.serial;
    until(&kit.controller, |view| view.cluster.serial > serial).await;
    assert!(kit.controller.health().failures.is_empty());
    assert!(begun.elapsed() > Duration::from_secs(2), "tried after one second, and two more");
    assert_eq!(kit.controller.reports().count(), 1, "one report for one trouble");
}

#[tokio::test(start_paused = true)]
async fn a_deposed_controller_writes_no_more() {
    let kit = Kit::new().await;
    let epoch = kit.controller.view().cluster.epoch;
    kit.store.take_epoch(epoch).await.unwrap();
    for _ in 0..2 {
        let answer = kit.submit(kvs("one", "1")).await;
        assert!(answer.is_error() && answer.replies[0].correction.contains("leads"), "{answer:?}");
    }
    assert!(kit.controller.health().failures[0].contains("no more"));
    assert_eq!(stores(&kit.controller.view()), 0, "reads go on");
    assert_eq!(count(kit.controller.counters(), "berth_commit_failures_total"), 1, "it is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_is_not_heard() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let answer = tokio::spawn({
        let controller = kit.controller.clone();
        async move { controller.submit(replica("one", "alpha"), &Caller::internal("tester"), "test").await }
    });
    alpha.take().await;
    let (old, held) = (alpha.session, alpha.held.clone());
    alpha.open().await;
    let new = alpha.session;
    alpha.session = old;
    alpha.held = held;
    alpha.report(true, |_| Standing::Settled).await;
    alpha.session = new;
    let stale = |counters: &Counters| count(counters, "berth_stale_messages_total");
    while stale(kit.controller.counters()) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!kit.controller.view().observed.online(&alpha.node), "the new session has seen nothing yet");
    alpha.report(true, |_| Standing::Settled).await;
    until(&kit.controller, |view| jobs(view, "one") == 0).await;
    answer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whose_work_another_request_took_over_is_told_that_it_is_busy() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let submit = |command| {
        let controller = kit.controller.clone();
        tokio::spawn(async move { controller.submit(command, &Caller::internal("tester"), "test").await })
    };
    let first = submit(replica("one", "alpha"));
    alpha.take().await;
    let job = *kit.controller.view().cluster.jobs.keys().next().unwrap();
    let cancel = submit(Command::CancelJob { id: job.to_string() });
    let told = first.await.unwrap().replies;
    let last = told.last().unwrap();
    assert_eq!(last.code, Code::FAIL_RSC_BUSY, "not 998, which clients take for a defect: {told:?}");
    assert!(last.correction.contains("berth why"), "{told:?}");
    alpha.report(true, |_| Standing::Gone).await;
    assert!(!cancel.await.unwrap().is_error());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_the_client_hangs_up() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let call = tokio::spawn({
        let controller = kit.controller.clone();
        async move { controller.submit(replica("one", "alpha"), &Caller::internal("tester"), "test").await }
    });
    alpha.take().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    alpha.report(false, |_| Standing::Settled).await;
    let view = until(&kit.controller, |view| jobs(view, "one") == 0).await;
    assert_eq!(view.cluster.count_on(&alpha.node), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_is_unknown_when_the_session_is_lost() {
    let kit = Kit::new().await;
    let alpha = kit.node("alpha").await;
    let stranger = Stranger {
        pool: thin(),
        backing: "old_00000".into(),
        snapshot: false,
        id: uuid::Uuid::from_u128(7),
        content: uuid::Uuid::from_u128(8),
        name: "old/0".into(),
        size_kib: berth_model::size::Kib(64),
    };
    let tell = |strangers| alpha.tell(SessionEvent::Seen(Box::new(Observation { strangers, ..Observation::default() })));
    let strangers = |view: &View| view.observed.nodes[&alpha.node].strangers.clone().map(|(all, _)| (*all).clone());
    assert_eq!(strangers(&kit.controller.view()), None, "nobody looked");
    tell(Some(vec![stranger.clone()])).await;
    until(&kit.controller, |view| strangers(view) == Some(vec![stranger.clone()])).await;
    // A report that does not speak of them changes nothing.
    alpha.report(true, |_| Standing::Settled).await;
    until(&kit.controller, |view| strangers(view) == Some(vec![stranger.clone()])).await;
    tell(Some(Vec::new())).await;
    until(&kit.controller, |view| strangers(view) == Some(Vec::new())).await;
    alpha.leave().await;
    let view = kit.controller.view();
    assert_eq!(strangers(&view), None);
    let seen = &view.observed.nodes[&alpha.node];
    assert!(view.observed.pool(&alpha.node, &thin()).is_none() && seen.pools.is_empty() && seen.capabilities.is_some());
    assert_eq!(seen.reason.as_deref(), Some("a test"));
}

#[tokio::test(start_paused = true)]
async fn waiting_answers_end_with_the_controller() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let (answer, ()) = tokio::join!(kit.submit(replica("one", "alpha")), async {
        alpha.take().await;
        kit.stop.cancel();
    });
    let job = kit.controller.view().cluster.jobs.keys().next().unwrap().to_string();
    assert!(answer.replies.iter().any(|reply| reply.code == Code::WARN_NOT_CONNECTED && reply.refs.get("Job") == Some(&job)), "{answer:?}");
    kit.core.quit.cancel();
    kit.core.writer.await.unwrap();
    assert!(kit.controller.submit(kvs("x", "1"), &Caller::internal("tester"), "test").await.is_error(), "nobody takes commands any more");
}

#[tokio::test(start_paused = true)]
async fn commands_that_wait_are_committed_together() {
    let kit = Kit::new().await;
    let before = count(kit.controller.counters(), "berth_commits_total");
    let held = kit.store.hold_commits().await;
    let first = tokio::spawn(submit(&kit, kvs("first", "1")));
    while kit.controller.queue().capacity() < crate::writer::QUEUE || count(kit.controller.counters(), "berth_commands_total") == 0 {
        tokio::task::yield_now().await;
    }
    let rest: Vec<_> = (0..100).map(|n| tokio::spawn(submit(&kit, definition(&format!("rd{}", n % 99))[0].clone()))).collect();
    while kit.controller.queue().capacity() > crate::writer::QUEUE - 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kit.controller.view().cluster.definitions.len(), 0, "nothing is told before it is on disk");
    drop(held);
    assert!(!first.await.unwrap().is_error());
    let mut errors = 0;
    for call in rest {
        errors += usize::from(call.await.unwrap().is_error());
    }
    assert_eq!(errors, 1, "two creates of one name: one wins");
    assert_eq!(kit.controller.view().cluster.definitions.len(), 99);
    assert_eq!(count(kit.controller.counters(), "berth_commits_total") - before, 2);
    let log = kit.controller.log(0, 1000).await.unwrap();
    assert!(log.iter().zip(1..).all(|(entry, serial)| entry.serial == serial), "each command has a serial of its own");
    assert!(
        log[1].command.contains("modify_key_value_store") && log[1].actor == "tester" && log[1].changes.contains("FIRST"),
        "{:?}",
        log[1]
    );
}

fn submit(kit: &Kit, command: Command) -> impl Future<Output = Answer> + use<> {
    let controller = kit.controller.clone();
    async move { controller.submit(command, &Caller::internal("tester"), "test").await }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_too_large_is_refused_alone() {
    let kit = Kit::new().await;
    let (large, small) = tokio::join!(kit.submit(kvs("large", &"x".repeat(1 << 20))), kit.submit(kvs("small", "x")));
    assert!(large.is_error() && large.replies[0].cause.contains("bytes"), "{:?}", large.replies[0].cause);
    assert!(!small.is_error(), "{small:?}");
    assert!(kit.controller.health().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_finds_everything_and_sets_broken_records_aside() {
    let kit = Kit::new().await;
    kit.must([kvs("one", "1"), kvs("two", "2")]).await;
    kit.definition("rd").await;
    let before = kit.controller.view().cluster;
    let broken = Write::Put { kind: "key_value_store".into(), key: "TWO".into(), version: 1, body: "{\"name\":7}".into() };
    let log = LogEntry {
        serial: before.serial + 1,
        time_ms: 0,
        actor: "vandal".into(),
        origin: String::new(),
        command: "{}".into(),
        changes: "{}".into(),
        decision: "[]".into(),
    };
    let entries = vec![Entry { log, writes: vec![broken] }];
    kit.store.commit(Transaction { epoch: before.epoch, expected_serial: before.serial, entries }).await.unwrap();
    let kit = kit.restart().await;
    let after = kit.controller.view().cluster;
    assert_eq!((after.id, after.serial, after.epoch), (before.id, before.serial + 1, before.epoch + 1));
    assert_eq!(after.definitions, before.definitions);
    assert!(after.stores.contains_key(&KvsName::parse("one").unwrap()) && after.stores.len() == 1);
    assert!(kit.controller.health().warnings[0].contains("TWO"));
    assert_eq!(kit.controller.reports().count(), 1);
    assert!(kit.submit(kvs("two", "3")).await.is_error(), "its name stays reserved");
    kit.must([kvs("three", "3")]).await;
    assert_eq!(after.groups.len(), 1, "the first objects are made once");
}

#[tokio::test(start_paused = true)]
async fn jobs_of_the_last_run_wait_for_their_satellites() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let call = tokio::spawn(submit(&kit, replica("one", "alpha")));
    alpha.take().await;
    let kit = kit.restart().await;
    assert!(call.await.unwrap().replies.iter().any(|reply| reply.code == Code::WARN_NOT_CONNECTED));
    let view = kit.controller.view();
    assert_eq!(jobs(&view, "one"), 1);
    assert!(!view.observed.online(&node_name("alpha")));
    let mut alpha = crate::testkit::Fake::new(&kit, &view, "alpha");
    alpha.open().await;
    assert_eq!(alpha.held.items.len(), 1);
    alpha.report(true, |_| Standing::Settled).await;
    until(&kit.controller, |view| jobs(view, "one") == 0).await;
}

#[tokio::test]
async fn a_deleted_replica_leaves_its_node_without_a_trace() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let settle = async |alpha: &mut crate::testkit::Fake| {
        alpha.take().await;
        alpha.report(false, |_| Standing::Settled).await;
    };
    let (answer, ()) = tokio::join!(kit.submit(replica("one", "alpha")), settle(&mut alpha));
    assert!(!answer.is_error(), "{answer:?}");
    // Its content is kept from now on; the satellite is told so.
    alpha.take().await;
    let delete = Command::DeleteResource { resource: "one".into(), node: "alpha".into(), keep_tiebreaker: None };
    let (answer, ()) = tokio::join!(kit.submit(delete), settle(&mut alpha));
    assert!(!answer.is_error() && has(&answer, Code::DELETED), "{answer:?}");
    alpha.take().await;
    assert!(alpha.held.items.is_empty(), "the satellite may forget it");
    assert!(kit.controller.view().observed.nodes[&alpha.node].items.is_empty(), "so does the controller");
}

/// What satellites report together is looked at in turns that are bounded by what the reports say, not by how many they are:
/// a commit that waits behind some of them does not wait for all.
#[tokio::test(start_paused = true)]
async fn reports_of_many_items_do_not_make_a_turn_long() {
    let kit = Kit::new().await;
    let queue = kit.controller.queue();
    let before = count(kit.controller.counters(), "berth_commits_total");
    let item = |number: u128| berth_model::observed::ItemSeen {
        id: uuid::Uuid::from_u128(number),
        generation: 1,
        standing: Standing::Settled,
        volumes: Vec::new(),
        fault: None,
    };
    let heavy = || {
        let items = (0..super::WEIGHT as u128).map(item).collect();
        let event = SessionEvent::Seen(Box::new(Observation { whole: true, items, ..Observation::default() }));
        let id = berth_model::ids::Id::from_uuid(uuid::Uuid::nil());
        super::Message::Session(Box::new(super::FromSession { node: node_name("alpha"), id, session: 1, event }))
    };
    let mut answers = Vec::new();
    for number in 0..3 {
        let (answer, verdict) = tokio::sync::oneshot::channel();
        let submission = super::Submission {
            command: kvs(&format!("kvs{number}"), "x"),
            caller: Caller::internal("tester"),
            origin: "test".into(),
            span: tracing::Span::none(),
            answer,
        };
        queue.try_send(super::Message::Submit(Box::new(submission))).unwrap();
        queue.try_send(heavy()).unwrap();
        answers.push(verdict);
    }
    for answer in answers {
        assert!(!answer.await.unwrap().replies.iter().any(berth_model::reply::Reply::is_error));
    }
    assert_eq!(count(kit.controller.counters(), "berth_commits_total") - before, 3, "each in a turn of its own");
}
