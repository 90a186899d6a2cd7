//! Snapshots: single, several together, restore, rollback.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use berth_api::lenient::{plain, text, texts};
use berth_api::node::PropsModify;
use berth_api::snapshot::{MultiSnapshot, Snapshot as SnapshotDocument, SnapshotIn, SnapshotRestore, SnapshotRollback};
use berth_engine::command::{Command, SnapshotInput};
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::names::ResourceName;
use berth_model::snapshot::Snapshot;

use super::inputs;
use crate::http::answer::document;
use crate::http::call::{Answered, Call};
use crate::http::lists::{self, Column, by_age};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    const OF_RESOURCE: &str = "/v1/resource-definitions/{resource}";
    let below = |rest: &str| format!("{OF_RESOURCE}/{rest}");
    Routes::new("Snapshots")
        .get(
            "/v1/view/snapshots",
            view,
            Op::list::<SnapshotDocument>("Lists the snapshots of all resources.")
                .texts("nodes", "Only those with a copy on these nodes.")
                .texts("resources", "Only those of these resources."),
        )
        .post(
            "/v1/actions/snapshot/multi",
            create_together,
            Op::creates("Takes snapshots of several resources at one moment.").body::<MultiSnapshot>().may_miss(),
        )
        .get(&below("snapshots"), list, Op::list::<SnapshotDocument>("Lists the snapshots of a resource."))
        .post(&below("snapshots"), create, Op::creates("Takes a snapshot of a resource.").body::<SnapshotIn>())
        .get(&below("snapshots/{snapshot}"), one, Op::answers::<SnapshotDocument>("Shows a snapshot."))
        .put(&below("snapshots/{snapshot}"), modify, Op::changes("Changes properties of a snapshot.").may_have::<PropsModify>())
        .delete(
            &below("snapshots/{snapshot}"),
            remove,
            Op::changes("Deletes a snapshot, or its copies on some nodes.").texts("nodes", "Only the copies on these nodes."),
        )
        .post(
            &below("snapshot-restore-volume-definition/{snapshot}"),
            restore_volumes,
            Op::changes("Gives another resource definition the volumes that the snapshot has.").body::<SnapshotRestore>(),
        )
        .post(
            &below("snapshot-restore-resource/{snapshot}"),
            restore_resources,
            Op::changes("Makes replicas of another resource definition from the snapshot's data.").body::<SnapshotRestore>(),
        )
        .post(
            &below("snapshot-rollback/{snapshot}"),
            roll_back,
            Op::changes("Gives the resource the data back that the snapshot has.").may_have::<SnapshotRollback>(),
        )
}

async fn view(call: Call) -> Answered {
    let nodes = call.query.names("nodes", lookup::node_name)?;
    let names = call.query.names("resources", lookup::resource_name)?;
    if nodes.is_none() && names.is_none() {
        return Ok(lists::list(&call, Column::Snapshots));
    }
    let view = call.view();
    let cluster = &view.cluster;
    // By definition, then by age; names that are asked for are looked up, never looked for.
    let names: BTreeSet<ResourceName> = match (names, &nodes) {
        (Some(names), _) => names,
        (None, Some(nodes)) => nodes.iter().flat_map(|node| cluster.snapshots_on(node)).map(|one| one.resource.clone()).collect(),
        (None, None) => cluster.snapshots.keys().cloned().collect(),
    };
    let on_nodes =
        |snapshot: &&Arc<Snapshot>| nodes.as_ref().is_none_or(|nodes| nodes.iter().any(|node| snapshot.copies.contains_key(node)));
    let page = call.query.page(names.iter().flat_map(|name| by_age(cluster.snapshots_of(name))).filter(on_nodes));
    Ok(document(&page.into_iter().map(|snapshot| views::snapshot::snapshot(&view, snapshot)).collect::<Vec<_>>()))
}

async fn list(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let page = call.query.page(by_age(view.cluster.snapshots_of(&definition.name)).into_iter());
    Ok(document(&page.into_iter().map(|snapshot| views::snapshot::snapshot(&view, snapshot)).collect::<Vec<_>>()))
}

async fn one(call: Call) -> Answered {
    let view = call.view();
    let snapshot =
        lookup::snapshot(&view.cluster, call.part("resource"), call.part("snapshot"), Code::FAIL_NOT_FOUND_SNAPSHOT).map_err(refused)?;
    Ok(document(&views::snapshot::snapshot(&view, snapshot)))
}

async fn create(call: Call) -> Answered {
    let body: SnapshotIn = call.body()?;
    let command = Command::CreateSnapshot {
        resource: call.text("resource"),
        name: text(body.name).unwrap_or_default(),
        nodes: texts(body.nodes).unwrap_or_default(),
        props: plain(body.props),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn create_together(call: Call) -> Answered {
    let body: MultiSnapshot = call.body()?;
    let snapshots = body.snapshots.unwrap_or_default().into_iter().map(|one| SnapshotInput {
        resource: text(one.resource_name).unwrap_or_default(),
        name: text(one.name).unwrap_or_default(),
        nodes: texts(one.nodes).unwrap_or_default(),
        props: plain(one.props),
    });
    Ok(call.submit(Command::CreateMultiSnapshot { snapshots: snapshots.collect() }, StatusCode::CREATED).await)
}

async fn modify(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    let command = Command::ModifySnapshot { resource: call.text("resource"), name: call.text("snapshot"), props: inputs::change(body) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove(call: Call) -> Answered {
    let command = Command::DeleteSnapshot { resource: call.text("resource"), name: call.text("snapshot"), nodes: call.query.all("nodes") };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn restore_volumes(call: Call) -> Answered {
    let body: SnapshotRestore = call.body()?;
    let command = Command::RestoreVolumeDefinitions {
        resource: call.text("resource"),
        name: call.text("snapshot"),
        to_resource: text(body.to_resource).unwrap_or_default(),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn restore_resources(call: Call) -> Answered {
    let body: SnapshotRestore = call.body()?;
    let command = Command::RestoreResources {
        resource: call.text("resource"),
        name: call.text("snapshot"),
        to_resource: text(body.to_resource).unwrap_or_default(),
        nodes: texts(body.nodes).unwrap_or_default(),
        stor_pool_rename: plain(body.stor_pool_rename),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn roll_back(call: Call) -> Answered {
    let body: SnapshotRollback = call.body_or_default()?;
    let command = Command::RollbackSnapshot {
        resource: call.text("resource"),
        name: call.text("snapshot"),
        zfs_rollback_strategy: text(body.zfs_rollback_strategy),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}
