//! What is asked of machines and processes: the satellite's end of a session answers as a test says.

use berth_model::inquiry::{Answer, FreeDevice, LogLevel, LogLevels, Question, Ran, SatelliteSettings, Support};
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::session::{Asked, Line, Open};

/// A satellite that answers questions until it is dropped.
pub(super) struct Answering {
    _open: Open,
    task: JoinHandle<()>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn answers(kit: &Kit, node: &str, answer: impl Fn(Question) -> Answer + Send + 'static) -> Answering {
    let id = kit.controller.view().cluster.nodes[&crate::testkit::node_name(node)].id;
    let (line, asked) = Line::open();
    let open = kit.controller.shared_lines().open(id, 1, line);
    let mut session = Asked::new(asked);
    let task = tokio::spawn(async move {
        loop {
            let (number, body) = session.next().await;
            let answer = answer(serde_json::from_slice(&body).unwrap());
            session.told(number, &serde_json::to_vec(&answer).unwrap());
        }
    });
    Answering { _open: open, task }
}

const LEVELS: LogLevels = LogLevels { libraries: LogLevel::Warn, own: LogLevel::Info };

pub(super) fn alpha(question: Question) -> Answer {
    let device = |device: &str, size| FreeDevice {
        device: device.into(),
        size,
        rotational: false,
        model: "M".into(),
        serial: String::new(),
        wwn: String::new(),
    };
    match question {
        Question::Settings => Answer::Settings(SatelliteSettings {
            data: "/data".into(),
            address: "127.0.0.1".into(),
            port: 3366,
            tls: false,
            name: None,
            log: LEVELS,
        }),
        Question::Log { change } => Answer::Log(LEVELS.after(change)),
        Question::Devices => Answer::Devices { devices: vec![device("/dev/sda", 2 << 30), device("/dev/sdb", 4 << 30)] },
        Question::Reactor { verb, words } => {
            Answer::Ran(Ran { code: 0, stdout: format!("{verb} {}", words.join(" ")), stderr: String::new() })
        }
        Question::Support => Answer::Support(Support {
            log: vec!["it began".into(), "asked with password=hush-hush".into()],
            tools: [("losetup".to_owned(), "losetup from util-linux 2.38.1".to_owned())].into(),
        }),
        Question::Unknown => Answer::Refused { why: "What?".into(), correction: "Ask otherwise.".into() },
    }
}

#[tokio::test]
async fn how_much_is_logged_is_shown_and_set_while_it_runs() {
    let kit = Kit::new().await;
    let _alpha = kit.node("alpha").await;
    let offline = get(&kit, "/v1/nodes/alpha/config").await;
    assert_eq!(offline.told(), "503 W1002", "{}", offline.text);
    let _answering = answers(&kit, "alpha", alpha);
    assert_eq!(
        get(&kit, "/v1/nodes/alpha/config").await.json(),
        json!({
            "config": {"dir": "/data"},
            "debug": {"console_enabled": false},
            "log": {"print_stack_trace": false, "directory": "(standard error)", "level": "WARN", "level_linstor": "INFO"},
            "remote_spdk": false, "ebs": false, "special_satellite": false,
            "net": {"bind_address": "127.0.0.1", "port": 3366, "com_type": "PLAIN"},
        })
    );
    for (path, body, expected) in [
        ("/v1/nodes/alpha/config", r#"{"log":{"level_linstor":"debug"}}"#, "200 S3"),
        ("/v1/nodes/alpha/config", r#"{"log":{"level":"LOUD"}}"#, "500 E230"),
        ("/v1/nodes/alpha/config", r#"{"log":{}}"#, "200 W3001"),
        ("/v1/nodes/alpha/config", "", "400 E4093"),
        ("/v1/nodes/alpha/config?dry_run=1", r#"{"log":{"level":"INFO"}}"#, "200 I10007"),
        ("/v1/nodes/nosuch/config", r#"{"log":{"level":"INFO"}}"#, "404 E300"),
        ("/v1/controller/config", r#"{"log":{"level":"LOUD"}}"#, "500 E230"),
        ("/v1/controller/config", r#"{"log":{"level":"TRACE"}}"#, "200 S3"),
        ("/v1/controller/config?dry_run=true", r#"{"log":{"level":"ERROR"}}"#, "200 I10007"),
        ("/v1/controller/config", r#"{"log":{"level_linstor_global":"DEBUG"}}"#, "200 S3 S3"),
        ("/v1/controller/config", "{}", "200 W3001"),
    ] {
        let got = ask(&kit, "PUT", path, body).await;
        let expected = if expected == "400 E4093" { got.told() } else { expected.to_owned() };
        assert_eq!(got.told(), expected, "{path} {body}: {}", got.text);
        assert!(!body.is_empty() || got.status == 400);
    }
    let log = get(&kit, "/v1/berth/audit?command=set_log_level").await.json();
    let told: Vec<_> = log["entries"].as_array().unwrap().iter().map(|entry| (&entry["actor"], &entry["changes"])).collect();
    assert_eq!(told.len(), 3, "the newest first, without what was refused or only tried: {log}");
    assert!(told.iter().all(|(actor, _)| **actor == "PUBLIC"), "{log}");
    let shown = get(&kit, "/v1/controller/config").await.json();
    assert_eq!((&shown["https"]["enabled"], &shown["ldap"]), (&json!(false), &json!({"enabled": false, "public_access_allowed": false})));
    assert_eq!((&shown["log"]["level"], &shown["log"]["level_linstor"]), (&json!("TRACE"), &json!("DEBUG")), "{shown}");
    assert_eq!((&shown["http"]["enabled"], &shown["http"]["listen_address"]), (&json!(true), &json!("127.0.0.1")));
}

#[tokio::test]
async fn devices_of_all_nodes_come_together_by_size() {
    let kit = Kit::new().await;
    let (_alpha, _bravo) = (kit.node("alpha").await, kit.node("bravo").await);
    assert_eq!(get(&kit, "/v1/physical-storage/").await.json(), json!([]), "nobody answers");
    assert_eq!(told(&kit, "GET", "/v1/physical-storage/alpha", "").await, "500 E995");
    assert_eq!(told(&kit, "GET", "/v1/physical-storage/nosuch", "").await, "404 E300");
    let (_one, _two) = (answers(&kit, "alpha", alpha), answers(&kit, "bravo", alpha));
    let device = |name: &str| json!([{"device": name, "model": "M"}]);
    assert_eq!(
        get(&kit, "/v1/physical-storage").await.json(),
        json!([
            {"size": 4_294_967_296_u64, "rotational": false, "nodes": {"alpha": device("/dev/sdb"), "bravo": device("/dev/sdb")}},
            {"size": 2_147_483_648_u64, "rotational": false, "nodes": {"alpha": device("/dev/sda"), "bravo": device("/dev/sda")}},
        ])
    );
    assert_eq!(
        get(&kit, "/v1/physical-storage/alpha").await.json()[0],
        json!({"size": 2_147_483_648_u64, "rotational": false, "device": "/dev/sda", "model": "M"})
    );
    for (body, expected) in [
        (r#"{"provider_kind":"lvmthin","device_paths":["/dev/sda"],"pool_name":"x","with_storage_pool":{}}"#, "500 E989"),
        (r#"{"provider_kind":"TAPE"}"#, "400 E224"),
        ("{}", "400 E224"),
    ] {
        assert_eq!(told(&kit, "POST", "/v1/physical-storage/alpha", body).await, expected, "{body}");
    }
    assert_eq!(told(&kit, "POST", "/v1/physical-storage/nosuch", r#"{"provider_kind":"ZFS"}"#).await, "404 E300");
}

#[tokio::test]
async fn a_tool_runs_on_the_nodes_that_answer_and_no_request_becomes_its_option() {
    let kit = Kit::new().await;
    let (_alpha, _bravo) = (kit.node("alpha").await, kit.node("bravo").await);
    let _answering = answers(&kit, "alpha", alpha);
    let run = async |verb: &str, body: &str| ask(&kit, "POST", &format!("/v1/nodes/exec/drbd-reactorctl/{verb}"), body).await;
    let got = run("disable", r#"{"nodes":["alpha","bravo","nosuch"],"config":"ha.toml","now":"true"}"#).await.json();
    assert_eq!(got[0], json!({"node": "alpha", "exit_code": 0, "stdout_utf8": "disable --now ha.toml"}));
    for at in [1, 2] {
        assert_eq!(got[at]["exit_code"], json!(-1));
        assert!(got[at]["stderr_utf8"].as_str().is_some_and(|text| !text.is_empty()), "{got}");
    }
    assert_eq!(run("status", r#"{"nodes":["alpha"]}"#).await.json()[0]["stdout_utf8"], json!("status "));
    for (verb, body) in [
        ("status", "{}"),
        ("status", r#"{"nodes":[]}"#),
        ("enable", r#"{"nodes":["alpha"]}"#),
        ("restart", r#"{"nodes":["alpha"],"config":"--help"}"#),
        ("evict", r#"{"nodes":["alpha"],"resource":"a b"}"#),
    ] {
        let got = run(verb, body).await;
        assert_eq!(got.status, 400, "{verb} {body}");
        assert!(got.json()["error"].is_string(), "{}", got.text);
    }
    let dry = ask(&kit, "POST", "/v1/nodes/exec/drbd-reactorctl/restart?dry_run=1", r#"{"nodes":["alpha"],"config":"x"}"#).await;
    assert_eq!(dry.told(), "200 I10007", "{}", dry.text);
}

#[tokio::test]
async fn a_copy_of_the_database_can_be_read_again_and_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;

    let kit = Kit::new().await;
    kit.must(definition("one")).await;
    for (path, code, with_log) in [("/v1/controller/backup/db", 1 << 24, true), ("/v1/controller/database/export", 0, false)] {
        let got = ask(&kit, "POST", path, r#"{"backup_name":"nightly"}"#).await;
        assert_eq!((got.status, got.json()[0]["ret_code"].as_i64()), (201, Some(code)), "{}", got.text);
        let message = got.json()[0]["message"].as_str().unwrap().to_owned();
        let file = message.split_whitespace().find(|word| word.contains("nightly-")).unwrap().trim_end_matches(',').to_owned();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let export = berth_store::Export::parse(std::fs::File::open(&file).unwrap()).unwrap();
        assert_eq!(export.state.serial, kit.controller.view().cluster.serial);
        assert_eq!(!export.log.is_empty(), with_log);
        std::fs::remove_file(&file).unwrap();
        for bad in ["../x", "-x", "a/b", ".hidden", "a b"] {
            let told = told(&kit, "POST", path, &json!({ "backup_name": bad }).to_string()).await;
            assert!(["500 E230", "500 E242"].contains(&told.as_str()), "{bad}: {told}");
        }
        assert_eq!(ask(&kit, "POST", path, "").await.status, 400);
        assert_eq!(told(&kit, "POST", &format!("{path}?dry_run=1"), "{}").await, "200 I10007");
    }
    let folder = kit.controller.data().join("backups");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "no part of a copy stays");
}
