//! The one task that turns what was published into events, and wakes the streams.
//!
//! What comes while it works or pauses is taken together the next time, so a busy cluster costs it no more than a few rounds a second.

use std::sync::Arc;

use axum::body::Bytes;
use berth_store::LogEntry;
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Inbox, Name, pause};
use super::render;
use crate::View;
use crate::happenings::{Counters, count, set};
use crate::session::Signs;

/// Works until `stop`.
pub(crate) async fn pump(feed: Arc<Feed>, signs: Arc<Signs>, counters: Arc<Counters>, stop: CancellationToken) {
    let mut last: Option<View> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = feed.news() => {}
        }
        let inbox = feed.take();
        let listeners = feed.listeners();
        set(&counters.event_streams, listeners as u64);
        if listeners == 0 {
            last = None;
            for name in [Name::Changes, Name::Nodes, Name::Promotion] {
                feed.topic(name).rest(0);
            }
            continue;
        }
        let Some(before) = last.take().or_else(|| inbox.baseline.clone()) else { continue };
        // The first of new streams may have come after a state that nobody was to be told of.
        let after = inbox.view.clone().or_else(|| inbox.baseline.clone()).unwrap_or_else(|| before.clone());
        let mut woken = 0;
        for name in [Name::Changes, Name::Nodes, Name::Promotion] {
            let topic = feed.topic(name);
            if topic.rest(after.cluster.serial) {
                continue;
            }
            if add(&feed, name, &inbox, &before, &after, &signs) {
                woken += topic.listeners();
                topic.wake().await;
            }
        }
        last = Some(after);
        if woken > 0 {
            count(&counters.event_rounds);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause(woken)) => {}
            }
        }
    }
}

/// Adds what there is for a topic; `false`: nothing.
fn add(feed: &Feed, name: Name, inbox: &Inbox, before: &View, after: &View, signs: &Signs) -> bool {
    let topic = feed.topic(name);
    match name {
        Name::Changes => changes(feed, inbox, before, after),
        Name::Nodes => {
            if inbox.nodes_missed {
                topic.forget(after.cluster.serial);
                return true;
            }
            let mut events: Vec<Bytes> = inbox.nodes.iter().filter_map(|change| render::node(change, after, signs)).collect();
            events.extend(render::connections(before, after, signs));
            follow(feed, name, events)
        }
        Name::Promotion => follow(feed, name, render::promotions(before, after)),
    }
}

/// Adds events that no log has.
fn follow(feed: &Feed, name: Name, events: Vec<Bytes>) -> bool {
    if events.is_empty() {
        return false;
    }
    let topic = feed.topic(name);
    let head = topic.head();
    topic.add(head, events.into_iter().map(|bytes| (head, bytes)).collect());
    true
}

/// Adds what the log says, and then what was seen.
fn changes(feed: &Feed, inbox: &Inbox, before: &View, after: &View) -> bool {
    let topic = feed.topic(Name::Changes);
    let mut any = false;
    // Between the entries of different commits there may be a gap, where the inbox was full.
    for entry in &inbox.entries {
        let LogEntry { serial, .. } = entry;
        topic.add(serial.saturating_sub(1), vec![(*serial, render::change(entry))]);
        any = true;
    }
    if topic.head() != after.cluster.serial {
        // What is between is in the log alone.
        topic.forget(after.cluster.serial);
        any = true;
    }
    if let Some(seen) = render::seen(before, after) {
        topic.add(after.cluster.serial, vec![(after.cluster.serial, seen)]);
        any = true;
    }
    any
}
