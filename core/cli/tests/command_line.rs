//! The command line from the outside: what it sends, and how it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use berth_cli::Surroundings;
use serde_json::Value;

mod kit;

use kit::{Folder, Ran, controller, run, run_around, serve};

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
    for line in ["n create-openflex-target", "s ship alpha web"] {
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
async fn completion_scripts_and_the_rest_of_the_grammar() {
    let zsh = run("gen-zsh-completer").await;
    assert!(zsh.code == 0 && zsh.out.contains("#compdef linstor"), "{}{}", zsh.out, zsh.err);
    let transaction = run("resource create-transactional begin").await;
    assert!(transaction.code == 5 && transaction.err.contains("interactive"), "{} {}", transaction.code, transaction.err);
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
