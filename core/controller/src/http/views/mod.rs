//! The published state as documents: pure functions of a [`View`](crate::View), one for each kind of object.

pub mod definition;
pub mod explain;
pub mod group;
pub mod node;
pub mod pool;
pub mod resource;
pub mod risk;
pub mod snapshot;

use std::collections::BTreeMap;

use berth_api::reply::ApiCallRc;
use berth_api::seen::{Moment, SeenWhen};
use berth_model::codes::Code;
use berth_model::names::NodeName;
use berth_model::observed::{ConnectionStatus, Fault, FaultKind, NodeSeen};
use berth_model::props::Props;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;

/// Properties as a document has them.
pub fn props(props: &Props) -> BTreeMap<String, String> {
    props.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// When something on a node was seen (law 9): `at` if its satellite reported it in this session, else since when it is unknown, and why.
/// `begun`: when the thing came to be; nothing is unknown for longer.
fn when(node: Option<&NodeSeen>, at: Option<Timestamp>, begun: Timestamp) -> SeenWhen<'_> {
    let moment = |at: Timestamp| Moment::of_millis(at.0);
    let Some(node) = node else { return SeenWhen::unknown(moment(begun), "The controller does not know its node yet.") };
    if node.status != ConnectionStatus::Online {
        return SeenWhen::unknown(moment(node.away_since.unwrap_or(node.since).max(begun)), why_away(node));
    }
    match at {
        Some(at) => SeenWhen::seen(moment(at)),
        None => SeenWhen::unknown(moment(node.since.max(begun)), "Its satellite did not report it yet."),
    }
}

/// Why nothing is known of what is on a node that is not online.
fn why_away(node: &NodeSeen) -> &str {
    match (&node.reason, node.status) {
        (Some(reason), _) => reason,
        (None, ConnectionStatus::NoStltConn) => "No net interface of the node leads to a satellite.",
        (None, ConnectionStatus::Connected | ConnectionStatus::Authenticated) => "Its satellite is connected and did not report yet.",
        (
            None,
            ConnectionStatus::Offline
            | ConnectionStatus::Online
            | ConnectionStatus::VersionMismatch
            | ConnectionStatus::FullSyncFailed
            | ConnectionStatus::AuthenticationError
            | ConnectionStatus::Unknown
            | ConnectionStatus::HostnameMismatch
            | ConnectionStatus::OtherController
            | ConnectionStatus::MissingExtTools
            | ConnectionStatus::DuplicateUname,
        ) => "Its satellite was not reached yet.",
    }
}

/// What a list says of an object whose node cannot be asked: nothing is known of it now.
fn unknown(node: &NodeName) -> ApiCallRc {
    super::answer::entry(
        &Reply::new(Code::WARN_NOT_CONNECTED, format!("No connection to satellite '{node}'; its state is unknown."))
            .details("What was seen of it before is not shown as the state of now."),
    )
}

/// What a list says of an object in trouble. `at`: when that was seen.
fn trouble(fault: &Fault, at: Timestamp) -> ApiCallRc {
    let code = match fault.kind {
        FaultKind::ByHand => Code::WARN_RSC_DEACTIVATED,
        FaultKind::InUse
        | FaultKind::NoSpace
        | FaultKind::Unsupported
        | FaultKind::Foreign
        | FaultKind::Lost
        | FaultKind::Pool
        | FaultKind::Tool
        | FaultKind::Timeout
        | FaultKind::Bug => Code::FAIL_UNKNOWN_ERROR,
    };
    let reply = Reply::new(code, fault.message.clone())
        .cause(fault.cause.clone())
        .correction(fault.correction.clone())
        .details(fault.details.clone());
    super::answer::entry(&Reply { created: at, ..reply })
}
