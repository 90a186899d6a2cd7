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
const ANSWERS: &[(&str, &str)] = &[
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
    ("/v1/nodes/alpha", "node"),
    ("/v1/node-connections", "node-connections"),
    ("/v1/resource-definitions/site1/resource-connections", "resource-connections"),
    ("/v1/resource-definitions/site1/resource-connections/alpha/bravo", "resource-connection"),
    ("/v1/files", "files"),
    ("/v1/files/%2Fetc%2Fmultipath.conf", "file"),
    ("/v1/remotes", "remotes"),
    ("/v1/remotes/vault/backups", "backups"),
    ("/v1/remotes/vault/backups/info", "backup-info"),
    ("/v1/view/backup/queue", "backup-queue"),
    ("/v1/schedules", "schedules"),
    ("/v1/view/schedules-by-resource", "schedules-by-resource"),
    ("/v1/view/schedules-by-resource/site1", "schedule-details"),
    ("/v1/controller/auth/token", "tokens"),
    ("/v1/space-report", "space-report"),
    ("/v1/encryption/passphrase", "passphrase"),
    ("/v1/resource-definitions/site1", "definition"),
    ("/v1/resource-groups/web", "group"),
    ("/v1/error-reports/5F3A-00000-000001", "error-report"),
];

/// File of the transcript, and the commands in it.
const TRANSCRIPTS: &[(&str, &[&str])] = &[
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
    ("key-values", &["key-value-store list", "key-value-store list -s a/b=AB", "key-value-store show inst"]),
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
    ("node-properties", &["node list-properties alpha"]),
    (
        "connections",
        &[
            "node-connection list",
            "node-connection path list alpha bravo",
            "resource-connection list site1",
            "resource-connection path list alpha bravo site1",
        ],
    ),
    ("files", &["file list", "file show /etc/multipath.conf"]),
    ("remotes", &["remote list"]),
    (
        "backups",
        &[
            "backup list vault",
            "backup list vault --show-id",
            "backup list vault --others",
            "backup queue list",
            "backup info vault -r site1",
        ],
    ),
    ("schedules", &["schedule list", "schedule list-by-resource", "schedule list-by-resource-details site1"]),
    ("tokens", &["controller auth list"]),
    (
        "single",
        &[
            "controller which",
            "space-reporting query",
            "encryption status",
            "error-reports show 5F3A-00000-000001",
            "explain DrbdOptions/Net/protocol -r site1",
        ],
    ),
];

/// How the first command of a transcript is called: words before it.
const FORMS: [&str; 7] = ["", "--no-utf8", "-m", "-m --output-version v0", "-o csv", "-o yaml", "-o wide"];
/// How the others are, whose documents are the same.
const OTHER_FORMS: [&str; 2] = ["", "-o csv"];
/// Transcripts whose commands answer different documents.
const DIFFERENT: [&str; 8] = ["sizes", "replies", "key-values", "connections", "files", "backups", "schedules", "single"];
/// Commands that only read, by their last word; each is in a transcript.
const READS: [&str; 17] = [
    "list",
    "list-volumes",
    "involved",
    "info",
    "describe",
    "list-properties",
    "status",
    "show",
    "query",
    "query-max-volume-size",
    "query-size-info",
    "list-by-resource",
    "list-by-resource-details",
    "version",
    "which",
    "explain",
    "maintenance",
];
/// Tables that are those of another command: the properties of every object, and the list of volumes under its second name.
const SAME: [&str; 1] = ["list-properties"];

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

/// What a command prints, and its exit code; `width`: columns of a terminal, if it is one.
async fn print(address: &str, line: &str, width: Option<u16>) -> (u8, String) {
    let (out, err) = (Kept::default(), Kept::default());
    let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
    terminal.out_is_terminal = width.is_some();
    terminal.width = width;
    let words = ["--controllers", address].into_iter().chain(line.split_whitespace()).map(Into::into).collect();
    let code = run_in(words, &Surroundings::default(), &mut terminal).await;
    let text = |kept: &Kept| String::from_utf8(kept.0.lock().expect("no writer panicked").clone()).expect("UTF-8");
    (code, text(&out) + &text(&err))
}

/// The text without the sequences that colour it.
fn without_colour(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[tokio::test]
async fn tables_fit_the_terminal_and_are_coloured_only_there() {
    let address = controller().await;
    let (mut wrong, mut coloured) = (Vec::new(), 0);
    for command in TRANSCRIPTS.iter().flat_map(|(_, commands)| *commands) {
        for width in [80, 120] {
            let (_, text) = print(&address, command, Some(width)).await;
            coloured += usize::from(text.contains('\u{1b}'));
            let plain = without_colour(&text);
            let table = |line: &&str| line.starts_with(['╭', '│', '╞', '╰']);
            let wide = plain.lines().filter(table).find(|line| line.chars().count() > usize::from(width));
            if let Some(line) = wide.filter(|_| !command.contains(" -p")) {
                wrong.push(format!("{command} at {width}: {} columns: {line}", line.chars().count()));
            }
        }
        for line in [format!("--no-color {command}"), format!("-m {command}")] {
            let (_, text) = print(&address, &line, Some(80)).await;
            if text.contains('\u{1b}') {
                wrong.push(format!("{line} is coloured"));
            }
        }
        let (_, text) = print(&address, command, None).await;
        if text.contains('\u{1b}') {
            wrong.push(format!("{command} is coloured without a terminal"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(coloured > 10, "only {coloured} outputs have a colour on a terminal");
}

#[test]
fn every_command_that_reads_is_in_a_transcript() {
    fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            if sub.has_subcommands() {
                walk(sub, &path, missing);
                continue;
            }
            let reads = READS.contains(&sub.get_name()) && !SAME.contains(&sub.get_name());
            let shown = TRANSCRIPTS.iter().flat_map(|(_, commands)| *commands).any(|line| line.starts_with(&path));
            if reads && !shown {
                missing.push(path);
            }
        }
    }
    let mut missing = Vec::new();
    walk(&berth_cli::command(), "", &mut missing);
    // That list is of this program's own words, and asks nobody.
    missing.retain(|path| path != "list-commands");
    assert!(missing.is_empty(), "no transcript shows: {}", missing.join(", "));
}

#[tokio::test]
async fn tables_and_documents_are_printed_as_ever() {
    let address = controller().await;
    let mut wrong = Vec::new();
    for &(name, commands) in TRANSCRIPTS {
        let mut transcript = String::new();
        for (place, command) in commands.iter().enumerate() {
            let forms = if place == 0 || DIFFERENT.contains(&name) { FORMS.as_slice() } else { OTHER_FORMS.as_slice() };
            for form in forms {
                let line = format!("{form} {command}");
                let (code, text) = print(&address, &line, None).await;
                transcript.push_str(&format!("$ linstor {}\n{text}exit code {code}\n\n", line.trim()));
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
