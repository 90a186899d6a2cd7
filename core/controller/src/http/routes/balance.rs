//! Balancing: what it would do now, and doing it now. Berth's own.

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::balance::{BalanceFinding, BalanceRequest};
use berth_engine::balance::{Action, Finding, look};
use berth_engine::command::Command;
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::names::ResourceName;
use berth_model::reply::Reply;

use crate::View;
use crate::http::answer::{document, refusal, replies};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::routes::explain::only;
use crate::http::spec::{Op, Routes};

/// Definitions that one request changes at most; the engine stops earlier where one transaction does not hold them.
const AT_ONCE: usize = 32;

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Placement")
        .get(
            "/v1/berth/balance",
            list,
            Op::list::<BalanceFinding>("Says what balancing would do now.")
                .texts("resource", "Only at these resources.")
                .texts("group", "Only at resources of these groups.")
                .may_miss(),
        )
        .post(
            "/v1/berth/balance",
            balance,
            Op::changes("Balances now: adds replicas that are missing, removes those that are too many.")
                .may_have::<BalanceRequest>()
                .may_miss(),
        )
}

/// The definitions that are named, in their order; nothing named: all.
fn chosen(view: &View, resources: &[String], groups: &[String]) -> Result<Vec<ResourceName>, Response> {
    let cluster = &view.cluster;
    if resources.is_empty() && groups.is_empty() {
        return Ok(cluster.definitions.keys().cloned().collect());
    }
    let mut names = std::collections::BTreeSet::new();
    for text in resources {
        names.insert(lookup::definition(cluster, text).map_err(refused)?.name.clone());
    }
    for text in groups {
        let group = lookup::group(cluster, text).map_err(refused)?;
        names.extend(cluster.definitions_of(&group.name).map(|definition| definition.name.clone()));
    }
    Ok(names.into_iter().collect())
}

/// Looks at definitions on a thread that may compute: there may be many.
async fn found(view: View, names: Vec<ResourceName>, which: fn(&Finding) -> bool) -> Result<Vec<Finding>, Response> {
    let work = move || {
        let now = crate::state::now();
        let findings = names.iter().filter_map(|name| look(&view.cluster, &view.observed, now, name));
        findings.filter(which).collect()
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        refusal(
            Reply::new(Code::FAIL_IMPL_ERROR, "The answer could not be computed.")
                .cause(error.to_string())
                .correction("Report this; it is a defect of the controller."),
        )
    })
}

async fn list(call: Call) -> Answered {
    only(&call, &["resource", "group", "limit", "offset"])?;
    let view = call.view();
    let names = chosen(&view, &call.query.all("resource"), &call.query.all("group"))?;
    let findings = found(view.clone(), names, |finding| finding.action != Action::Nothing).await?;
    Ok(document(&call.query.page(findings.into_iter().map(|finding| shown(&view, finding)))))
}

fn shown(view: &View, finding: Finding) -> BalanceFinding {
    let group = view.cluster.definitions.get(&finding.resource).map(|definition| definition.group.to_string());
    let (action, count, node, reason) = match finding.action {
        Action::Nothing => ("nothing", None, None, None),
        Action::LeaveAlone { why } => ("leave_alone", None, None, Some(why)),
        Action::Add { count } => ("add", Some(count), None, None),
        Action::Remove { node, why } => ("remove", None, Some(node.to_string()), Some(why)),
    };
    BalanceFinding {
        resource_name: finding.resource.to_string(),
        resource_group: group.unwrap_or_default(),
        replicas: finding.replicas,
        wanted: finding.wanted,
        action,
        count,
        node_name: node,
        reason,
    }
}

async fn balance(call: Call) -> Answered {
    let body: BalanceRequest = call.body_or_default()?;
    let view = call.view();
    let names = chosen(&view, &body.resource_names, &body.resource_groups)?;
    let mut resources: Vec<String> = body.resource_names.clone();
    let mut left = 0;
    if resources.is_empty() || !body.resource_groups.is_empty() {
        let acting = found(view, names, Finding::acts).await?;
        left = acting.len().saturating_sub(AT_ONCE);
        resources.extend(acting.into_iter().take(AT_ONCE).map(|finding| finding.resource.to_string()));
    }
    if resources.is_empty() {
        let nothing = Reply::new(Code::INFO_NOOP, "Nothing is to be balanced now.")
            .cause("Each definition has as many replicas as are wanted, or is left alone.")
            .correction("'GET /v1/berth/balance' or 'berth balance --list' says which are left alone, and why.");
        return Ok(replies(&[nothing], StatusCode::OK));
    }
    let mut answer = call.submit_plain(Command::Balance { resources }).await?;
    if left > 0 {
        answer.push(
            Reply::new(Code::WARN_NO_EFFECT, format!("{left} more resource definitions are to be balanced."))
                .cause("One request changes a limited number of things at once.")
                .correction("Repeat the request for the rest, or leave them to the next round."),
        );
    }
    Ok(replies(&answer, StatusCode::OK))
}
