//! How Berth's own words find a controller and sign in: exactly as LINSTOR's client does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use berth_client::{Client, Endpoint, Login, Options, Tls, Trust};
use clap::Args;
use serde_json::Value;

use crate::output::Format;
use crate::run::Trouble;
use crate::settings::{self, BadSettings, Settings, Surroundings};
use crate::terminal::Terminal;
use crate::value;

/// Where these options stand in a help.
const HEADING: &str = "Controller and sign-in";

/// Options of words beside LINSTOR's grammar that say which controller is asked, and as whom.
///
/// Each has the name, the meaning and the other sources (environment, files) of the client's global option of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Connection {
    /// Controllers, tried in this order: HOST[:PORT], linstor://HOST, linstor+ssl://HOST; LS_CONTROLLERS adds to them.
    #[arg(long, value_name = "LIST", global = true, help_heading = HEADING)]
    pub controllers: Option<String>,
    /// Seconds to wait for an answer.
    #[arg(long, value_name = "SECONDS", global = true, help_heading = HEADING)]
    pub timeout: Option<u32>,
    /// Account name of a directory; its password is asked for.
    #[arg(long, value_name = "NAME", global = true, help_heading = HEADING)]
    pub user: Option<String>,
    /// Its password.
    #[arg(long, value_name = "PASSWORD", global = true, help_heading = HEADING)]
    pub password: Option<String>,
    /// File with an API token; /var/lib/linstor.d/auth.json if not given.
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    pub token_file: Option<PathBuf>,
    /// Certificate of this client (PEM).
    #[arg(long, alias = "cert", value_name = "FILE", global = true, help_heading = HEADING)]
    pub certfile: Option<PathBuf>,
    /// Key of this client (PEM).
    #[arg(long, alias = "key", value_name = "FILE", global = true, help_heading = HEADING)]
    pub keyfile: Option<PathBuf>,
    /// Certificates to check controllers against (PEM); without it a token goes to whoever answers.
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    pub cafile: Option<PathBuf>,
    /// Send a password also without TLS.
    #[arg(long, global = true, help_heading = HEADING)]
    pub allow_insecure_auth: bool,
    /// Read no configuration files.
    #[arg(long, global = true, help_heading = HEADING)]
    pub disable_config: bool,
}

impl Connection {
    /// A client as these options, the environment and the configuration files have it. May ask for a password.
    ///
    /// # Errors
    /// Wrong options or files ([`Trouble::Usage`]), and what [`Client::new`] says.
    pub fn client(&self, around: &Surroundings, terminal: &mut Terminal) -> Result<Client, Trouble> {
        let (settings, _) = settings::resolve(&self.as_arguments(), around).map_err(|bad| match bad {
            BadSettings::Grammar(error) => Trouble::Usage(error.to_string()),
            other => Trouble::Usage(other.to_string()),
        })?;
        Ok(Client::new(settings.controllers.clone(), options(&settings, around, terminal)?)?)
    }

    fn as_arguments(&self) -> Vec<OsString> {
        let text = |option: &str, value: &Option<String>| value.as_ref().map(|value| OsString::from(format!("--{option}={value}")));
        let path = |option: &str, value: &Option<PathBuf>| {
            value.as_ref().map(|value| {
                let mut word = OsString::from(format!("--{option}="));
                word.push(value);
                word
            })
        };
        let flag = |option: &str, is_set: bool| is_set.then(|| OsString::from(format!("--{option}")));
        let all = [
            text("controllers", &self.controllers),
            text("timeout", &self.timeout.map(|seconds| seconds.to_string())),
            text("user", &self.user),
            text("password", &self.password),
            path("token-file", &self.token_file),
            path("certfile", &self.certfile),
            path("keyfile", &self.keyfile),
            path("cafile", &self.cafile),
            flag("allow-insecure-auth", self.allow_insecure_auth),
            flag("disable-config", self.disable_config),
        ];
        all.into_iter().flatten().collect()
    }
}

/// How the client of these settings behaves; asks for a password that is missing.
pub(crate) fn options(settings: &Settings, around: &Surroundings, terminal: &mut Terminal) -> Result<Options, Trouble> {
    Ok(Options { timeout: Some(settings.timeout), login: login(settings, around, terminal)?, tls: tls(settings), ..Options::default() })
}

/// The certificates of these settings.
pub(crate) fn tls(settings: &Settings) -> Tls {
    Tls { trust: trust(settings), certificate: settings.certfile.clone(), key: settings.keyfile.clone() }
}

/// Takes the global options apart from the command behind them: both as they were typed. `None`: they do not fit the grammar, or there is no
/// command.
pub fn split(args: &[OsString]) -> Option<(Vec<OsString>, Vec<OsString>)> {
    let all = std::iter::once(OsString::from("linstor")).chain(args.iter().cloned());
    let matches = crate::grammar::globals().try_get_matches_from(all).ok()?;
    let (_, rest) = matches.subcommand()?;
    let below = rest.get_many::<OsString>("").map(Iterator::count).unwrap_or_default();
    let at = args.len().checked_sub(below + 1)?;
    Some((args[..at].to_vec(), args[at..].to_vec()))
}

/// The client of a run with these settings; several commands may share it.
pub(crate) fn shared(settings: &Settings, around: &Surroundings, terminal: &mut Terminal) -> Result<Arc<Client>, Trouble> {
    Ok(Arc::new(Client::new(settings.controllers.clone(), options(settings, around, terminal)?)?))
}

/// Who asks, as far as that is known without asking for a password: for completion.
pub(crate) fn login_without_asking(settings: &Settings, around: &Surroundings) -> Login {
    match (&settings.user, &settings.password) {
        (Some(user), Some(password)) if settings.allow_insecure_auth => Login::Basic { user: user.clone(), password: password.clone() },
        (Some(_), _) => Login::None,
        (None, _) => token(settings, around).ok().flatten().map_or(Login::None, Login::Bearer),
    }
}

/// The token of a file that is named, or of the one that lies on this machine; that one need not be there, or readable by this user.
fn token(settings: &Settings, around: &Surroundings) -> Result<Option<String>, Trouble> {
    let named = settings.token_file.as_ref();
    let path = named.cloned().unwrap_or_else(|| around.state.join("auth.json"));
    let found = match std::fs::read_to_string(&path) {
        Ok(text) => token_in(&text),
        Err(error) if named.is_some() => return Err(Trouble::Usage(format!("{}: {error}; --token-file names it", path.display()))),
        Err(_) => None,
    };
    match found {
        None if named.is_some() => {
            let what = "holds no token: neither a document with a 'token' nor the token alone";
            Err(Trouble::Usage(format!("{} {what}; --token-file names it", path.display())))
        }
        found => Ok(found),
    }
}

/// A token, alone or in a document as `controller auth create-token` gives it.
fn token_in(text: &str) -> Option<String> {
    match serde_json::from_str::<Value>(text) {
        Ok(document @ Value::Object(_)) => Some(value::text(&document, "token").to_owned()).filter(|token| !token.is_empty()),
        Ok(Value::String(token)) => Some(token).filter(|token| !token.is_empty()),
        Ok(Value::Array(_) | Value::Null | Value::Bool(_)) => None,
        _ => Some(text.trim().to_owned()).filter(|token| !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic())),
    }
}

fn login(settings: &Settings, around: &Surroundings, terminal: &mut Terminal) -> Result<Login, Trouble> {
    let Some(user) = &settings.user else {
        return Ok(match token(settings, around)? {
            Some(token) => {
                unvouched(settings, "token", terminal);
                if !settings.controllers.iter().all(|endpoint| endpoint.tls || is_this_machine(endpoint)) {
                    terminal.note("Warning: this machine's token goes over a plain connection");
                }
                Login::Bearer(token)
            }
            None => Login::None,
        });
    };
    if !settings.allow_insecure_auth && !settings.controllers.iter().all(|endpoint| endpoint.tls) {
        return Err(Trouble::Connection(
            "a password is not sent over a plain connection; use linstor+ssl://HOST, or --allow-insecure-auth permits it".to_owned(),
        ));
    }
    let password = match &settings.password {
        Some(password) => password.clone(),
        None if settings.curl => String::new(),
        None => terminal.ask_password(&format!("Password of {user}")).map_err(Trouble::Connection)?,
    };
    unvouched(settings, "password", terminal);
    Ok(Login::Basic { user: user.clone(), password })
}

/// Says that a secret goes to somebody whose certificate nothing checks: once, as a client is made once. Nothing is said where a program reads
/// the output, and of this machine.
fn unvouched(settings: &Settings, what: &str, terminal: &mut Terminal) {
    let away = settings.controllers.iter().find(|endpoint| endpoint.tls && !is_this_machine(endpoint));
    let quiet = settings.machine || settings.curl || settings.format.is_some_and(|form| form != Format::Wide);
    if let (Some(endpoint), Trust::Anybody, false) = (away, trust(settings), quiet) {
        terminal.note(&format!(
            "Warning: the {what} goes to whoever answers for {}: nothing checks the certificate; --cafile FILE names who vouches for it",
            endpoint.host
        ));
    }
}

/// Whom the settings trust. Without a file of authorities whoever answers is taken for the controller, as LINSTOR's client does; but a
/// password goes to nobody whom the machine's authorities do not vouch for, unless that is permitted.
fn trust(settings: &Settings) -> Trust {
    match &settings.cafile {
        Some(file) => Trust::File(file.clone()),
        None if settings.user.is_some() && !settings.allow_insecure_auth => Trust::Machine,
        None => Trust::Anybody,
    }
}

/// Whether the connection stays on this machine, where nobody else can read it.
fn is_this_machine(endpoint: &Endpoint) -> bool {
    endpoint.host.eq_ignore_ascii_case("localhost") || endpoint.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What to do about a connection that certificates kept from coming about; the words are those of the TLS library.
pub(crate) fn of_certificates(text: &str) -> Option<&'static str> {
    let says = |word: &str| text.contains(word);
    if says("CertificateRequired") || says("certificate required") {
        Some("the controller asks for a certificate of this client: --certfile and --keyfile name its PEM files")
    } else if says("UnknownCA") || says("UnknownCa") || says("DecryptError") && says("alert") {
        Some("the controller does not know who vouches for this client: --certfile names a certificate of an authority that it trusts")
    } else if says("UnknownIssuer") || says("BadSignature") {
        Some("nobody whom this client trusts vouches for the controller: --cafile names the PEM file of its authority")
    } else if says("NotValidForName") {
        Some("the controller's certificate is for another name: --controllers takes a name or an address that stands in it")
    } else if says("certificate: Expired") || says("certificate expired") {
        Some("a new certificate is needed: berth tls issue makes one, and the controller takes it without a restart")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::{Connection, options, split, token_in};
    use crate::settings::{self, Surroundings};
    use crate::terminal::Terminal;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_secret_for_whoever_answers_is_told_once_and_not_to_programs() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "abc").unwrap();
        let around = Surroundings { env: Default::default(), etc: folder.path().into(), state: folder.path().into() };
        let token = format!("--disable-config --token-file {}", token.display());
        let far = "--controllers linstor+ssl://192.0.2.1";
        for (line, lines) in [
            (format!("{token} {far}"), 1),
            (format!("{token} {far},linstor+ssl://192.0.2.2"), 1),
            (format!("--disable-config --user alice --password x --allow-insecure-auth {far}"), 1),
            (format!("{token} {far} -o wide"), 1),
            (format!("{token} {far} --cafile /ca.pem"), 0),
            (format!("{token} {far} -m"), 0),
            (format!("{token} {far} -o json"), 0),
            (format!("{token} --controllers linstor+ssl://127.0.0.1"), 0),
            // This one is checked against the machine's authorities.
            (format!("--disable-config --user alice --password x {far}"), 0),
            (format!("--disable-config {far}"), 0),
        ] {
            let said = Said::default();
            let mut terminal = Terminal::captured(Box::new(std::io::sink()), Box::new(said.clone()));
            let (settings, _) =
                settings::resolve(&words(&format!("{line} node list")), &around).unwrap_or_else(|_| panic!("options of {line}"));
            options(&settings, &around, &mut terminal).unwrap();
            let text = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
            assert_eq!(
                text.lines().filter(|line| line.contains("--cafile") && line.contains("192.0.2.1")).count(),
                lines,
                "{line}: {text}"
            );
        }
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn options_go_to_the_client_s_resolver_under_their_names() {
        let connection = Connection {
            controllers: Some("a,b".into()),
            timeout: Some(7),
            cafile: Some("/ca file".into()),
            allow_insecure_auth: true,
            ..Connection::default()
        };
        assert_eq!(connection.as_arguments(), ["--controllers=a,b", "--timeout=7", "--cafile=/ca file", "--allow-insecure-auth"]);
    }

    #[test]
    fn a_token_stands_alone_or_in_a_document() {
        assert_eq!(token_in("abc\n").as_deref(), Some("abc"));
        assert_eq!(token_in(r#"{"token": "abc", "id": 1}"#).as_deref(), Some("abc"));
        assert_eq!(token_in("\"abc\"").as_deref(), Some("abc"));
        for none in ["", "\n", "{}", "two words", r#"{"token": ""}"#, "[]"] {
            assert_eq!(token_in(none), None, "{none}");
        }
    }

    #[test]
    fn global_options_stand_before_the_command() {
        let parted = |line: &str| split(&words(line));
        assert_eq!(parted("--controllers x job list --node a"), Some((words("--controllers x"), words("job list --node a"))));
        assert_eq!(parted("-m node list"), Some((words("-m"), words("node list"))));
        assert_eq!(parted("risk"), Some((Vec::new(), words("risk"))));
        assert_eq!(parted("--controllers x"), None);
        assert_eq!(parted("--no-such x job"), None);
    }
}
