//! What is refused because it is not what was meant: files of another kind, nodes that do not exist.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use berth_cli::{Surroundings, Terminal, run_in};

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

/// The exit code, what was printed, and what was said beside it.
async fn run(address: &str, words: &[&str]) -> (u8, String, String) {
    let (out, err) = (Kept::default(), Kept::default());
    let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
    let words = ["--controllers", address].iter().chain(words).map(Into::into).collect();
    let code = run_in(words, &Surroundings::default(), &mut terminal).await;
    let text = |kept: &Kept| String::from_utf8(kept.0.lock().expect("no writer panicked").clone()).expect("UTF-8");
    (code, text(&out), text(&err))
}

/// A controller with two nodes, of which one has nothing.
async fn controller() -> String {
    let app = Router::new().fallback(|uri: Uri| async move {
        match uri.path() {
            "/v1/nodes" => (StatusCode::OK, r#"[{"name":"alpha","type":"SATELLITE"},{"name":"spare","type":"SATELLITE"}]"#),
            "/v1/view/resources" => (StatusCode::OK, r#"[{"name":"web","node_name":"alpha"}]"#),
            _ => (StatusCode::NOT_FOUND, "[]"),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn golden(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused_by_its_name() {
    // Nobody is asked: nothing listens there.
    let nobody = "127.0.0.1:1";
    for (command, file) in [
        (["node", "list"], "resources.json"),
        (["resource", "list"], "nodes.json"),
        (["volume", "list"], "tokens.json"),
        (["storage-pool-definition", "list"], "pools.json"),
        (["key-value-store", "list"], "definitions.json"),
        (["remote", "list"], "schedules.json"),
        // No JSON at all.
        (["snapshot", "list"], "nodes.txt"),
    ] {
        let path = golden(file);
        for form in [&[][..], &["-m"], &["-o", "yaml"]] {
            let words: Vec<&str> = form.iter().chain(&command).copied().chain(["--from-file", &path]).collect();
            let (code, out, err) = run(nobody, &words).await;
            assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
            assert!(err.contains(&path) && !err.contains("linstor://"), "{words:?}: {err}");
        }
    }
    let (code, _, err) = run(nobody, &["node", "list", "--from-file", "/no/such/file"]).await;
    assert!(code == 3 && err.contains("/no/such/file"), "{code} {err}");
}

#[tokio::test]
async fn a_file_of_its_kind_is_shown() {
    let mut wrong = Vec::new();
    for (command, file, part) in [
        (["node", "list"], "nodes.json", "SATELLITE"),
        (["resource", "list"], "resources.json", "site1"),
        (["volume", "list"], "resources.json", "site1"),
        (["resource-group", "list"], "groups.json", "DfltRscGrp"),
        (["volume-group", "list"], "volume-groups.json", "0"),
        (["resource-definition", "list"], "definitions.json", "site1"),
        (["volume-definition", "list"], "definitions.json", "site1"),
        (["storage-pool", "list"], "pools.json", "alpha"),
        (["storage-pool-definition", "list"], "pool-definitions.json", "DfltStorPool"),
        (["snapshot", "list"], "snapshots.json", "site1"),
        (["key-value-store", "list"], "key-values.json", "inst"),
        (["error-reports", "list"], "error-reports.json", "alpha"),
        (["physical-storage", "list"], "physical-storage.json", "alpha"),
        (["node-connection", "list"], "node-connections.json", "alpha"),
        (["resource-connection", "list"], "resource-connections.json", "alpha"),
        (["file", "list"], "files.json", "multipath"),
        (["remote", "list"], "remotes.json", "vault"),
        (["backup", "list"], "backups.json", "site1"),
        (["schedule", "list"], "schedules.json", ""),
    ] {
        let path = golden(file);
        let mut words = command.to_vec();
        // What the request would name.
        match command[0] {
            "volume-group" | "backup" | "resource-connection" => words.push("any"),
            _ => {}
        }
        words.extend(["--from-file", &path]);
        let (code, out, err) = run("127.0.0.1:1", &words).await;
        if code != 0 || !out.contains(part) {
            wrong.push(format!("{words:?}: {code}\n{out}{err}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_node_that_does_not_exist_is_not_one_without_resources() {
    let address = controller().await;
    for form in [&[][..], &["-m"], &["-o", "json"]] {
        let ask = |node| form.iter().copied().chain(["resource", "involved", node]).collect::<Vec<&str>>();
        let (code, out, err) = run(&address, &ask("nope")).await;
        assert!(code == 3 && out.is_empty() && err.contains("no node 'nope'"), "{form:?}: {code} {out}{err}");
        let (code, _, err) = run(&address, &ask("spare")).await;
        assert!(code == 0 && err.is_empty(), "{form:?}: nothing is there: {code} {err}");
        let (code, out, _) = run(&address, &ask("ALPHA")).await;
        assert!(code == 0 && out.contains("web"), "{form:?}: {code} {out}");
    }
}
