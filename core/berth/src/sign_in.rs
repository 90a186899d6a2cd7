//! The controller's settings of HTTPS, sign-in and certificates, from texts to values.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use berth_controller::{Config, Ldap};
use berth_model::access::Role;

use crate::certificates;
use crate::settings::{Known, Settings};

const fn known(name: &'static str, variable: &'static str) -> Known {
    Known { name, variable, default: None }
}

/// The settings; LDAP has the meanings of LINSTOR's section of that name.
pub const CONTROLLER: [Known; 22] = [
    known("https_listen", "BERTH_HTTPS_LISTEN"),
    known("https_cert", "BERTH_HTTPS_CERT"),
    known("https_key", "BERTH_HTTPS_KEY"),
    known("https_client_ca", "BERTH_HTTPS_CLIENT_CA"),
    known("https_clients", "BERTH_HTTPS_CLIENTS"),
    known("satellite_cert", "BERTH_SATELLITE_CERT"),
    known("satellite_key", "BERTH_SATELLITE_KEY"),
    known("satellite_ca", "BERTH_SATELLITE_CA"),
    known("ignore_tokens", "BERTH_IGNORE_TOKENS"),
    known("ldap_enabled", "BERTH_LDAP_ENABLED"),
    known("ldap_uri", "BERTH_LDAP_URI"),
    known("ldap_dn", "BERTH_LDAP_DN"),
    known("ldap_search_base", "BERTH_LDAP_SEARCH_BASE"),
    known("ldap_search_filter", "BERTH_LDAP_SEARCH_FILTER"),
    known("ldap_role", "BERTH_LDAP_ROLE"),
    known("ldap_operator_filter", "BERTH_LDAP_OPERATOR_FILTER"),
    known("ldap_admin_filter", "BERTH_LDAP_ADMIN_FILTER"),
    known("ldap_public_access_allowed", "BERTH_LDAP_PUBLIC_ACCESS_ALLOWED"),
    known("ldap_public_role", "BERTH_LDAP_PUBLIC_ROLE"),
    known("ldap_starttls", "BERTH_LDAP_STARTTLS"),
    known("ldap_ca", "BERTH_LDAP_CA"),
    known("request_head_seconds", "BERTH_REQUEST_HEAD_SECONDS"),
];

/// Puts them into the controller's configuration.
///
/// # Errors
/// A value that cannot be read, or one that lacks another.
pub fn apply(config: &mut Config, settings: &Settings) -> anyhow::Result<()> {
    if let Some(text) = given(settings, "https_listen") {
        config.https_listen =
            text.parse::<SocketAddr>().with_context(|| format!("'{text}' is not an address for HTTPS; write it as [::]:3371"))?;
    }
    config.https = certificates::files(settings, &certificates::HTTPS)?;
    config.sign_in.clients = clients(given(settings, "https_clients").unwrap_or_default())?;
    if !config.sign_in.clients.is_empty() && config.https.as_ref().is_none_or(|https| https.ca.is_none()) {
        bail!("'https_clients' needs 'https_client_ca': without it nobody vouches for a name");
    }
    config.satellites = certificates::files(settings, &certificates::CALLS)?;
    config.sign_in.ignore_tokens = truth(settings, "ignore_tokens")?;
    config.sign_in.ldap = ldap(settings)?;
    if let Some(text) = given(settings, "request_head_seconds") {
        let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=3600).contains(seconds));
        config.limits.head =
            std::time::Duration::from_secs(seconds.with_context(|| format!("'{text}' is not a time from 1 to 3600 seconds"))?);
    }
    Ok(())
}

fn given<'s>(settings: &'s Settings, name: &str) -> Option<&'s str> {
    settings.get(name).filter(|text| !text.is_empty())
}

fn truth(settings: &Settings, name: &str) -> anyhow::Result<bool> {
    match given(settings, name).map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "no" | "0") => Ok(false),
        Some("true" | "yes" | "1") => Ok(true),
        Some(other) => bail!("'{name}' is true or false, not '{other}'"),
    }
}

fn role(text: &str) -> anyhow::Result<Role> {
    Role::parse(text).with_context(|| format!("'{text}' is not a role; use viewer, operator or admin"))
}

/// `alice,backup:operator,grafana:viewer`: common names with their roles; none: an administrator.
fn clients(text: &str) -> anyhow::Result<BTreeMap<String, Role>> {
    let mut found = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, role) = match part.rsplit_once(':') {
            Some((name, word)) => (name.trim(), role(word.trim())?),
            None => (part, Role::Admin),
        };
        if name.is_empty() {
            bail!("'{part}' names no client");
        }
        if found.insert(name.to_owned(), role).is_some() {
            bail!("the client '{name}' is listed twice");
        }
    }
    Ok(found)
}

fn ldap(settings: &Settings) -> anyhow::Result<Option<Ldap>> {
    if !truth(settings, "ldap_enabled")? {
        return Ok(None);
    }
    let text = |name: &str| given(settings, name).map(str::to_owned);
    let need = |name: &str| text(name).with_context(|| format!("'ldap_enabled' needs '{name}'"));
    let uri = need("ldap_uri")?;
    if !["ldap://", "ldaps://"].iter().any(|scheme| uri.starts_with(scheme)) {
        bail!("'{uri}' is no directory; write it as ldaps://host");
    }
    let dn = need("ldap_dn")?;
    if !dn.contains("{user}") {
        bail!("'ldap_dn' has no {{user}}: everybody would be the same name");
    }
    let filters = ["ldap_search_filter", "ldap_operator_filter", "ldap_admin_filter"].map(|name| text(name).unwrap_or_default());
    let search_base = text("ldap_search_base").unwrap_or_default();
    if search_base.is_empty() && filters.iter().any(|filter| !filter.is_empty()) {
        bail!("filters need 'ldap_search_base', where they are looked up");
    }
    let [search_filter, operator_filter, admin_filter] = filters;
    let public_role = text("ldap_public_role").map_or(Ok(Role::Viewer), |text| role(&text))?;
    Ok(Some(Ldap {
        uri,
        dn,
        search_base,
        search_filter,
        role: text("ldap_role").map_or(Ok(Role::Admin), |text| role(&text))?,
        operator_filter,
        admin_filter,
        public: truth(settings, "ldap_public_access_allowed")?.then_some(public_role),
        starttls: truth(settings, "ldap_starttls")?,
        ca: text("ldap_ca").map(PathBuf::from),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let environment = |variable: &str| pairs.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned());
        let config = clap::Arg::new("config").long("config").value_parser(clap::value_parser!(std::path::PathBuf));
        let matches = clap::Command::new("x").arg(config).try_get_matches_from(["x"]).unwrap();
        let known = [CONTROLLER.as_slice(), &certificates::OF_CONTROLLER].concat();
        let settings = Settings::resolve(&known, &matches, environment, std::path::Path::new("/nonexistent/berth.toml"), None).unwrap();
        let mut config = Config::new("/d", SocketAddr::from(([127, 0, 0, 1], 3370)));
        apply(&mut config, &settings).map(|()| config).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn without_a_word_everything_stays_open() {
        let config = applied(&[]).unwrap();
        assert_eq!((config.https, config.satellites, config.sign_in), (None, None, berth_controller::SignIn::default()));
        assert_eq!(config.https_listen.port(), 3371);
    }

    #[test]
    fn clients_have_roles() {
        let files = [("BERTH_HTTPS_CERT", "c"), ("BERTH_HTTPS_KEY", "k"), ("BERTH_HTTPS_CLIENT_CA", "a")];
        let with = |text: &'static str| applied(&[files.as_slice(), &[("BERTH_HTTPS_CLIENTS", text)]].concat());
        let config = with("alice, backup:operator,grafana:viewer").unwrap();
        let roles: Vec<(&str, Role)> = config.sign_in.clients.iter().map(|(name, role)| (name.as_str(), *role)).collect();
        assert_eq!(roles, [("alice", Role::Admin), ("backup", Role::Operator), ("grafana", Role::Viewer)]);
        for text in ["alice:king", ":viewer", "a,a:viewer"] {
            assert!(with(text).is_err(), "{text}");
        }
        assert!(applied(&[("BERTH_HTTPS_CLIENTS", "alice")]).unwrap_err().contains("https_client_ca"));
    }

    #[test]
    fn half_of_a_setting_is_refused_with_the_other_half() {
        for (pairs, word) in [
            (vec![("BERTH_HTTPS_CERT", "c")], "https_key"),
            (vec![("BERTH_SATELLITE_CERT", "c")], "satellite_key"),
            (vec![("BERTH_SATELLITE_CERT", "c"), ("BERTH_SATELLITE_KEY", "k")], "satellite_ca"),
            (vec![("BERTH_HTTPS_KEYSTORE", "c"), ("BERTH_HTTPS_CERT", "c")], "holds certificate and key"),
            (vec![("BERTH_HTTPS_TRUSTSTORE", "c")], "https_keystore"),
            (vec![("BERTH_HTTPS_KEYSTORE", "c"), ("BERTH_HTTPS_CRL", "l")], "https_client_ca"),
            (vec![("BERTH_SATELLITE_KEYSTORE", "c")], "satellite_truststore"),
            (vec![("BERTH_LDAP_ENABLED", "true")], "ldap_uri"),
            (vec![("BERTH_LDAP_ENABLED", "maybe")], "true or false"),
            (vec![("BERTH_LDAP_ENABLED", "yes"), ("BERTH_LDAP_URI", "ldap://x"), ("BERTH_LDAP_DN", "uid=all")], "{user}"),
            (vec![("BERTH_LDAP_ENABLED", "yes"), ("BERTH_LDAP_URI", "http://x"), ("BERTH_LDAP_DN", "uid={user}")], "ldaps://"),
        ] {
            let error = applied(&pairs).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
