//! What tests of the command line share: a line as typed, and a controller that answers.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use berth_cli::{Surroundings, Terminal, run_in};

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

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
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panicked").clone()).expect("output is UTF-8")
    }
}

pub struct Ran {
    pub code: u8,
    pub out: String,
    pub err: String,
}

/// Splits as a shell would, as far as these tests need it: blanks and single quotes.
pub fn words(line: &str) -> Vec<OsString> {
    let part = |(at, part): (usize, &str)| -> Vec<OsString> {
        // What is between two quotes is one word.
        if at % 2 == 1 { vec![part.into()] } else { part.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect() }
    };
    line.split('\'').enumerate().flat_map(part).collect()
}

pub async fn run_around(line: &str, around: &Surroundings) -> Ran {
    let (out, err) = (Kept::default(), Kept::default());
    let mut terminal = Terminal::captured(Box::new(out.clone()), Box::new(err.clone()));
    let code = run_in(words(line), around, &mut terminal).await;
    Ran { code, out: out.text(), err: err.text() }
}

pub async fn run(line: &str) -> Ran {
    run_around(line, &Surroundings::default()).await
}

/// A controller that gives `answer` to everything; returns its address.
pub async fn controller(status: u16, answer: impl Into<String>) -> String {
    let answer = answer.into();
    serve(move |_, _| (status, answer.clone())).await
}

pub async fn serve(answer: impl Fn(Method, Uri) -> (u16, String) + Clone + Send + Sync + 'static) -> String {
    let app = Router::new().fallback(move |method: Method, uri: Uri| {
        let (status, body) = answer(method, uri);
        async move { (StatusCode::from_u16(status).expect("a status"), body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A folder of this test alone, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("berth-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn write(&self, file: &str, text: &str) {
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
