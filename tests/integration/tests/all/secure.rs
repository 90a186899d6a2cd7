//! Certificates as operators have them: keystores and LINSTOR's own files, taken back, renewed while everything runs.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Daemon, Finished, Rest, Scratch, berth, run_within, until};
use rustix::process::Signal;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// Keystores made by the JDK and by OpenSSL, with the password `linstor`.
fn keystore(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/trust/tests/keystores").join(name)
}

fn controller(scratch: &Scratch, config: Option<&Path>, environment: &[(&str, &str)]) -> Result<Daemon> {
    let data = scratch.sub("controller")?.into_os_string();
    let mut words: Vec<OsString> = vec!["controller".into(), "--listen".into(), "127.0.0.1:0".into(), "--data".into(), data];
    if let Some(config) = config {
        words.extend(["--config".into(), config.into()]);
    }
    Daemon::start_with(scratch, "controller", &[], &[&[("BERTH_HTTPS_LISTEN", "127.0.0.1:0")], environment].concat(), words)
}

fn tls(dir: &Path, words: &[&str]) -> Result<String> {
    run_within(LIMIT, Command::new(berth()?).arg("tls").args(words).arg("--dir").arg(dir))?.ok()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a plain path")
}

/// The client against a controller's plain port, from where it is sent to HTTPS.
fn client(controller: &Daemon, options: &[&Path], words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(["--disable-config", "--controllers", controller.host_port()]);
    for (name, file) in ["--cafile", "--certfile", "--keyfile"].iter().zip(options) {
        command.arg(name).arg(file);
    }
    run_within(LIMIT, command.args(words))
}

/// What a plain request is answered with: status line and headers.
fn plain_head(controller: &Daemon, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(controller.host_port())?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", controller.host_port())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split("\r\n\r\n").next().unwrap_or_default().to_owned())
}

#[test]
fn linstors_own_file_with_its_keystore_turns_https_on() -> Result<()> {
    for (store, certificate) in [("server.jks", "server-jks.crt"), ("server.p12", "server-p12.crt")] {
        let scratch = Scratch::new()?;
        let config = scratch.path().join("linstor.toml");
        let file = keystore(store);
        let settings = format!(
            "[db]\nconnection_url = \"jdbc:h2:/var/lib/linstor/linstordb\"\n[https]\nkeystore = \"{}\"\nkeystore_password = \"linstor\"\n",
            file.display()
        );
        fs::write(&config, &settings)?;
        let daemon = controller(&scratch, Some(&config), &[])?;
        let head = plain_head(&daemon, "/v1/nodes")?;
        ensure!(head.starts_with("HTTP/1.1 302") && head.contains("https://127.0.0.1:"), "{head}");
        ensure!(client(&daemon, &[&keystore(certificate)], &["node", "list"])?.code() == 0, "{store}");
        let other = if store == "server.jks" { "server-p12.crt" } else { "server-jks.crt" };
        ensure!(client(&daemon, &[&keystore(other)], &["node", "list"])?.code() == 20, "another certificate was taken for {store}");
        ensure!(daemon.log_text().contains("db.connection_url"), "what has no meaning is told");
        drop(daemon);
        fs::write(&config, settings.replace("keystore_password = \"linstor\"", "keystore_password = \"hush-hush\""))?;
        let other = scratch.sub("other")?;
        let words = ["controller", "--config", text(&config)?, "--listen", "127.0.0.1:0", "--data", text(&other)?];
        let words = words.map(str::to_owned);
        let (status, log) = Daemon::refuse(&scratch, "wrong-password", LIMIT, words)?;
        ensure!(status.code() == Some(78), "{status}: {log}");
        ensure!(log.contains(store) && log.contains("the password of the keystore is wrong") && !log.contains("hush-hush"), "{log}");
    }
    Ok(())
}

#[test]
fn the_first_token_turns_https_on_and_sends_everybody_there() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut daemon = controller(&scratch, None, &[])?;
    let rest = Rest::new(daemon.address());
    ensure!(plain_head(&daemon, "/v1/nodes")?.starts_with("HTTP/1.1 200"));
    let made = rest.post("/v1/controller/auth/initialize-token-auth", &json!({"description": "first"}))?.ok()?;
    let token = made.json[0]["obj_refs"]["token"].as_str().context("a token")?.to_owned();
    until(LIMIT, "plain requests are sent to HTTPS", || {
        plain_head(&daemon, "/v1/nodes").is_ok_and(|head| head.starts_with("HTTP/1.1 302"))
    })?;
    let head = plain_head(&daemon, "/v1/nodes?x=1")?;
    let place = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("location: ").map(str::to_owned));
    let place = place.context("a place")?;
    ensure!(place.starts_with("https://127.0.0.1:") && place.ends_with("/v1/nodes?x=1"), "{place}");
    // Whether all is well is for everybody, plainly.
    ensure!(plain_head(&daemon, "/health")?.starts_with("HTTP/1.1 200"));
    // The client goes there; without a token it gets no further.
    let refused = client(&daemon, &[], &["node", "list"])?;
    ensure!(refused.code() == 10 && format!("{refused:?}").contains("token"), "{refused:?}");
    ensure!(!daemon.log_text().contains(&token), "the token is in the log");
    let certificate = scratch.path().join("controller/autohttps.crt");
    let trusted = client(&daemon, &[&certificate], &["node", "list"])?;
    ensure!(trusted.code() == 10, "the controller's own certificate is good for its address: {trusted:?}");
    // From its next start on nobody is heard plainly, the first request included.
    daemon.terminate(LIMIT)?;
    let daemon = controller(&scratch, None, &[])?;
    let head = plain_head(&daemon, "/v1/nodes")?;
    ensure!(head.starts_with("HTTP/1.1 302"), "{head}");
    Ok(())
}

#[test]
fn what_is_taken_back_opens_nothing_and_what_is_renewed_is_used_at_once() -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("tls");
    tls(&dir, &["init", "--address", "127.0.0.1", "--satellite", "alpha"])?;
    for name in ["alice", "bob", "nobody"] {
        tls(&dir, &["issue", "client", name])?;
    }
    tls(&dir, &["revoke", "nobody"])?;
    let file = |name: &str| dir.join(name);
    let (ca, list) = (file("ca.crt"), file("ca.crl"));
    let files = [file("controller.crt"), file("controller.key")];
    let environment = [
        ("BERTH_HTTPS_CERT", text(&files[0])?),
        ("BERTH_HTTPS_KEY", text(&files[1])?),
        ("BERTH_HTTPS_CLIENT_CA", text(&ca)?),
        ("BERTH_HTTPS_CLIENTS", "alice,bob"),
        ("BERTH_HTTPS_CRL", text(&list)?),
        ("BERTH_SATELLITE_CERT", text(&files[0])?),
        ("BERTH_SATELLITE_KEY", text(&files[1])?),
        ("BERTH_SATELLITE_CA", text(&ca)?),
        ("BERTH_SATELLITE_CRL", text(&list)?),
    ];
    let daemon = controller(&scratch, None, &environment)?;
    let folder = scratch.sub("satellite")?;
    let mut words: Vec<OsString> = ["satellite", "--listen", "127.0.0.1:0", "--name", "alpha", "--data"].map(OsString::from).to_vec();
    words.extend([folder.join("data").into(), "--dev-dir".into(), folder.join("dev").into()]);
    let own = [file("alpha.crt"), file("alpha.key")];
    let environment = [
        ("BERTH_SATELLITE_TLS_CERT", text(&own[0])?),
        ("BERTH_SATELLITE_TLS_KEY", text(&own[1])?),
        ("BERTH_SATELLITE_TLS_CA", text(&ca)?),
        ("BERTH_SATELLITE_TLS_CRL", text(&list)?),
    ];
    let satellite = Daemon::start_with(&scratch, "satellite", &[], &environment, words)?;
    let with = |name: &str, words: &[&str]| client(&daemon, &[&ca, &file(&format!("{name}.crt")), &file(&format!("{name}.key"))], words);
    let port = satellite.port()?.to_string();
    with("alice", &["node", "create", "alpha", "127.0.0.1", "--port", &port, "--communication-type", "SSL"])?.ok()?;
    let online = || with("bob", &["-m", "node", "list"]).is_ok_and(|done| format!("{done:?}").contains("ONLINE"));
    until(LIMIT, "alpha is online", online)?;
    // A client is taken back.
    ensure!(with("bob", &["node", "list"])?.code() == 0 && with("nobody", &["node", "list"])?.code() != 0);
    tls(&dir, &["revoke", "alice"])?;
    daemon.signal(Signal::HUP)?;
    until(LIMIT, "alice is refused", || with("alice", &["node", "list"]).is_ok_and(|done| done.code() == 20))?;
    ensure!(with("bob", &["node", "list"])?.code() == 0, "bob is not alice");
    // The controller gets a new certificate, and its old one is taken back: it is used by the controller, and refused by the satellite.
    let old = scratch.path().join("old");
    fs::create_dir(&old)?;
    for end in ["crt", "key"] {
        fs::rename(file(&format!("controller.{end}")), old.join(format!("controller.{end}")))?;
    }
    tls(&dir, &["issue", "controller", "controller", "--address", "127.0.0.1"])?;
    tls(&dir, &["revoke", text(&old.join("controller.crt"))?])?;
    satellite.signal(Signal::HUP)?;
    daemon.signal(Signal::HUP)?;
    until(LIMIT, "both use what is new", || {
        let read = |one: &Daemon| one.log_text().matches("new certificates are in use").count();
        read(&daemon) >= 2 && read(&satellite) >= 1
    })?;
    with("bob", &["node", "reconnect", "alpha"])?;
    until(LIMIT, "alpha is online again", online)?;
    // The old one opens nothing any more.
    for end in ["crt", "key"] {
        fs::copy(old.join(format!("controller.{end}")), file(&format!("controller.{end}")))?;
    }
    with("bob", &["node", "reconnect", "alpha"])?;
    until(LIMIT, "the satellite refuses who was taken back", || !online())?;
    Ok(())
}
