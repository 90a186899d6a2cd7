//! How Berth's own words find a controller and sign in: exactly as LINSTOR's client does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use berth_client::{Client, Options, Tls};
use clap::Args;

use crate::run::{Trouble, login, trust};
use crate::settings::{self, BadSettings, Settings, Surroundings};
use crate::terminal::Terminal;

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
    /// Certificates to check controllers against (PEM).
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Connection, split};

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
    fn global_options_stand_before_the_command() {
        let parted = |line: &str| split(&words(line));
        assert_eq!(parted("--controllers x job list --node a"), Some((words("--controllers x"), words("job list --node a"))));
        assert_eq!(parted("-m node list"), Some((words("-m"), words("node list"))));
        assert_eq!(parted("risk"), Some((Vec::new(), words("risk"))));
        assert_eq!(parted("--controllers x"), None);
        assert_eq!(parted("--no-such x job"), None);
    }
}
