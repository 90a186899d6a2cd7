//! Berth's own words beside LINSTOR's grammar: they find the controller, sign in and trust as the LINSTOR client does.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Daemon, Finished, Scratch, berth, run_within, within};

const LIMIT: Duration = Duration::from_secs(60);

/// Every own word that asks a controller, with what it needs; `BUNDLE` stands for a file that does not exist.
const WORDS: [&str; 11] = [
    "job list",
    "audit",
    "why controller",
    "diff",
    "drift",
    "risk",
    "what-if node alpha down",
    "balance --list",
    "place move web DfltRscGrp",
    "bundle --output BUNDLE",
    // Options before the word, as the client takes them.
    "-- risk",
];

/// A controller that is reached over HTTPS with a token, and by nobody else.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    controller: Daemon,
    pub(crate) https: String,
    pub(crate) ca: String,
}

fn path(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a plain path")?.to_owned())
}

impl World {
    /// It has a node `alpha` and a resource definition `web`; the token lies in the file `token`.
    pub(crate) fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let tls = scratch.path().join("tls");
        let mut make = Command::new(berth()?);
        make.args(["tls", "init", "--address", "127.0.0.1", "--dir"]).arg(&tls);
        run_within(LIMIT, &mut make)?.ok()?;
        let (certificate, key) = (path(&tls.join("controller.crt"))?, path(&tls.join("controller.key"))?);
        let environment =
            [("BERTH_HTTPS_CERT", certificate.as_str()), ("BERTH_HTTPS_KEY", key.as_str()), ("BERTH_HTTPS_LISTEN", "127.0.0.1:0")];
        let data = scratch.sub("controller")?.into_os_string();
        let words: [OsString; 5] = ["controller".into(), "--listen".into(), "127.0.0.1:0".into(), "--data".into(), data];
        let controller = Daemon::start_with(&scratch, "controller", &[], &environment, words)?;
        let port = within(LIMIT, "HTTPS is on", || {
            let log = controller.log_text();
            let line = log.lines().find(|line| line.contains("HTTPS is on")).ok_or("not yet")?;
            let digits: String = line
                .split("port")
                .nth(1)
                .unwrap_or_default()
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse::<u16>().map_err(|error| format!("{error}: {line}"))
        })?;
        let world = Self { https: format!("linstor+ssl://127.0.0.1:{port}"), ca: path(&tls.join("ca.crt"))?, scratch, controller };
        for words in [["node", "create", "alpha", "127.0.0.1", "--port", "1"].as_slice(), &["resource-definition", "create", "web"]] {
            // The node is never there; that is a warning.
            world.client(words, &[])?.ok()?;
        }
        let made = world.client(&["-m", "controller", "auth", "initialize", "--no-https"], &[])?.ok()?;
        let replies: serde_json::Value = serde_json::from_str(&made)?;
        let token = replies[0]["obj_refs"]["token"].as_str().with_context(|| format!("no token: {made}"))?;
        fs::write(world.scratch.path().join("token"), token)?;
        Ok(world)
    }

    /// Runs `berth`, the words first; there is neither a home nor a variable that says anything of controllers.
    fn client(&self, words: &[&str], options: &[&str]) -> Result<Finished> {
        let mut command = Command::new(berth()?);
        command.env_remove("LS_CONTROLLERS").env("HOME", self.scratch.path()).env_remove("XDG_CONFIG_HOME");
        let connection = ["--disable-config", "--controllers", &self.https, "--cafile", &self.ca];
        let all = connection.iter().chain(options).copied();
        match words {
            ["--", words @ ..] => command.args(all).args(words),
            [first, rest @ ..] if self.is_own(first) => command.arg(first).args(rest).args(all),
            words => command.args(all).args(words),
        };
        run_within(LIMIT, &mut command)
    }

    fn is_own(&self, word: &str) -> bool {
        WORDS.iter().any(|line| line.split(' ').next() == Some(word))
    }

    fn run(&self, line: &str, options: &[&str]) -> Result<Finished> {
        let bundle = self.scratch.path().join("bundle.json");
        drop(fs::remove_file(&bundle));
        let line = line.replace("BUNDLE", &path(&bundle)?);
        self.client(&line.split(' ').collect::<Vec<_>>(), options)
    }
}

#[test]
fn own_words_sign_in_and_say_what_to_do_without() -> Result<()> {
    let world = World::new()?;
    let token = path(&world.scratch.path().join("token"))?;
    let foreign = world.scratch.path().join("other");
    let mut make = Command::new(berth()?);
    make.args(["tls", "init", "--dir"]).arg(&foreign);
    run_within(LIMIT, &mut make)?.ok()?;
    let other = path(&foreign.join("ca.crt"))?;
    for line in WORDS {
        let done = world.run(line, &["--token-file", &token])?;
        ensure!(done.code() == 0, "{line}: exit code {}\n{}{}", done.code(), done.stdout, done.stderr);
        // Without a token the refusal names the remedy.
        let done = world.run(line, &[])?;
        let said = format!("{}{}", done.stdout, done.stderr);
        ensure!(done.code() == 10, "{line}: exit code {} without a token\n{said}", done.code());
        ensure!(said.contains("token is needed") && said.contains("--token-file"), "{line}: {said}");
    }
    // Whom the authority does not vouch for gets nothing.
    let mut stranger = Command::new(berth()?);
    stranger.args(["risk", "--disable-config", "--controllers", &world.https, "--cafile", &other, "--token-file", &token]);
    let done = run_within(LIMIT, stranger.env_remove("LS_CONTROLLERS"))?;
    ensure!(done.code() == 20 && done.stderr.contains("--cafile"), "{}: {}", done.code(), done.stderr);
    let missing = world.run("risk", &["--token-file", "/no/such/token"])?;
    ensure!(missing.code() == 2 && missing.stderr.contains("/no/such/token"), "{}: {}", missing.code(), missing.stderr);
    // The variable is read as ever, and the client's own grammar has the option, too.
    let listed = world.client(&["node", "list"], &["--token-file", &token])?;
    ensure!(listed.code() == 0 && listed.stdout.contains("alpha"), "{}{}", listed.stdout, listed.stderr);
    drop(world.controller);
    Ok(())
}
