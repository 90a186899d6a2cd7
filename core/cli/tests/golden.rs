//! Every table and both forms of `-m`, as they are printed: `golden/*.txt` hold what is expected, `golden/*.json` what the controller answers.
//!
//! The documents are answers of a controller with simulated satellites. `BERTH_BLESS=1` writes what is printed now, to be looked at before it is
//! committed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use berth_cli::{Surroundings, Terminal, run_in};

/// What is answered to whom: path and file.
const ANSWERS: [(&str, &str); 19] = [
    ("/v1/nodes", "nodes"),
    ("/v1/nodes/alpha/net-interfaces", "interfaces"),
    ("/v1/view/storage-pools", "pools"),
    ("/v1/storage-pool-definitions", "pool-definitions"),
    ("/v1/resource-groups", "groups"),
    ("/v1/resource-groups/web/volume-groups", "volume-groups"),
    ("/v1/resource-groups/web/query-max-volume-size", "max-volume-size"),
    ("/v1/resource-groups/web/query-size-info", "size-info"),
    ("/v1/resource-definitions", "definitions"),
    ("/v1/view/resources", "resources"),
    ("/v1/view/snapshots", "snapshots"),
    ("/v1/key-value-store", "key-values"),
    ("/v1/controller/properties", "properties"),
    ("/v1/controller/version", "version"),
    ("/v1/error-reports", "error-reports"),
    ("/v1/physical-storage", "physical-storage"),
    ("/v1/query-max-volume-size", "max-volume-size"),
    ("/v1/resource-groups/web/spawn", "replies"),
    ("/v1/resource-groups/DfltRscGrp/volume-groups", "none"),
];

/// File of the transcript, and the commands in it.
const TRANSCRIPTS: [(&str, &[&str]); 18] = [
    ("nodes", &["node list", "node list --show-aux-props", "node list -s Aux/rack=Rack", "node list -p --groupby NodeType"]),
    ("node-info", &["node info"]),
    ("node-describe", &["node describe"]),
    ("interfaces", &["node interface list alpha"]),
    ("pools", &["storage-pool list", "storage-pool list -p", "storage-pool list --groupby Size"]),
    ("pool-definitions", &["storage-pool-definition list"]),
    ("groups", &["resource-group list"]),
    ("volume-groups", &["volume-group list web"]),
    ("definitions", &["resource-definition list", "resource-definition list -e --ports"]),
    ("volume-definitions", &["volume-definition list"]),
    (
        "resources",
        &["resource list", "resource list -a", "resource list --faulty", "resource list --show-drbd-ports", "resource involved alpha"],
    ),
    ("volumes", &["volume list", "resource list-volumes -p"]),
    ("snapshots", &["snapshot list"]),
    ("key-values", &["key-value-store list", "key-value-store show inst"]),
    ("properties", &["controller list-properties", "controller list-properties -p"]),
    ("error-reports", &["error-reports list", "error-reports list --full"]),
    (
        "sizes",
        &[
            "resource-group query-max-volume-size web",
            "resource-group query-size-info web",
            "controller query-max-volume-size 2",
            "physical-storage list",
        ],
    ),
    ("replies", &["resource-group spawn-resources web r 1G", "controller version", "advise resource", "advise maintenance alpha"]),
];

/// How the first command of a transcript is called: words before it.
const FORMS: [&str; 7] = ["", "--no-utf8", "-m", "-m --output-version v0", "-o csv", "-o yaml", "-o wide"];
/// How the others are, whose documents are the same.
const OTHER_FORMS: [&str; 2] = ["", "-o csv"];
/// Transcripts whose commands answer different documents.
const DIFFERENT: [&str; 3] = ["sizes", "replies", "key-values"];

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

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

async fn controller() -> String {
    let read = |name: &str| match name {
        "none" => "[]".to_owned(),
        name => std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("a document"),
    };
    let answers: BTreeMap<&str, String> = ANSWERS.iter().map(|(path, name)| (*path, read(name))).collect();
    let app = Router::new().fallback(move |method: Method, uri: Uri| {
        let found = answers.get(uri.path()).cloned();
        let failed = method == Method::POST && uri.path().ends_with("/spawn");
        async move {
            match found {
                Some(body) if failed => (StatusCode::INTERNAL_SERVER_ERROR, body),
                Some(body) => (StatusCode::OK, body),
                None => (StatusCode::NOT_FOUND, format!(r#"[{{"ret_code":-4611686018427387604,"message":"no {}"}}]"#, uri.path())),
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Moments are shown in the local time of whoever looks, which differs: every one becomes the same.
fn without_moments(text: &str) -> String {
    const FORM: &str = "dddd-dd-dd dd:dd:dd";
    let chars: Vec<char> = text.chars().collect();
    let fits = |at: usize| {
        FORM.chars().enumerate().all(|(place, form)| {
            chars.get(at + place).is_some_and(|found| if form == 'd' { found.is_ascii_digit() } else { *found == form })
        })
    };
    let (mut out, mut at) = (String::new(), 0);
    while at < chars.len() {
        if fits(at) {
            out.push_str("YYYY-MM-DD HH:MM:SS");
            at += FORM.len();
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

#[tokio::test]
async fn tables_and_documents_are_printed_as_ever() {
    let address = controller().await;
    let mut wrong = Vec::new();
    for (name, commands) in TRANSCRIPTS {
        let mut transcript = String::new();
        for (place, command) in commands.iter().enumerate() {
            let forms = if place == 0 || DIFFERENT.contains(&name) { FORMS.as_slice() } else { OTHER_FORMS.as_slice() };
            for form in forms {
                let line = format!("{form} {command}");
                let (out, err) = (Kept::default(), Kept::default());
                let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
                let words = ["--controllers", &address].into_iter().chain(line.split_whitespace()).map(Into::into).collect();
                let code = run_in(words, &Surroundings::default(), &mut terminal).await;
                let text = |kept: &Kept| String::from_utf8(kept.0.lock().expect("no writer panicked").clone()).expect("UTF-8");
                transcript.push_str(&format!("$ linstor {}\n{}{}", line.trim(), text(&out), text(&err)));
                transcript.push_str(&format!("exit code {code}\n\n"));
            }
        }
        let transcript = without_moments(&transcript).replace(&address, "CONTROLLER");
        let file = folder().join(format!("{name}.txt"));
        if std::env::var_os("BERTH_BLESS").is_some() {
            std::fs::write(&file, &transcript).expect("the transcript is written");
            continue;
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some((number, (is, was))) = transcript.lines().zip(expected.lines()).enumerate().find(|(_, (is, was))| is != was) {
            wrong.push(format!("{name}.txt, line {}:\n  is  {is}\n  was {was}", number + 1));
        } else if transcript != expected {
            wrong.push(format!("{name}.txt: {} lines instead of {}", transcript.lines().count(), expected.lines().count()));
        }
    }
    assert!(wrong.is_empty(), "{}\nBERTH_BLESS=1 writes what is printed now", wrong.join("\n"));
}
