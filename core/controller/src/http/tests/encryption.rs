//! The master passphrase over the API: as recorded of LINSTOR, and nothing of it in any answer or record.

use berth_store::Store;

use super::*;

const PATH: &str = "/v1/encryption/passphrase";

async fn status(kit: &Kit) -> String {
    get(kit, PATH).await.json()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_passphrase_is_set_entered_and_changed() {
    let kit = Kit::new().await;
    assert_eq!(status(&kit).await, "unset");
    for (method, body, expected, then) in [
        ("PATCH", r#""secret""#, "500 E600", "unset"),
        ("POST", "{", "400 E16381", "unset"),
        ("POST", "{}", "500 E216", "unset"),
        ("POST", r#"{"new_passphrase":""}"#, "500 E216", "unset"),
        ("PUT", r#"{"old_passphrase":"a","new_passphrase":"b"}"#, "500 E512", "unset"),
        ("POST", r#"{"new_passphrase":"first-secret"}"#, "201 S1", "unlocked"),
        ("POST", r#"{"new_passphrase":"again"}"#, "500 E512", "unlocked"),
        ("PATCH", r#""first-secret""#, "200 S4", "unlocked"),
        ("PATCH", r#""wrong""#, "500 E600", "unlocked"),
        ("PATCH", r#"{"new_passphrase":"first-secret"}"#, "400 E16381", "unlocked"),
        ("PUT", r#"{"old_passphrase":"wrong","new_passphrase":"x"}"#, "500 E600", "unlocked"),
        ("PUT", r#"{"old_passphrase":"first-secret","new_passphrase":"second-secret"}"#, "200 S3", "unlocked"),
        ("PUT", r#"{"new_passphrase":"third-secret"}"#, "500 E512", "unlocked"),
        ("PATCH", r#""first-secret""#, "500 E600", "unlocked"),
        ("PATCH", r#""second-secret""#, "200 S4", "unlocked"),
    ] {
        let got = told(&kit, method, PATH, body).await;
        // The number of a document that could not be read has more bits than others.
        let got = if expected.starts_with("400") { format!("{} E16381", got.split(' ').next().unwrap()) } else { got };
        assert_eq!(got, expected, "{method} {body}");
        assert_eq!(status(&kit).await, then, "{method} {body}");
    }
}

#[tokio::test]
async fn a_restart_locks_and_nothing_is_in_clear() {
    let kit = Kit::new().await;
    assert_eq!(told(&kit, "POST", PATH, r#"{"new_passphrase":"hush-master"}"#).await, "201 S1");
    let [make, _] = definition("vault");
    kit.must([make]).await;
    let volumes = "/v1/resource-definitions/vault/volume-definitions";
    let volume =
        |passphrase: &str| format!(r#"{{"volume_definition":{{"size_kib":8192,"flags":["ENCRYPTED"]}},"passphrase":"{passphrase}"}}"#);
    assert_eq!(told(&kit, "POST", volumes, &volume("hush-own")).await, "200 S1");
    let change = format!("{volumes}/0/encryption-passphrase");
    assert_eq!(told(&kit, "PUT", &change, r#"{"new_passphrase":"hush-other"}"#).await, "200 W3000 S3");
    assert_eq!(told(&kit, "PUT", &change, "{").await.split(' ').next(), Some("400"));
    assert_eq!(told(&kit, "PUT", &format!("{volumes}/99/encryption-passphrase"), r#"{"new_passphrase":"x"}"#).await, "404 E303");

    let kit = kit.restart().await;
    assert_eq!(status(&kit).await, "locked");
    assert_eq!(told(&kit, "POST", volumes, &volume("hush-more")).await, "404 E312");
    assert_eq!(told(&kit, "PUT", &change, r#"{"new_passphrase":"hush-more"}"#).await, "404 E312");
    assert_eq!(told(&kit, "PATCH", PATH, r#""hush-wrong""#).await, "500 E600");
    assert_eq!(status(&kit).await, "locked");
    assert_eq!(told(&kit, "PATCH", PATH, r#""hush-master""#).await, "200 S4");
    assert_eq!(told(&kit, "POST", volumes, &volume("hush-more")).await, "200 S1");

    let loaded = kit.store.load().await.unwrap();
    for record in &loaded.records {
        assert!(!record.body.contains("hush"), "{}: {}", record.kind, record.body);
    }
    for entry in kit.controller.log(0, 1000).await.unwrap() {
        assert!(!entry.command.contains("hush"), "{}", entry.command);
    }
    for path in
        ["/v1/resource-definitions?with_volume_definitions=true", volumes, "/v1/berth/audit", "/v1/berth/why/resource-definition/vault"]
    {
        let text = get(&kit, path).await.text;
        assert!(!text.contains("hush"), "{path}: {text}");
    }
    let bundle = kit.controller.bundle(100).await.unwrap();
    let sealed = &loaded.records.iter().find(|record| record.kind == "master_key").unwrap().body;
    let sealed: Value = serde_json::from_str(sealed).unwrap();
    let shown = format!("{bundle:?}");
    assert!(!shown.contains(sealed["secret"].as_str().unwrap()), "the sealed key is in a bundle");
}

#[tokio::test]
async fn a_dry_run_sets_and_unlocks_nothing() {
    let kit = Kit::new().await;
    let dry = format!("{PATH}?dry_run=true");
    assert!(told(&kit, "POST", &dry, r#"{"new_passphrase":"hush"}"#).await.starts_with("200 I10007"));
    assert_eq!(status(&kit).await, "unset");
    assert_eq!(told(&kit, "POST", PATH, r#"{"new_passphrase":"hush"}"#).await, "201 S1");
    let kit = kit.restart().await;
    assert!(told(&kit, "PATCH", &dry, r#""hush""#).await.starts_with("200 I10007"));
    assert_eq!(status(&kit).await, "locked");
    assert_eq!(told(&kit, "PATCH", &dry, r#""wrong""#).await, "500 E600");
}

#[tokio::test]
async fn the_configuration_enters_it_at_each_start() {
    use crate::vault::{Passphrase, enter_configured};
    let configured = |text: &str| Passphrase::new(text.to_owned());
    let kit = Kit::new().await;
    assert!(enter_configured(&kit.controller, &configured("")).await.is_some());
    assert_eq!(status(&kit).await, "unset");
    assert_eq!(enter_configured(&kit.controller, &configured("example")).await, None);
    assert_eq!(status(&kit).await, "unlocked");
    let kit = kit.restart().await;
    let why = enter_configured(&kit.controller, &configured("another")).await.unwrap();
    assert!(why.contains("wrong") && !why.contains("another"), "{why}");
    assert_eq!(status(&kit).await, "locked");
    assert_eq!(enter_configured(&kit.controller, &configured("example")).await, None);
    assert_eq!(status(&kit).await, "unlocked");
}
