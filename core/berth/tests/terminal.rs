//! The program at a terminal of its own: `script` (util-linux) gives it one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longest wait for something to appear.
const LIMIT: Duration = Duration::from_secs(60);
const PROMPT: &str = "LINSTOR ==> ";
const NODES: &str = r#"[{"name":"alpha-with-a-name","type":"SATELLITE","net_interfaces":[],"connection_status":"ONLINE"}]"#;
const BALANCE: &str = r#"[{"resource_name":"alpha-with-a-name","resource_group":"fast","replicas":1,"wanted":2,"action":"add"}]"#;

/// Answers what these tests ask for, until the program ends; a stream of events says that it is there, and nothing more.
fn controller() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut request = String::new();
    reader.read_line(&mut request).expect("a request");
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|read| read > 0) && !header.trim().is_empty() {
        header.clear();
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type:";
    let _gone = match path.as_str() {
        "/v1/berth/events" => {
            let ready = "event: ready\nid: 1\ndata: {}\n\n";
            write!(stream, "{head} text/event-stream\r\n\r\n{ready}")
                .and_then(|()| std::io::copy(&mut reader, &mut std::io::sink()).map(drop))
        }
        "/v1/nodes" => write!(stream, "{head} application/json\r\n\r\n{NODES}"),
        "/v1/berth/balance" => write!(stream, "{head} application/json\r\n\r\n{BALANCE}"),
        _ => write!(stream, "{head} application/json\r\n\r\n[]"),
    };
}

/// A program at a terminal of no known width.
struct Session {
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Session {
    fn start(address: &str, words: &str, home: &Path) -> Self {
        let line = format!("stty cols 0 rows 0; exec '{}' --disable-config --controllers {address} {words}", env!("CARGO_BIN_EXE_berth"));
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env_remove("LS_CONTROLLERS")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("COLUMNS")
            .env("HOME", home)
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let (input, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut piece) {
                if sender.send(piece[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, input, output, seen: String::new() }
    }

    fn type_in(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).and_then(|()| self.input.flush()).expect("the terminal reads");
    }

    /// Waits until `part` has appeared behind what was waited for before.
    fn wait_for(&mut self, part: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.seen.find(part) {
                self.seen.drain(..at + part.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(why) => panic!("no {part:?} ({why}): {}", self.seen),
            }
        }
    }

    /// What it printed to its end, and its exit code.
    fn rest(mut self) -> (String, Option<i32>) {
        while let Ok(piece) = self.output.recv_timeout(LIMIT) {
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
        let code = self.child.wait().expect("it ended").code();
        (std::mem::take(&mut self.seen), code)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn a_terminal_of_unknown_width_limits_no_table() {
    let address = controller();
    let home = tempfile::tempdir().expect("a folder");
    for words in ["node list", "balance --list"] {
        let session = Session::start(&address, words, home.path());
        let (text, code) = session.rest();
        assert_eq!(code, Some(0), "{words}: {text}");
        assert!(text.contains("alpha-with-a-name"), "{words}: {text}");
    }
}

#[test]
fn ctrl_c_ends_a_watch_and_not_the_session_whose_history_is_kept_at_once() {
    let address = controller();
    let home = tempfile::tempdir().expect("a folder");
    let mut session = Session::start(&address, "interactive", home.path());
    session.wait_for(PROMPT);
    session.type_in("resource create-transactional begin\r");
    session.wait_for("LINSTOR (create-transactional) ==> ");
    session.type_in("node list --watch\r");
    session.wait_for("alpha-with-a-name");
    let history = std::fs::read_to_string(home.path().join(".config/linstor/client.history")).expect("a history");
    assert!(history.contains("node list --watch"), "{history}");
    session.type_in("\u{3}");
    // What was collected is still there.
    session.wait_for("LINSTOR (create-transactional) ==> ");
    session.type_in("exit\r");
    let (text, code) = session.rest();
    assert_eq!(code, Some(0), "{text}");
}
