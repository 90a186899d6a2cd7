//! The published state as documents: pure functions of a [`View`](crate::View), one for each kind of object.

pub mod definition;
pub mod group;
pub mod node;
pub mod pool;
pub mod resource;
pub mod snapshot;

use std::collections::BTreeMap;

use berth_api::reply::ApiCallRc;
use berth_model::codes::Code;
use berth_model::names::NodeName;
use berth_model::observed::Fault;
use berth_model::props::Props;
use berth_model::reply::Reply;

/// Properties as a document has them.
pub fn props(props: &Props) -> BTreeMap<String, String> {
    props.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What a list says of an object whose node cannot be asked: nothing is known of it now.
fn unknown(node: &NodeName) -> ApiCallRc {
    super::answer::entry(
        &Reply::new(Code::WARN_NOT_CONNECTED, format!("No connection to satellite '{node}'; its state is unknown."))
            .details("What was seen of it before is not shown as the state of now."),
    )
}

/// What a list says of an object in trouble.
fn trouble(fault: &Fault) -> ApiCallRc {
    super::answer::entry(
        &Reply::new(Code::FAIL_UNKNOWN_ERROR, fault.message.clone())
            .cause(fault.cause.clone())
            .correction(fault.correction.clone())
            .details(fault.details.clone()),
    )
}
