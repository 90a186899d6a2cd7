//! Where something would be placed, and why not elsewhere: decided on a snapshot of the state by the code that would do it.

use axum::response::Response;
use berth_api::lenient::{int, text, texts, truth};
use berth_api::place::{PlaceAnswer, PlaceDocument, PlaceQuestion, PlacementDocument};
use berth_engine::places::{Asked, Question, Row, preview};
use berth_model::access::{ANYBODY, Caller};
use berth_model::names::DEFAULT_GROUP;
use serde_json::{Map, Value, json};

use super::explain::bad;
use super::{inputs, risk};
use crate::View;
use crate::http::answer::{entry, unreadable};
use crate::http::call::{Answered, Call};
use crate::http::query::Pairs;
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    let ask = "Says where something would be placed, and why not elsewhere.";
    // In the query each member of the document is a value, and those of the filter stand beside the others.
    let by_query_op = Op::answers::<PlaceAnswer>(ask)
        .text("what", "What is asked about: new, resource, available, clone, restore, adjust, group or move.")
        .text("resource", "The resource definition.")
        .text("group", "The resource group.")
        .text("node", "The node of 'available'.")
        .text("snapshot", "The snapshot of 'restore'.")
        .texts("nodes", "Only these nodes, for 'restore'.")
        .numbers("volume_sizes", "Sizes of the volumes of 'new', in KiB.")
        .flag("partial", "Whether there may be more or fewer sizes than volume groups.")
        .flag("diskful", "With a disk, for 'available'.")
        .texts("layer_list", "Layers; win over those of the filter.")
        .flag("diskless_on_remaining", "Whether every other node gets a diskless replica.")
        .number("place_count", "How many replicas.")
        .number("additional_place_count", "How many replicas more than there are.")
        .texts("node_name_list", "Only these nodes.")
        .text("storage_pool", "Only this storage pool.")
        .texts("storage_pool_list", "Only these storage pools.")
        .texts("storage_pool_diskless_list", "Only these pools for diskless replicas.")
        .texts("not_place_with_rsc", "Not beside these resources.")
        .text("not_place_with_rsc_regex", "Not beside resources whose name this expression fits.")
        .texts("replicas_on_same", "The same value of this property on each node.")
        .texts("replicas_on_different", "Another value of this property on each node.")
        .texts("layer_stack", "Layers.")
        .texts("provider_list", "Only these kinds of storage.")
        .text("diskless_type", "Kind of diskless replicas.")
        .number("port_count", "How many ports.")
        .texts("x_replicas_on_different_map", "At most N nodes with one value of a property: 'KEY=N'.")
        .may_miss();
    Routes::new("Placement").get("/v1/berth/place", by_query, by_query_op).post(
        "/v1/berth/place",
        by_body,
        Op::answers::<PlaceAnswer>(ask).body::<PlaceQuestion>().may_miss().one_of(
            "dry_run",
            &["true", "1", "plan", "false", "0"],
            "It changes nothing in either case.",
        ),
    )
}

/// What can be asked about.
const SUBJECTS: &str = "new, resource, available, clone, restore, adjust, group or move";

/// Names of the query, and whether each may be given several times.
const OUTER: &[(&str, bool)] = &[
    ("what", false),
    ("resource", false),
    ("group", false),
    ("node", false),
    ("snapshot", false),
    ("nodes", true),
    ("volume_sizes", true),
    ("partial", false),
    ("diskful", false),
    ("layer_list", true),
    ("diskless_on_remaining", false),
];
/// Those that belong to the filter.
const FILTER: &[(&str, bool)] = &[
    ("place_count", false),
    ("additional_place_count", false),
    ("node_name_list", true),
    ("storage_pool", false),
    ("storage_pool_list", true),
    ("storage_pool_diskless_list", true),
    ("not_place_with_rsc", true),
    ("not_place_with_rsc_regex", false),
    ("replicas_on_same", true),
    ("replicas_on_different", true),
    ("layer_stack", true),
    ("provider_list", true),
    ("diskless_type", false),
    ("port_count", false),
];
/// `Key=N` pairs of the filter.
const LIMITED: &str = "x_replicas_on_different_map";

async fn by_body(call: Call) -> Answered {
    super::explain::only(&call, &[])?;
    let body: PlaceQuestion = call.body()?;
    answer(&call, body).await
}

async fn by_query(call: Call) -> Answered {
    let document = document_of(&call.query)?;
    let body = serde_json::from_value(document).map_err(|error| unreadable(&error.to_string()))?;
    answer(&call, body).await
}

/// The document that a query stands for.
fn document_of(query: &Pairs) -> Result<Value, Response> {
    let known = |name: &str| OUTER.iter().chain(FILTER).any(|(one, _)| *one == name) || name == LIMITED || name == "dry_run";
    if let Some(name) = query.keys().find(|name| !known(name)) {
        return Err(bad(format!("'{name}' is no part of this question."), "Use the members of the document that POST takes."));
    }
    let members = |names: &[(&str, bool)]| -> Result<Map<String, Value>, Response> {
        let mut members = Map::new();
        for (name, several) in names {
            let mut values = query.values(name);
            match (several, values.next(), values.next()) {
                (_, None, _) => continue,
                (false, Some(_), Some(_)) => return Err(bad(format!("'{name}' is given twice."), "Give it once.")),
                (false, Some(value), None) => members.insert((*name).to_owned(), json!(value)),
                (true, Some(_), _) => {
                    let all: Vec<&str> = query.values(name).filter(|value| !value.is_empty()).collect();
                    members.insert((*name).to_owned(), json!(all))
                }
            };
        }
        Ok(members)
    };
    let mut outer = members(OUTER)?;
    let mut filter = members(FILTER)?;
    let mut limited = Map::new();
    for pair in query.values(LIMITED) {
        let Some((key, most)) = pair.rsplit_once('=') else {
            return Err(bad(format!("'{pair}' is no rule."), "Give a property and a number, such as 'Aux/rack=2'."));
        };
        limited.insert(key.to_owned(), json!(most));
    }
    if !limited.is_empty() {
        filter.insert(LIMITED.to_owned(), Value::Object(limited));
    }
    outer.insert("select_filter".to_owned(), Value::Object(filter));
    Ok(Value::Object(outer))
}

async fn answer(call: &Call, body: PlaceQuestion) -> Answered {
    let question = question(body)?;
    let view = call.view();
    risk::computed(move || tell(&view, &question)).await
}

/// The question of a document. Errors: 400 for members that are missing, or that the subject does not have.
fn question(body: PlaceQuestion) -> Result<Question, Response> {
    let what = text(body.what.clone()).filter(|what| !what.is_empty()).unwrap_or_else(|| "new".to_owned());
    let given: Vec<&str> = [
        ("resource", body.resource.is_some()),
        ("group", body.group.is_some()),
        ("node", body.node.is_some()),
        ("snapshot", body.snapshot.is_some()),
        ("nodes", body.nodes.is_some()),
        ("volume_sizes", body.volume_sizes.is_some()),
        ("partial", body.partial.is_some()),
        ("diskful", body.diskful.is_some()),
        ("layer_list", body.layer_list.is_some()),
        ("diskless_on_remaining", body.diskless_on_remaining.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    // A member that means nothing would be taken for one that does.
    let takes = |names: &[&str]| match given.iter().find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(name) => Err(bad(format!("'{name}' is no part of a question about '{what}'."), "Leave it out, or ask about something else.")),
    };
    let need = |value: Option<berth_api::lenient::Text>, name: &str| {
        text(value)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| bad(format!("'{name}' is missing."), &format!("A question about '{what}' needs it.")))
    };
    let group = text(body.group.clone()).filter(|group| !group.is_empty());
    let words = |list| texts(list).unwrap_or_default();
    let filter = inputs::filter(body.select_filter.clone());
    match what.as_str() {
        "new" => {
            takes(&["group", "volume_sizes", "partial"])?;
            Ok(Question::New {
                group: group.unwrap_or_else(|| DEFAULT_GROUP.to_owned()),
                sizes: body.volume_sizes.unwrap_or_default().into_iter().filter_map(|size| int(Some(size))).collect(),
                partial: truth(body.partial).unwrap_or(false),
                filter,
            })
        }
        "resource" => {
            takes(&["resource", "layer_list", "diskless_on_remaining"])?;
            Ok(Question::Existing {
                resource: need(body.resource, "resource")?,
                filter,
                diskless_on_remaining: truth(body.diskless_on_remaining),
                layers: texts(body.layer_list),
            })
        }
        "available" => {
            takes(&["resource", "node", "diskful", "layer_list"])?;
            Ok(Question::Available {
                resource: need(body.resource, "resource")?,
                node: need(body.node, "node")?,
                diskful: truth(body.diskful).unwrap_or(false),
                layers: words(body.layer_list),
            })
        }
        "clone" => {
            takes(&["resource", "group", "layer_list"])?;
            Ok(Question::Clone { source: need(body.resource, "resource")?, group, layers: words(body.layer_list) })
        }
        "restore" => {
            takes(&["resource", "snapshot", "nodes", "group"])?;
            Ok(Question::Restore {
                resource: need(body.resource, "resource")?,
                snapshot: need(body.snapshot, "snapshot")?,
                nodes: words(body.nodes),
                group,
            })
        }
        "adjust" => {
            takes(&["group"])?;
            Ok(Question::Adjust { group, filter })
        }
        "group" => {
            takes(&["group"])?;
            Ok(Question::Change { group: need(body.group, "group")?, filter })
        }
        "move" => {
            takes(&["resource", "group"])?;
            Ok(Question::Move { resource: need(body.resource, "resource")?, group: need(body.group, "group")? })
        }
        other => Err(bad(format!("'{}' cannot be placed.", other.chars().take(40).collect::<String>()), &format!("Ask about {SUBJECTS}."))),
    }
}

fn tell(view: &View, question: &Question) -> PlaceAnswer {
    // Nothing of it is kept, so whoever may read may ask.
    let found = preview(&view.cluster, &view.observed, question, &Caller::internal(ANYBODY), crate::state::now());
    PlaceAnswer {
        possible: !found.refused,
        placements: found.asked.iter().map(|asked| placement(view, asked)).collect(),
        replies: found.replies.iter().map(entry).collect(),
    }
}

fn placement(view: &View, asked: &Asked) -> PlacementDocument {
    let place = |row: Row| PlaceDocument {
        node_name: row.node.to_string(),
        storage_pool_name: row.pool.map(|pool| pool.to_string()),
        provider_kind: row.provider.map(|kind| kind.word()),
        verdict: row.verdict.word(),
        score: row.score,
        free_kib: row.free.map(|free| free.0),
        rule: row.rule,
        reason: row.why,
    };
    PlacementDocument {
        resource_name: asked.resource.as_ref().map(ToString::to_string),
        kind: asked.kind.word(),
        wanted: asked.wanted,
        layers: asked.layers.iter().map(|kind| kind.word()).collect(),
        volume_sizes_kib: asked.volumes.iter().map(|volume| volume.size.0).collect(),
        failed: asked.failed.clone(),
        places: asked.rows(&view.cluster).into_iter().map(place).collect(),
    }
}
