//! The storage of plugins that run in the controller itself: requests go straight to the router, without a socket, a sign-in or a wait.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use berth_client::storage::{RestStorage, Sending, Sends};
use berth_client::{Call, ClientError, Response};
use tokio::runtime::Handle;
use tower::ServiceExt;
use tower::util::MapRequest;

use crate::Controller;
use crate::gate::Transport;
use crate::http::{normal_path, router};

/// Largest answer that is taken, in bytes.
const ANSWER_MAX: usize = 512 << 20;

/// The API as it is served, with paths made plain before routing.
type Api = MapRequest<Router, fn(Request<Body>) -> Request<Body>>;

/// The way to a controller of this process.
struct Inside {
    router: Api,
    plugin: String,
}

impl Sends for Inside {
    fn send<'s>(&'s self, call: &'s Call) -> Sending<'s> {
        Box::pin(async move {
            let failed = |why: String| ClientError::Setup(why);
            let transport = Transport { tls: true, client: None, inside: Some(self.plugin.clone()) };
            let body = call.body.as_ref().map(|body| Body::from(body.to_string())).unwrap_or_default();
            let request = Request::builder()
                .method(call.method.as_str())
                .uri(call.target())
                .header(header::CONTENT_TYPE, "application/json")
                .extension(transport)
                .body(body)
                .map_err(|error| failed(error.to_string()))?;
            let response = match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, ANSWER_MAX).await.map_err(|error| failed(error.to_string()))?;
            Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: body.to_vec() })
        })
    }
}

/// The storage for a plugin that runs in this controller, on a host of this name; it acts as `plugin:NAME`, an administrator. Its requests run
/// on `handle`.
#[must_use]
pub fn storage(controller: &Controller, plugin: &str, host: &str, handle: Handle) -> RestStorage {
    let normal: fn(Request<Body>) -> Request<Body> = normal_path;
    let inside = Inside { router: MapRequest::new(router(controller.clone()), normal), plugin: plugin.to_owned() };
    RestStorage::new(std::sync::Arc::new(inside), host, handle)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_plugin_sdk::FaultKind;
    use berth_plugin_sdk::storage::Storage;

    use super::*;
    use crate::testkit::Kit;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_plugin_in_the_controller_has_the_same_storage_whoever_may_sign_in() {
        let kit = Kit::new().await;
        kit.node("alpha").await;
        kit.definition("web").await;
        // From now on everybody else needs a token.
        let token = serde_json::json!({"description": "first", "no_https": true});
        let normal: fn(Request<Body>) -> Request<Body> = normal_path;
        let service: Api = MapRequest::new(router(kit.controller.clone()), normal);
        let request = Request::post("/v1/controller/auth/initialize-token-auth").body(Body::from(token.to_string())).unwrap();
        assert!(service.oneshot(request).await.unwrap().status().is_success());
        let storage = storage(&kit.controller, "mine", "ALPHA.example.com", Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            assert_eq!(storage.node().unwrap(), "alpha");
            assert_eq!(storage.get("web").unwrap().expect("it is there").size.0, 65536);
            assert_eq!(storage.get("none").unwrap(), None);
            storage.set_props("web", &BTreeMap::from([("Aux/x".to_owned(), "1".to_owned())]), &[]).unwrap();
            assert_eq!(storage.list(&BTreeMap::from([("Aux/x".to_owned(), String::new())])).unwrap().len(), 1);
            assert!(storage.write("lease", "owner", None, Some("me")).unwrap());
            assert!(!storage.write("lease", "owner", None, Some("you")).unwrap());
            let fault = storage.resize("none", berth_plugin_sdk::Kib(1 << 20)).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Lost);
            let from = storage.events(None, 0).unwrap().next;
            storage.set_props("web", &BTreeMap::from([("Aux/x".to_owned(), "2".to_owned())]), &[]).unwrap();
            let events = storage.events(Some(from), 0).unwrap();
            assert_eq!(events.changes.len(), 1, "{events:?}");
            assert_eq!(events.changes[0].volumes, ["web"]);
            assert!(events.next > from && !events.missed);
        });
        work.await.unwrap();
    }
}
