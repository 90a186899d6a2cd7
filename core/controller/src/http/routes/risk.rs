//! What would be lost with nodes, and what is at risk today: on a snapshot of the state, beside the writer and the other requests.

use std::collections::BTreeSet;

use axum::response::Response;
use berth_api::risk::{Risk, WhatIf};
use berth_engine::lookup;
use berth_engine::risk::{self, Event};
use berth_model::codes::Code;
use berth_model::names::NodeName;
use berth_model::reply::Reply;
use serde::Serialize;

use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::routes::explain::only;
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Risk")
        .get(
            "/v1/berth/what-if",
            what_if,
            Op::answers::<WhatIf>("Says what would be lost with these nodes.")
                .texts("node", "The nodes; several may stand in one value, parted by commas.")
                .one_of("event", &["down", "lost"], "Whether they may come back (down) or never do (lost).")
                .may_miss(),
        )
        .get("/v1/berth/risk", report, Op::answers::<Risk>("Says what is at risk today."))
}

/// Works on a thread that may compute: a large cluster takes long enough to hold up other requests.
pub(super) async fn computed<D: Serialize + Send + 'static>(work: impl FnOnce() -> D + Send + 'static) -> Answered {
    let response: Result<Response, _> = tokio::task::spawn_blocking(move || document(&work())).await;
    response.map_err(|error| {
        refusal(
            Reply::new(Code::FAIL_IMPL_ERROR, "The answer could not be computed.")
                .cause(error.to_string())
                .correction("Report this; it is a defect of the controller."),
        )
    })
}

async fn what_if(call: Call) -> Answered {
    only(&call, &["node", "event"])?;
    let texts = call.query.all("node");
    let view = call.view();
    let mut nodes: BTreeSet<NodeName> = BTreeSet::new();
    for text in texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
        nodes.insert(lookup::node(&view.cluster, text).map_err(refused)?.name.clone());
    }
    if nodes.is_empty() {
        return Err(refusal(
            Reply::new(Code::FAIL_INVLD_REQUEST, "No node is named.")
                .cause("The question is what would be lost with one node, or with several at once.")
                .correction("Name them, e.g. '/v1/berth/what-if?node=alpha&event=down'."),
        ));
    }
    let text = call.query.first("event").unwrap_or(Event::Down.word());
    let Some(event) = Event::parse(text) else {
        return Err(refusal(
            Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is not an event."))
                .cause("Nodes are 'down' (they may come back) or 'lost' (they never do).")
                .correction("Ask with 'event=down' or 'event=lost'."),
        ));
    };
    computed(move || views::risk::outcome(&risk::what_if(&view.cluster, &view.observed, &nodes, event))).await
}

async fn report(call: Call) -> Answered {
    only(&call, &[])?;
    let view = call.view();
    computed(move || views::risk::report(&risk::report(&view.cluster, &view.observed))).await
}
