//! The command line from the outside: what it sends, what it prints, how it ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use berth_cli::{Surroundings, Terminal, run_in};
use serde_json::Value;

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panicked").clone()).expect("output is UTF-8")
    }
}

struct Ran {
    code: u8,
    out: String,
    err: String,
}

/// Splits as a shell would, as far as these tests need it: blanks and single quotes.
fn words(line: &str) -> Vec<OsString> {
    let part = |(at, part): (usize, &str)| -> Vec<OsString> {
        // What is between two quotes is one word.
        if at % 2 == 1 { vec![part.into()] } else { part.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect() }
    };
    line.split('\'').enumerate().flat_map(part).collect()
}

async fn run_around(line: &str, around: &Surroundings) -> Ran {
    let (out, err) = (Kept::default(), Kept::default());
    let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
    let code = run_in(words(line), around, &mut terminal).await;
    Ran { code, out: out.text(), err: err.text() }
}

async fn run(line: &str) -> Ran {
    run_around(line, &Surroundings::default()).await
}

/// A controller that gives `answer` to everything; returns its address.
async fn controller(status: u16, answer: impl Into<String>) -> String {
    let answer = answer.into();
    serve(move |_, _| (status, answer.clone())).await
}

async fn serve(answer: impl Fn(Method, Uri) -> (u16, String) + Clone + Send + Sync + 'static) -> String {
    let app = Router::new().fallback(move |method: Method, uri: Uri| {
        let (status, body) = answer(method, uri);
        async move { (StatusCode::from_u16(status).expect("a status"), body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The parts of a curl line: method, target, body.
fn parts(line: &str) -> (String, String, Option<Value>) {
    let rest = line.trim().strip_prefix("curl -X ").expect("a curl line");
    let (method, rest) = rest.split_once(' ').expect("a method");
    let (body, url) = match rest.strip_prefix("-H 'Content-Type: application/json' -d '") {
        Some(rest) => {
            let (body, url) = rest.rsplit_once("' ").expect("a body and a URL");
            (Some(serde_json::from_str(body).expect("JSON")), url)
        }
        None => (None, rest),
    };
    let target = url.trim_matches('\'').strip_prefix("http://localhost:3370").expect("the default controller");
    (method.to_owned(), target.to_owned(), body)
}

#[tokio::test]
async fn requests_are_those_of_the_wire() {
    for row in include_str!("wire.tsv").lines().filter(|row| !row.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [command, method, target, body] = fields.as_slice() else { panic!("four fields: {row}") };
        let ran = run(&format!("--curl {command}")).await;
        assert_eq!(ran.code, 0, "{command}: {}", ran.err);
        let (sent_method, sent_target, sent_body) = parts(&ran.out);
        let body = (*body != "-").then(|| serde_json::from_str::<Value>(body).expect("JSON in the table"));
        assert_eq!((sent_method.as_str(), sent_target.as_str(), sent_body), (*method, *target, body), "{command}");
    }
}

#[tokio::test]
async fn several_objects_make_several_requests() {
    let ran = run("--curl sp d n1 n2 p1").await;
    assert_eq!(
        ran.out,
        "curl -X DELETE http://localhost:3370/v1/nodes/n1/storage-pools/p1\ncurl -X DELETE http://localhost:3370/v1/nodes/n2/storage-pools/p1\n"
    );
}

#[tokio::test]
async fn commands_are_not_abbreviated_but_long_options_are() {
    assert_eq!(run("--curl nod li").await.code, 2);
    assert_eq!(run("--curl node li").await.code, 2);
    let ran = run("--curl node list --nod a").await;
    assert!(ran.out.contains("nodes=a"), "{}{}", ran.out, ran.err);
}

#[tokio::test]
async fn wrong_arguments_end_with_two() {
    for line in [
        "vd c r1 10X",
        "vd c r1 0",
        "sp c nosuch n1 p1 x",
        "n c",
        "rd c",
        "--nosuch n l",
        "--no-color",
        "r td n1 r1",
        "n m n1 -t boss",
        "rd opt r1",
        "s c r1",
    ] {
        let ran = run(line).await;
        assert_eq!(ran.code, 2, "{line}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn what_is_not_supported_says_so() {
    for line in ["n create-openflex-target", "sp lo alpha p"] {
        let ran = run(line).await;
        assert_eq!(ran.code, 4, "{line}");
        assert!(ran.err.contains("not supported yet"), "{}", ran.err);
    }
}

#[tokio::test]
async fn replies_are_blocks_and_decide_the_exit_code() {
    let address = controller(500, r#"[{"ret_code":20709377,"message":"made"},{"ret_code":-4611686018427386908,"message":"too few","correction":"add nodes","error_report_ids":["5F-0-1"]}]"#).await;
    let ran = run(&format!("--controllers {address} n c n1 10.0.0.1")).await;
    assert_eq!(ran.code, 10);
    assert_eq!(
        ran.out,
        "SUCCESS:\n    made\nERROR:\nDescription:\n    too few\nCorrection:\n    add nodes\nShow reports:\n    linstor error-reports show 5F-0-1\n"
    );
    let machine = run(&format!("--controllers {address} -m n c n1 10.0.0.1")).await;
    assert_eq!(machine.code, 0);
    assert!(machine.out.starts_with("[\n  {\n    \"ret_code\": 20709377,\n"), "{}", machine.out);
}

#[tokio::test]
async fn a_warning_is_an_error_when_asked_for() {
    let address = controller(200, r#"[{"ret_code":-9223372036854772808,"message":"gone already"}]"#).await;
    assert_eq!(run(&format!("--controllers {address} rd d x")).await.code, 0);
    assert_eq!(run(&format!("--controllers {address} --warn-as-error rd d x")).await.code, 10);
}

#[tokio::test]
async fn controllers_are_tried_in_order_and_none_is_twenty() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("bound").to_string()
    };
    let address = controller(200, "[]").await;
    assert_eq!(run(&format!("--controllers {closed},{address} n l")).await.code, 0);
    let ran = run(&format!("--controllers {closed} n l")).await;
    assert_eq!(ran.code, 20);
    assert!(ran.err.contains(&closed), "{}", ran.err);
    assert_eq!(run("--controllers linstor+ssl://localhost n l").await.code, 20);
    assert_eq!(run("--user alice n l").await.code, 20);
    assert_eq!(run("--certfile x.pem n l").await.code, 20);
}

#[tokio::test]
async fn a_foreign_answer_is_twenty_two() {
    let address = controller(200, "<html>hello</html>").await;
    assert_eq!(run(&format!("--controllers {address} n l")).await.code, 22);
    assert_eq!(run(&format!("--controllers {address} -m n l")).await.code, 22);
    assert_eq!(run(&format!("--controllers {address} rd d x")).await.code, 22);
}

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
async fn drbd_options_are_checked_before_anything_is_sent() {
    for (line, wanted) in [
        ("rd opt --protocol D r1", "A, B, C"),
        ("rd opt --al-extents 66 r1", "from 67 to 65534"),
        ("rd opt --auto-promote maybe r1", "neither true nor false"),
        ("c opt --quorum none", "off, majority, all"),
    ] {
        let ran = run(&format!("--curl {line}")).await;
        assert!(ran.code == 2 && ran.err.contains(wanted), "{line}: {} {}", ran.code, ran.err);
    }
    let help = run("resource-definition drbd-options --help").await.out;
    for text in ["--protocol <A|B|C>", "When a write counts as done", "--al-extents <67-65534>", "default: 1237", "--unset-<option>"] {
        assert!(help.contains(text), "no '{text}' in\n{help}");
    }
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
async fn completion_scripts_and_the_rest_of_the_grammar() {
    let zsh = run("gen-zsh-completer").await;
    assert!(zsh.code == 0 && zsh.out.contains("#compdef linstor"), "{}{}", zsh.out, zsh.err);
    let transaction = run("resource create-transactional begin").await;
    assert!(transaction.code == 2 && transaction.err.contains("interactive"), "{} {}", transaction.code, transaction.err);
    let keys = run("controller set-property --help").await.out;
    assert!(keys.contains("Writecache/PoolName") && keys.contains("Example:"), "{keys}");
}

#[tokio::test]
async fn help_and_versions_need_no_controller() {
    for line in ["--help", "node --help", "node list -h", "help node list", "list-commands", "commands --tree", "--version"] {
        let ran = run(line).await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        assert!(!ran.out.is_empty(), "{line}");
    }
    assert!(run("help node create").await.out.contains("linstor node create alpha 10.0.0.1"));
    assert!(run("commands").await.out.contains("- resource-definition (rd)"));
}

/// A folder of this test alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("berth-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn around(etc: &Path, env: &[(&str, &str)]) -> Surroundings {
    let env: BTreeMap<String, String> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Surroundings { env, etc: etc.to_owned(), state: etc.join("state") }
}

#[tokio::test]
async fn options_come_from_flag_environment_and_files() {
    let folder = Folder::new("options");
    folder.write(
        "linstor/linstor-client.conf",
        "[global]\ncontrollers = fromfile\n[node.list]\nshow-props = [\"Aux/a\"]\nnodes = [\"n1\"]\n",
    );
    folder.write("berth/client.toml", "controllers = [\"fromtoml\"]\n");
    let url = |ran: Ran| ran.out.split_whitespace().last().unwrap_or_default().trim_matches('\'').to_owned();
    let plain = around(&folder.0, &[]);
    assert_eq!(url(run_around("--curl n l", &plain).await), "http://fromfile:3370/v1/nodes?nodes=n1");
    assert_eq!(url(run_around("--curl n l -n n2", &plain).await), "http://fromfile:3370/v1/nodes?nodes=n1&nodes=n2");
    assert_eq!(url(run_around("--curl --controllers flag c v", &plain).await), "http://flag:3370/v1/controller/version");
    assert_eq!(url(run_around("--curl --disable-config c v", &plain).await), "http://localhost:3370/v1/controller/version");
    let env = around(&folder.0, &[("LS_CONTROLLERS", "env:1"), ("LS_CLIENT_CURL", "1")]);
    assert_eq!(url(run_around("--disable-config c v", &env).await), "http://env:1/v1/controller/version");
    let user = around(&folder.0, &[("XDG_CONFIG_HOME", folder.0.to_str().expect("UTF-8"))]);
    assert_eq!(url(run_around("--curl c v", &user).await), "http://fromfile:3370/v1/controller/version");

    let toml_only = Folder::new("toml");
    toml_only.write("berth/client.toml", "controllers = \"fromtoml\"\n");
    assert_eq!(url(run_around("--curl c v", &around(&toml_only.0, &[])).await), "http://fromtoml:3370/v1/controller/version");
    toml_only.write("berth/client.toml", "controler = \"x\"\n");
    assert_eq!(run_around("--curl c v", &around(&toml_only.0, &[])).await.code, 2);
}

/// Every command of the guide that concerns the objects of this version is understood. The guide is no part of the project:
/// without it (in `../shared` or where `BERTH_SHARED` says) the test says so and passes.
#[tokio::test]
async fn commands_of_the_guide_are_understood() {
    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(table) = std::fs::read_to_string(shared.join("guide/commands.tsv")) else {
        eprintln!("skipped: no guide/commands.tsv under {}", shared.display());
        return;
    };
    let mut seen = 0;
    for row in table.lines().skip(1) {
        let Some(command) = row.split('\t').nth(1).and_then(|command| command.strip_prefix("linstor ")) else { continue };
        // Needs a name server, a terminal or a shell.
        if ["<tab>", "nomad-01.example.com", "interactive", "gen-zsh"].iter().any(|part| command.contains(part))
            && !command.contains("thinpool")
        {
            continue;
        }
        let command = command.split('|').next().unwrap_or_default().replace('"', "");
        let ran = run(&format!("--curl {command}")).await;
        // TLS and passwords are refused after the grammar; what is not supported yet is understood as well.
        assert!(matches!(ran.code, 0 | 4 | 20), "linstor {command}: exit {}\n{}", ran.code, ran.err);
        seen += 1;
    }
    assert!(seen > 150, "only {seen} commands found");
}

/// The options of DRBD are those that LINSTOR's client has, for the same objects, with the same words and ranges. The facts are no part of the
/// project: without them the test says so and passes.
#[tokio::test]
async fn drbd_options_are_those_of_linstor() {
    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(facts) = std::fs::read_to_string(shared.join("linstor/drbdoptions.json")) else {
        eprintln!("skipped: no linstor/drbdoptions.json under {}", shared.display());
        return;
    };
    let facts: Value = serde_json::from_str(&facts).expect("JSON");
    let mut grammar = berth_cli::command();
    grammar.build();
    let texts =
        |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect() };
    for (object, path) in [
        ("controller", ["controller", "drbd-options"]),
        ("resource-definition", ["resource-definition", "drbd-options"]),
        ("resource-definition", ["resource-group", "drbd-options"]),
        ("volume-definition", ["volume-definition", "drbd-options"]),
        ("volume-definition", ["volume-group", "drbd-options"]),
        ("rsc-conn", ["resource", "drbd-peer-options"]),
    ] {
        let command = grammar.find_subcommand(path[0]).and_then(|object| object.find_subcommand(path[1])).expect("a command");
        let mut ours: Vec<&str> =
            command.get_arguments().filter(|arg| arg.get_help_heading() == Some("DRBD options")).filter_map(|arg| arg.get_long()).collect();
        let mut theirs = texts(&facts["objects"][object]);
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{path:?}");
    }
    for (name, option) in facts["properties"].as_object().expect("options") {
        let taken = async |value: &str| {
            let ran = run(&format!("--curl rd opt --{name} {value} r1")).await;
            (ran.code == 0).then(|| parts(&ran.out).2.expect("a body")["override_props"][option["key"].as_str().expect("a key")].clone())
        };
        for word in texts(&option["values"]) {
            assert_eq!(taken(&word).await, Some(word.clone().into()), "--{name} {word}");
        }
        let number = |key: &str| option[key].as_u64().or_else(|| option[key].as_str()?.parse().ok());
        if let (Some(min), Some(max)) = (number("min"), number("max")) {
            assert_eq!(taken(&max.to_string()).await, Some(max.to_string().into()), "--{name} {max}");
            assert_eq!(taken(&(max + 1).to_string()).await, None, "--{name} {}", max + 1);
            assert!(min == 0 || taken(&(min - 1).to_string()).await.is_none(), "--{name} {}", min - 1);
        }
    }
}

/// A controller that says what it was asked; it refuses unknown dry runs if it `knows` them.
async fn asked(knows: bool) -> (String, Arc<Mutex<Vec<String>>>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&lines);
    let address = serve(move |method, uri| {
        if uri.query() == Some("dry_run=probe") {
            return (if knows { 400 } else { 200 }, "[]".to_owned());
        }
        kept.lock().expect("no writer panicked").push(format!("{method} {uri}"));
        (200, r#"[{"ret_code":4611686018427397911,"message":"Dry run: nothing is changed."}]"#.to_owned())
    })
    .await;
    (address, lines)
}

#[tokio::test]
async fn a_dry_run_is_asked_for_and_never_taken_for_the_real_thing() {
    let (address, lines) = asked(true).await;
    let all = || std::mem::take(&mut *lines.lock().expect("no writer panicked"));
    for (line, expected) in [
        ("--dry-run node delete alpha", vec!["DELETE /v1/nodes/alpha?dry_run=true"]),
        ("node delete alpha --dry-run", vec!["DELETE /v1/nodes/alpha?dry_run=true"]),
        ("-m node delete --dry-run alpha", vec!["DELETE /v1/nodes/alpha?dry_run=plan"]),
        ("snapshot delete web s1 --dry-run", vec!["DELETE /v1/resource-definitions/web/snapshots/s1?dry_run=true"]),
        ("resource-definition clone web copy --dry-run", vec!["POST /v1/resource-definitions/web/clone?dry_run=true"]),
        ("node delete alpha", vec!["DELETE /v1/nodes/alpha"]),
    ] {
        let ran = run(&format!("--controllers {address} {line}")).await;
        assert_eq!((ran.code, all()), (0, expected.iter().map(ToString::to_string).collect()), "{line}: {}{}", ran.out, ran.err);
    }
    let several = run(&format!("--controllers {address} --dry-run node delete alpha bravo")).await;
    assert!(several.err.contains("each asked by itself"), "{}", several.err);
    assert_eq!(all().len(), 2);
    let reading = run(&format!("--controllers {address} --dry-run controller which")).await;
    assert!(reading.code == 0 && reading.err.contains("changes nothing anyway"), "{}{}", reading.out, reading.err);

    let (stranger, lines) = asked(false).await;
    let ran = run(&format!("--controllers {stranger} --dry-run node delete alpha")).await;
    assert_eq!((ran.code, lines.lock().expect("no writer panicked").len()), (4, 0), "{}", ran.err);
    assert!(ran.err.contains("does not know dry runs"), "{}", ran.err);
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
