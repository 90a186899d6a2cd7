//! The tables of Berth's own words, as they are printed: `golden/own.txt` holds what is expected, `golden/own.json` what the controller answers.
//!
//! `BERTH_BLESS=1` writes what is printed now, to be looked at before it is committed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

/// The commands, in the order of the transcript.
const COMMANDS: [&str; 27] = [
    "job list",
    "job list -o yaml",
    "job show 01890a5d-ac96-774b-bcce-b302099a8057",
    "job cancel 01890a5d-ac96-774b-bcce-b302099a8057",
    "audit",
    "audit -o json",
    "why web/alpha",
    "diff",
    "drift",
    "risk",
    "what-if node alpha down",
    "place new 1G --count 2",
    "place resource web --count +1",
    "balance --list",
    "balance --dry-run",
    "job list --blocked --node nobody",
    "job list -o csv",
    "job list --blocked --node nobody -o csv",
    "job cancel 01890a5d-ac96-774b-bcce-b302099a8057 -o csv",
    "audit -o csv",
    "audit -o wide",
    "why web/alpha -o csv",
    "diff -o csv",
    "drift -o csv",
    "risk -o csv",
    "place new 1G --count 2 -o csv",
    "balance --list -o csv",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Answers each request with the document under `METHOD TARGET`, or `METHOD PATH`, until the program ends.
fn controller() -> String {
    let text = std::fs::read_to_string(folder().join("own.json")).expect("the answers");
    let answers: Arc<Value> = Arc::new(serde_json::from_str(&text).expect("a document"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || answer(stream, &answers));
        }
    });
    address
}

fn answer(stream: TcpStream, answers: &Value) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request");
    let mut length = 0usize;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).expect("a header") == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    std::io::copy(&mut reader.take(length as u64), &mut std::io::sink()).expect("the body");
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let found = [format!("{method} {target}"), format!("{method} {path}")].into_iter().find_map(|key| answers.get(&key).cloned());
    let (status, body) = match found {
        Some(body) => ("200 OK", body),
        None => {
            ("404 Not Found", serde_json::json!([{"ret_code": -4_611_686_018_427_387_604_i64, "message": format!("nothing at {target}")}]))
        }
    };
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("the answer is read");
}

#[test]
fn own_tables_are_printed_as_ever() {
    let address = controller();
    let mut transcript = String::new();
    for command in COMMANDS {
        let mut program = Command::new(env!("CARGO_BIN_EXE_berth"));
        program.args(command.split(' ')).args(["--disable-config", "--controllers", &address]);
        let done = program.env_remove("LS_CONTROLLERS").env("HOME", "/nonexistent").output().expect("berth runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = done.status.code().unwrap_or(-1);
        transcript.push_str(&format!("$ berth {command}\n{}{}exit code {code}\n\n", text(&done.stdout), text(&done.stderr)));
    }
    assert!(!transcript.contains('\u{1b}'), "something is coloured, and nobody sees it");
    let file = folder().join("own.txt");
    if std::env::var_os("BERTH_BLESS").is_some() {
        std::fs::write(&file, &transcript).expect("the transcript is written");
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    for (number, (is, was)) in transcript.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, was, "own.txt, line {}; BERTH_BLESS=1 writes what is printed now", number + 1);
    }
    assert_eq!(transcript.lines().count(), expected.lines().count(), "own.txt; BERTH_BLESS=1 writes what is printed now");
}
