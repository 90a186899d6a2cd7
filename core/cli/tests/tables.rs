//! What the command line prints: tables, other forms of output, pages.

use std::ffi::OsString;

use berth_cli::{Surroundings, Terminal, run_in};
use serde_json::Value;

#[allow(dead_code, reason = "these tests write no files of settings")]
mod kit;

use kit::{Folder, Kept, controller, run, serve, words};

const NODES: &str = r#"[{"name":"alpha","type":"SATELLITE","props":{"Aux/z":"1","Aux/a":"2"},"net_interfaces":[{"name":"default","address":"10.0.0.1","satellite_port":3366,"satellite_encryption_type":"PLAIN","is_active":true}],"connection_status":"ONLINE","uuid":"u"},{"name":"bravo","type":"COMBINED","connection_status":"DUPLICATE_UNAME"}]"#;

#[tokio::test]
async fn nodes_as_a_table() {
    let address = controller(200, NODES).await;
    let ran = run(&format!("--controllers {address} n l -p --show-aux-props -s Aux/z=Zone")).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let expected = "\
+-------+-----------+-------------------------+-----------------+----------+------+
| Node  | NodeType  | Addresses               | State           | AuxProps | Zone |
+=================================================================================+
| alpha | SATELLITE | 10.0.0.1:3366 (PLAIN)   | Online          | Aux/a=2  | 1    |
|       |           |                         |                 | Aux/z=1  |      |
| bravo | COMBINED  |                         | DUPLICATE_UNAME |          |      |
+-------+-----------+-------------------------+-----------------+----------+------+
";
    assert_eq!(squeezed(&ran.out), squeezed(expected));
    let wide = run(&format!("--controllers {address} n l")).await;
    assert!(wide.out.contains("╭") && !wide.out.contains('\u{1b}'), "no colours without a terminal: {}", wide.out);
}

/// Widths of columns are the table's business; the cells are ours.
fn squeezed(table: &str) -> Vec<String> {
    table.lines().filter(|line| line.starts_with('|')).map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
}

#[tokio::test]
async fn machine_output_keeps_the_document() {
    let address = controller(200, NODES).await;
    let new = run(&format!("--controllers {address} -m n l")).await;
    let parsed: Value = serde_json::from_str(&new.out).expect("JSON");
    assert_eq!(parsed[0], serde_json::from_str::<Value>(NODES).expect("JSON"));
    assert!(new.out.find("Aux/z") < new.out.find("Aux/a"), "keys keep their order");
    let old = run(&format!("--controllers {address} -m --output-version v0 n l")).await;
    let parsed: Value = serde_json::from_str(&old.out).expect("JSON");
    assert_eq!(parsed[0]["nodes"][0]["net_interfaces"][0]["stlt_port"], 3366);
    assert_eq!(parsed[0]["nodes"][0]["props"][0], serde_json::json!({"key": "Aux/a", "value": "2"}));
}

#[tokio::test]
async fn resources_and_volumes_as_tables() {
    let document = r#"[{"name":"r1","node_name":"a","layer_object":{"type":"STORAGE","storage":{}},"state":{"in_use":false},"create_timestamp":0,
        "volumes":[{"volume_number":0,"storage_pool_name":"thin","provider_kind":"FILE_THIN","device_path":"/dev/loop0","allocated_size_kib":1101005}]},
        {"name":"r1","node_name":"b","flags":["DISKLESS","DRBD_DISKLESS","TIE_BREAKER"],"state":{},"layer_object":{"type":"DRBD","children":[{"type":"STORAGE"}]},"volumes":[{"state":{"disk_state":"Diskless"}}]}]"#;
    let address = controller(200, document).await;
    let list = run(&format!("--controllers {address} r l -p")).await;
    assert!(list.out.contains("| r1           | a    | STORAGE | Unused |       | Created |"), "{}", list.out);
    assert!(!list.out.contains("TieBreaker"));
    assert!(run(&format!("--controllers {address} r l -p -a")).await.out.contains("TieBreaker"));
    let volumes = run(&format!("--controllers {address} v l -p")).await;
    assert_eq!(squeezed(&volumes.out)[1], "|r1|a|thin|0||/dev/loop0|1.05 GiB|Unused|Created||");
}

#[tokio::test]
async fn groups_show_their_volume_groups() {
    let address = serve(|_, uri| {
        let body = match uri.path() {
            "/v1/resource-groups" => {
                r#"[{"name":"web","description":"d","select_filter":{"place_count":2,"storage_pool_list":["p1","p2"]}}]"#
            }
            "/v1/resource-groups/web/volume-groups" => r#"[{"volume_number":0},{"volume_number":1}]"#,
            _ => return (404, "[]".to_owned()),
        };
        (200, body.to_owned())
    })
    .await;
    let ran = run(&format!("--controllers {address} rg l -p")).await;
    assert_eq!(squeezed(&ran.out)[1..], ["|web|PlaceCount: 2|0,1|d|", "||StoragePool(s): p1, p2|||"]);
}

#[tokio::test]
async fn a_clone_is_waited_for() {
    let address = serve(|method, uri| match (method.as_str(), uri.path()) {
        ("POST", "/v1/resource-definitions/r1/clone") => {
            (201, r#"{"location":"x","source_name":"r1","clone_name":"r2","messages":[{"ret_code":1,"message":"started"}]}"#.to_owned())
        }
        ("GET", "/v1/resource-definitions/r1/clone/r2") => (200, r#"{"status":"COMPLETE"}"#.to_owned()),
        _ => (404, "[]".to_owned()),
    })
    .await;
    let ran = run(&format!("--controllers {address} rd cln r1 r2")).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.matches("SUCCESS").count(), 2, "{}", ran.out);
    let failed = controller(404, r#"[{"ret_code":-4611686018427387603,"message":"no such definition"}]"#).await;
    assert_eq!(run(&format!("--controllers {failed} rd cln r1 r2")).await.code, 10);
}

#[tokio::test]
async fn properties_and_missing_things() {
    let address = controller(200, r#"[{"name":"i","props":{"b":"2","a":"1"}}]"#).await;
    assert_eq!(squeezed(&run(&format!("--controllers {address} kv s i -p")).await.out)[1..], ["|a|1|", "|b|2|"]);
    assert_eq!(run(&format!("--controllers {address} kv s nosuch")).await.code, 3);
    let properties = controller(200, r#"{"k":"v"}"#).await;
    let machine = run(&format!("--controllers {properties} -m c lp")).await;
    assert_eq!(serde_json::from_str::<Value>(&machine.out).expect("JSON"), serde_json::json!([[{"key": "k", "value": "v"}]]));
    let missing = controller(404, r#"[{"ret_code":-4611686018427387604,"message":"no node"}]"#).await;
    let ran = run(&format!("--controllers {missing} n lp x")).await;
    assert_eq!((ran.code, ran.out.as_str()), (10, "ERROR:\n    no node\n"));
}

#[tokio::test]
async fn a_form_of_output_is_chosen_before_or_after_the_words() {
    let address = controller(200, NODES).await;
    for line in ["-o csv n l", "n l -o csv", "n l --output=csv", "n l -ocsv"] {
        let ran = run(&format!("--controllers {address} {line}")).await;
        let first = ran.out.lines().next().unwrap_or_default().trim_end();
        assert_eq!((ran.code, first), (0, "Node,NodeType,Addresses,State,AuxProps"), "{line}: {}", ran.err);
    }
    let json = run(&format!("--controllers {address} n l -o json")).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON"), serde_json::from_str::<Value>(NODES).expect("JSON"));
    let yaml = run(&format!("--controllers {address} n l -o yaml")).await;
    assert!(yaml.out.starts_with("- ") && yaml.out.contains("name: bravo\n"), "{}", yaml.out);
    let wide = run(&format!("--controllers {address} -o wide n l")).await;
    assert!(wide.out.contains("AuxProps"), "{}", wide.out);
    let bad = run(&format!("--controllers {address} n l --output xml")).await;
    assert!(bad.code == 2 && bad.err.contains("json, yaml, csv, wide"), "{}", bad.err);
    let kept = run("--curl n sp a k -- -o").await;
    assert!(kept.out.contains(r#"{"k":"-o"}"#), "{}{}", kept.out, kept.err);
}

#[tokio::test]
async fn changes_are_told_in_the_form_asked_for_and_still_fail() {
    let address = controller(500, r#"[{"ret_code":-4611686018427386908,"message":"too few","cause":"one node"}]"#).await;
    let csv = run(&format!("--controllers {address} rd ap web -o csv")).await;
    assert_eq!(csv.code, 10);
    assert_eq!(csv.out, "RetCode,Severity,Message,Cause,Correction,Details\n-4611686018427386908,ERROR,too few,one node,,\n");
    let json = run(&format!("--controllers {address} rd ap web -o json")).await;
    assert_eq!((json.code, serde_json::from_str::<Value>(&json.out).expect("JSON")[0]["message"].clone()), (10, "too few".into()));
}

#[tokio::test]
async fn the_next_command_is_named_at_a_terminal_only() {
    let address = controller(201, r#"[{"ret_code":4456449,"message":"made"}]"#).await;
    let line = words(&format!("--controllers {address} rg c web"));
    for sits_there in [true, false] {
        let (out, err) = (Kept::default(), Kept::default());
        let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
        (terminal.out_is_terminal, terminal.err_is_terminal) = (sits_there, sits_there);
        assert_eq!(run_in(line.clone(), &Surroundings::default(), &mut terminal).await, 0);
        assert_eq!(err.text().contains("Next: linstor volume-group create web"), sits_there, "{}", err.text());
    }
}

#[tokio::test]
async fn lists_are_read_in_pages() {
    let ran = run("--curl r l --limit 50 --offset 100").await;
    assert!(ran.out.contains("limit=50") && ran.out.contains("offset=100"), "{}", ran.out);
    assert_eq!(run("--curl r l --offset 100").await.code, 2, "the API ignores an offset without a limit");
    assert_eq!(run("--curl r l --limit x").await.code, 2);
}

#[tokio::test]
async fn a_long_table_goes_through_the_pager() {
    let address = controller(200, NODES).await;
    let folder = Folder::new("pager");
    let file = folder.0.join("seen");
    let line = words(&format!("--controllers {address} --no-color --pager={} n l", "tee".to_owned() + "@" + &file.display().to_string()));
    let line: Vec<OsString> = line.into_iter().map(|word| word.to_string_lossy().replace('@', " ").into()).collect();
    let (out, err) = (Kept::default(), Kept::default());
    let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
    (terminal.out_is_terminal, terminal.height) = (true, Some(3));
    assert_eq!(run_in(line, &Surroundings::default(), &mut terminal).await, 0, "{}", err.text());
    assert!(out.text().is_empty(), "{}", out.text());
    assert!(std::fs::read_to_string(&file).expect("the pager wrote it").contains("bravo"));
}

#[tokio::test]
async fn a_property_is_explained_with_where_its_value_comes_from() {
    let ran = run("explain protocol").await;
    assert!(ran.code == 0 && ran.out.starts_with("DrbdOptions/Net/protocol\n"), "{}{}", ran.out, ran.err);
    assert_eq!(run("explain NoSuchKey").await.code, 2);
    let address = serve(|_, uri| {
        let body = match uri.path() {
            "/v1/controller/properties" => r#"{"DrbdOptions/Net/protocol":"A"}"#,
            "/v1/resource-definitions/web" => r#"{"name":"web","resource_group_name":"g","props":{}}"#,
            "/v1/resource-groups/g" => r#"{"name":"g","props":{"DrbdOptions/Net/protocol":"B"}}"#,
            _ => return (404, "[]".to_owned()),
        };
        (200, body.to_owned())
    })
    .await;
    let ran = run(&format!("--controllers {address} --no-utf8 explain protocol -r web")).await;
    assert_eq!(squeezed(&ran.out)[1..], ["|resource group g|B|yes|", "|controller|A||"], "{}{}", ran.out, ran.err);
    let json = run(&format!("--controllers {address} explain protocol -r web -o json")).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON")["values"][0]["value"], "B", "{}", json.out);
}

#[tokio::test]
async fn advice_is_read_off_the_lists() {
    let address = serve(|_, uri| {
        let body = match uri.path() {
            "/v1/view/resources" => {
                r#"[{"name":"web","node_name":"a","layer_object":{"type":"DRBD"},"state":{"in_use":true},"volumes":[{"state":{"disk_state":"UpToDate"}}]}]"#
            }
            "/v1/nodes" => r#"[{"name":"a","connection_status":"ONLINE"}]"#,
            _ => "[]",
        };
        (200, body.to_owned())
    })
    .await;
    let ran = run(&format!("--controllers {address} --no-utf8 advise resource")).await;
    assert!(squeezed(&ran.out)[1].starts_with("|web|Has only one replica"), "{}{}", ran.out, ran.err);
    let ran = run(&format!("--controllers {address} advise maintenance a")).await;
    assert!(ran.code == 0 && ran.out.contains("in use on a"), "{}{}", ran.out, ran.err);
    assert_eq!(run(&format!("--controllers {address} advise maintenance nosuch")).await.code, 3);
    let machine = run(&format!("--controllers {address} -m adv r")).await;
    assert_eq!(serde_json::from_str::<Value>(&machine.out).expect("JSON")[0]["resource"], "web", "{}", machine.out);
}

#[tokio::test]
async fn remotes_and_schedules_are_tables_also_where_there_are_none() {
    let remotes = r#"{"s3_remotes":[{"remote_name":"vault","endpoint":"s3.example.com","bucket":"b","region":"eu-1"}],"linstor_remotes":[{"remote_name":"far","url":"http://far:3370"}]}"#;
    let at = controller(200, remotes).await;
    let ran = run(&format!("--no-utf8 --no-color --controllers {at} remote list")).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    for text in ["Name", "Type", "Info", "vault", "eu-1.s3.example.com/b", "far", "Linstor", "http://far:3370"] {
        assert!(ran.out.contains(text), "{text}: {}", ran.out);
    }
    let at = controller(200, r#"{"data":[{"schedule_name":"nightly","full_cron":"0 2 * * *","keep_local":3}]}"#).await;
    let ran = run(&format!("--no-utf8 --no-color --controllers {at} schedule list")).await;
    assert!(ran.out.contains("nightly") && ran.out.contains("0 2 * * *") && ran.out.contains('3'), "{}{}", ran.out, ran.err);
    let at = controller(200, "{}").await;
    for line in ["remote list", "schedule list", "schedule list-by-resource", "backup queue list", "backup list vault"] {
        let ran = run(&format!("--controllers {at} {line}")).await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    }
    let at = controller(200, r#"{"reportText":"Nothing is tracked."}"#).await;
    assert_eq!(run(&format!("--controllers {at} space-reporting query")).await.out, "Nothing is tracked.\n");
}
