//! What would be lost, and what is at risk.

use berth_api::risk as doc;
use berth_api::seen::Moment;
use berth_engine::risk::{Capped, Event, Outcome, Report, TooFew};
use berth_model::names::NodeName;

fn capped<T, D>(list: &Capped<T>, document: impl Fn(&T) -> D) -> doc::Capped<D> {
    doc::Capped { total: list.total, list: list.list.iter().map(document).collect() }
}

fn names(nodes: &[NodeName]) -> Vec<String> {
    nodes.iter().map(ToString::to_string).collect()
}

fn too_few(one: &TooFew) -> doc::TooFew {
    doc::TooFew { resource_name: one.resource.to_string(), wanted: one.wanted, before: one.before, after: one.after, unknown: one.unknown }
}

/// What would come of it.
pub fn outcome(outcome: &Outcome) -> doc::WhatIf {
    doc::WhatIf {
        nodes: names(&outcome.nodes),
        event: outcome.event.word(),
        data: capped(&outcome.data, |one| doc::DataLoss {
            resource_name: one.resource.to_string(),
            certain: one.certain,
            for_good: outcome.event == Event::Lost,
            holders: names(&one.holders),
            unknown: names(&one.unknown),
        }),
        access: capped(&outcome.access, |one| doc::AccessLoss {
            resource_name: one.resource.to_string(),
            certain: one.certain,
            in_use_on: names(&one.in_use_on),
        }),
        quorum: capped(&outcome.quorum, |one| doc::QuorumLoss {
            resource_name: one.resource.to_string(),
            certain: one.certain,
            rule: one.rule.to_string(),
            voters: one.voters,
            needed: one.needed,
            left: one.left,
            left_at_best: one.left_at_best,
        }),
        redundancy: capped(&outcome.redundancy, too_few),
        snapshots: capped(&outcome.snapshots, |one| doc::SnapshotLoss {
            resource_name: one.resource.to_string(),
            snapshot_name: one.snapshot.to_string(),
            certain: one.certain,
            unknown: names(&one.unknown),
        }),
        replicas: outcome.replicas,
        pools: capped(&outcome.pools, |one| doc::PoolAfter {
            node_name: one.node.to_string(),
            storage_pool_name: one.pool.to_string(),
            thin: one.thin,
            free_kib: one.free.0,
            total_kib: one.total.0,
            promised_kib: one.promised.0,
            added_kib: one.added.0,
            over_kib: one.over.0,
            short_if_full_kib: one.short_if_full.0,
        }),
        unplaced: capped(&outcome.unplaced, |one| doc::Unplaced {
            resource_name: one.resource.to_string(),
            replicas: one.replicas,
            no_space: one.no_space,
            reasons: one.reasons.clone(),
        }),
        not_tried: outcome.not_tried,
        unknown_nodes: capped(&outcome.unknown_nodes, ToString::to_string),
        quarantined: outcome.quarantined,
    }
}

/// What is at risk.
pub fn report(report: &Report) -> doc::Risk {
    let pool = |one: &berth_engine::risk::PoolRisk| doc::PoolRisk {
        node_name: one.node.to_string(),
        storage_pool_name: one.pool.to_string(),
        free_kib: one.free.0,
        total_kib: one.total.0,
        promised_kib: one.promised.0,
    };
    doc::Risk {
        nodes: capped(&report.nodes, |one| doc::NodeRisk {
            node_name: one.node.to_string(),
            online: one.online,
            data: one.data,
            access: one.access,
            quorum: one.quorum,
            redundancy: one.redundancy,
            snapshots: one.snapshots,
            holds_kib: one.holds.0,
            room_elsewhere_kib: one.room_elsewhere.0,
        }),
        without_good_copy: capped(&report.copyless, |one| doc::Copyless {
            resource_name: one.resource.to_string(),
            certain: one.certain,
            unknown: names(&one.unknown),
            lost_on: names(&one.lost_on),
            behind_on: names(&one.behind_on),
            given_up_on: names(&one.given_up_on),
        }),
        without_replica: capped(&report.without_replica, ToString::to_string),
        too_few: capped(&report.too_few, too_few),
        near_full: capped(&report.near_full, pool),
        overcommitted: capped(&report.overcommitted, pool),
        pools_unknown: capped(&report.pools_unknown, |one| doc::PoolUnknown {
            node_name: one.node.to_string(),
            storage_pool_name: one.pool.to_string(),
            why: one.why.clone(),
        }),
        blocked_jobs: capped(&report.blocked_jobs, |one| doc::BlockedJob {
            uuid: one.job.to_string(),
            resource_name: one.resource.as_ref().map(ToString::to_string),
            task: one.task,
            created: Moment::of_millis(one.created.0),
            node_name: one.node.as_ref().map(ToString::to_string),
            why: one.why.clone(),
            way_out: one.way_out.clone(),
        }),
        nodes_unknown: capped(&report.nodes_away, |one| doc::NodeAway {
            node_name: one.node.to_string(),
            connection_status: one.status.word(),
            unknown_since: one.since.map(|at| Moment::of_millis(at.0)),
            reason: one.reason.clone(),
        }),
        quarantined: capped(&report.quarantined, |one| doc::Quarantined {
            kind: one.kind.clone(),
            key: one.key.clone(),
            why: one.why.clone(),
        }),
    }
}
