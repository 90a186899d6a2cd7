//! Balancing over the API: what is refused, what is listed, and that a dry run changes nothing.

use serde_json::json;

use super::{ask, get, told};
use crate::testkit::{Kit, definition};

#[tokio::test]
async fn what_means_nothing_is_refused_and_nothing_to_do_is_said() {
    let kit = Kit::new().await;
    assert_eq!(told(&kit, "GET", "/v1/berth/balance?nodes=alpha", "").await, "400 E234");
    assert_eq!(told(&kit, "GET", "/v1/berth/balance?resource=none", "").await, "404 E301");
    assert_eq!(told(&kit, "POST", "/v1/berth/balance", r#"{"resource": "web"}"#).await, "400 E32765");
    assert_eq!(told(&kit, "POST", "/v1/berth/balance", r#"{"resource_groups": ["none"]}"#).await, "404 E317");
    assert_eq!(told(&kit, "POST", "/v1/berth/balance", "").await, "200 I10007");
    kit.must(definition("web")).await;
    let serial = kit.controller.view().cluster.serial;
    let found = get(&kit, "/v1/berth/balance?resource=WEB&group=DfltRscGrp").await.json();
    assert_eq!((found[0]["action"].clone(), found[0]["wanted"].clone()), (json!("leave_alone"), json!(2)), "{found}");
    assert_eq!(get(&kit, "/v1/berth/balance?limit=1&offset=1").await.json(), json!([]));
    assert_eq!(told(&kit, "POST", "/v1/berth/balance", r#"{"resource_names": ["web"]}"#).await, "200 W3001");
    let dry = ask(&kit, "POST", "/v1/berth/balance?dry_run=true", r#"{"resource_names": ["web"]}"#).await;
    assert!(dry.status == 200 && dry.text.contains("left alone"), "{}", dry.text);
    assert_eq!(kit.controller.view().cluster.serial, serial, "nothing was committed");
}
